//! `coracle exec`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use libcoracle::{ExecOptions, SubCgroup, UserSpec, ops};

use super::create::absolute;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Run a further program in a container
///
/// The program joins the namespaces and the cgroup of the container and is confined as the container's own one is.
/// Options of this command come before CONTAINER-ID. Exits with the status of the program, or 255 if it could not be
/// run.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Exec {
    /// Read the process to run, a JSON object as "process" of config.json, from FILE
    #[arg(long, short, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Working directory in the container
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// Set a variable beside those of the container's process
    #[arg(long, short, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the program a terminal
    #[arg(long, short)]
    tty: bool,
    /// Run as this user, and group, by number
    #[arg(long, short, value_name = "UID[:GID]")]
    user: Option<String>,
    /// A further group, by number
    #[arg(long, short = 'g', value_name = "GID")]
    additional_gids: Vec<u32>,
    /// A capability beside those of the container's process, such as CAP_KILL
    #[arg(long, short, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// Return when the program runs
    #[arg(long, short)]
    detach: bool,
    /// Write the process id of the program to FILE
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Send the program's terminal to whoever listens on this AF_UNIX socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Send a pidfd of the program to whoever listens on this AF_UNIX socket
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Pass on N descriptors after the standard three
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
    /// SELinux label of the program
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// AppArmor profile of the program
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Forbid the program to gain privileges by executing files (PR_SET_NO_NEW_PRIVS)
    #[arg(long)]
    no_new_privs: bool,
    /// Put the program into this cgroup below the container's; on v1 of these controllers
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    cgroup: Vec<String>,
    /// Start the program in a paused container too; it runs when the container is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
    /// The program and its arguments
    #[arg(value_name = "COMMAND")]
    args: Vec<OsString>,
}

impl Exec {
    fn options(&self, call: &Call) -> Result<ExecOptions, Failure> {
        if self.process.is_none() && self.args.is_empty() {
            return Err(Failure::new("process args cannot be empty: give a command or --process"));
        }
        let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        let text = |arg: &OsString| {
            let text = arg.clone().into_string();
            text.map_err(|arg| Failure::new(format!("{}: not UTF-8", arg.display())))
        };
        call.inherited.check_alone(self.preserve_fds)?;
        let user = self.user.as_deref().map(str::parse::<UserSpec>).transpose();
        Ok(ExecOptions {
            process: path(&self.process)?,
            args: self.args.iter().map(text).collect::<Result<_, _>>()?,
            cwd: self.cwd.clone(),
            env: self.env.clone(),
            tty: self.tty,
            user: user.map_err(|error| Failure::new(error.to_string()))?,
            additional_gids: self.additional_gids.clone(),
            capabilities: self.cap.clone(),
            no_new_privs: self.no_new_privs,
            process_label: self.process_label.clone(),
            apparmor: self.apparmor.clone(),
            detach: self.detach,
            console_socket: path(&self.console_socket)?,
            pidfd_socket: path(&self.pidfd_socket)?,
            pid_file: path(&self.pid_file)?,
            preserve_fds: self.preserve_fds,
            ignore_paused: self.ignore_paused,
            cgroups: SubCgroup::parse_all(&self.cgroup).map_err(|error| Failure::new(error.to_string()))?,
        })
    }

    fn exec(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let status = ops::exec(&call.global.root()?, &id, &self.options(call)?)?;
        Ok(u8::try_from(status).unwrap_or(u8::MAX))
    }
}

impl Verb for Exec {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        self.exec(call).map_err(Failure::of_exec)
    }
}
