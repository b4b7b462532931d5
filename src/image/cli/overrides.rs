//! Options of `docker run` that change how an image is run.

use std::path::PathBuf;

use clap::Args;
use coracle_image::convert::{Filter, Network, Options, Volume};
use coracle_image::error::{Context, Error, Result};

use super::size;

#[derive(Debug, Args)]
pub struct Overrides {
    /// Set an environment variable; NAME alone takes the caller's value
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Set the environment variables listed in FILE, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Bind a directory or file of this machine, or an empty directory
    #[arg(long, short, value_name = "[SOURCE:]DESTINATION[:OPTIONS]")]
    volume: Vec<Volume>,
    /// Mount an empty file system in memory
    #[arg(long, value_name = "DESTINATION[:OPTIONS]")]
    tmpfs: Vec<String>,
    /// Limit the memory, like 512m
    #[arg(long, short, value_name = "BYTES", value_parser = size::bytes)]
    memory: Option<i64>,
    /// Limit the time of processors, like 1.5
    #[arg(long, value_name = "NUMBER", value_parser = size::processors)]
    cpus: Option<i64>,
    /// Limit the number of processes
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Make the root filesystem read-only
    #[arg(long)]
    read_only: bool,
    /// Run as USER[:GROUP], by name or number
    #[arg(long, short, value_name = "USER")]
    user: Option<String>,
    /// Run in this directory
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<String>,
    /// Run PROGRAM instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Name of the machine, as the container sees it
    #[arg(long, value_name = "NAME")]
    hostname: Option<String>,
    /// Give a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// The network: host, none (nothing but lo) or ns:PATH
    #[arg(long, value_name = "NETWORK", default_value = "none")]
    network: Network,
    /// no-new-privileges, seccomp=unconfined or seccomp=FILE
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Set an annotation of the container
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<String>,
    /// Take labels of the image that control the runtime for annotations too
    #[arg(long)]
    trust_image_annotations: bool,
}

impl Overrides {
    /// The settings for a container called `name` with the arguments `args`.
    pub fn options(&self, name: &str, args: &[String], terminal: bool) -> Result<Options> {
        let mut options = Options {
            args: args.to_vec(),
            entrypoint: self.entrypoint.clone(),
            env: self.environment()?,
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            // The kernel takes 64 bytes.
            hostname: self.hostname.clone().unwrap_or_else(|| name.chars().take(63).collect()),
            terminal,
            read_only: self.read_only,
            memory: self.memory,
            cpus: self.cpus,
            pids_limit: self.pids_limit,
            cap_add: self.cap_add.clone(),
            cap_drop: self.cap_drop.clone(),
            volumes: self.volume.iter().map(absolute).collect::<Result<_>>()?,
            tmpfs: self.tmpfs.clone(),
            network: self.network.clone(),
            trust_image_annotations: self.trust_image_annotations,
            ..Options::default()
        };
        for text in &self.annotation {
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            options.annotations.push((key.to_owned(), value.to_owned()));
        }
        for text in &self.security_opt {
            match text.split_once(['=', ':']).unwrap_or((text, "")) {
                ("no-new-privileges", "" | "true") => options.no_new_privileges = true,
                ("seccomp", "unconfined") => options.seccomp = Filter::Unconfined,
                ("seccomp", path) if !path.is_empty() => options.seccomp = Filter::Given(profile(path)?),
                _ => return Err(Error::invalid(format!("unknown security option {text:?}"))),
            }
        }
        Ok(options)
    }

    fn environment(&self) -> Result<Vec<String>> {
        let mut list = Vec::new();
        let mut add = |entry: &str| match (entry.contains('='), std::env::var(entry)) {
            (true, _) => list.push(entry.to_owned()),
            (false, Ok(value)) => list.push(format!("{entry}={value}")),
            // A variable the caller does not have is none for the container either.
            (false, Err(_)) => (),
        };
        for path in &self.env_file {
            let text = std::fs::read_to_string(path).context(|| format!("read {}", path.display()))?;
            let lines = text.lines().map(str::trim_start);
            lines.filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(&mut add);
        }
        self.env.iter().for_each(|entry| add(entry));
        Ok(list)
    }
}

/// The runtime would take a relative source for one below the bundle.
fn absolute(volume: &Volume) -> Result<Volume> {
    let source = volume.source.as_ref().map(std::path::absolute).transpose()?;
    Ok(Volume { source, ..volume.clone() })
}

/// A profile in the form of `linux.seccomp` of config.json.
fn profile(path: &str) -> Result<serde_json::Value> {
    let text = std::fs::read(path).context(|| format!("read {path}"))?;
    serde_json::from_slice(&text).map_err(|error| Error::invalid(format!("parse {path}: {error}")))
}
