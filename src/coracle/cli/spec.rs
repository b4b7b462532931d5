//! `coracle spec`

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use libcoracle::ops;
use nix::sys::statfs;
use nix::unistd::{getegid, geteuid};

use super::{Call, Verb};
use crate::failure::Failure;

/// Write a config.json to start a bundle from
///
/// The container it describes runs sh on a terminal, in the directory rootfs of the bundle.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Spec {
    /// Directory to write to [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Describe a container that the caller can run without privileges
    #[arg(long)]
    rootless: bool,
}

impl Verb for Spec {
    fn run(&self, _: &Call) -> Result<u8, Failure> {
        let caller = self.rootless.then(|| (geteuid().as_raw(), getegid().as_raw()));
        let text = ops::spec(caller, has_only_cgroup_v2())
            .to_json()
            .map_err(|error| Failure::new(format!("write the configuration as JSON: {error}")))?;
        let path = self.bundle.as_deref().unwrap_or(Path::new("")).join("config.json");
        // Never over somebody's work, and never through a symbolic link.
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Failure::new("File config.json exists. Remove it first"),
            _ => Failure::system(format!("write {}", path.display()), &error),
        })?;
        Ok(0)
    }
}

fn has_only_cgroup_v2() -> bool {
    statfs::statfs("/sys/fs/cgroup").is_ok_and(|fs| fs.filesystem_type() == statfs::CGROUP2_SUPER_MAGIC)
}
