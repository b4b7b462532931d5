//! `coracle restore`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use libcoracle::{ContainerId, CreateOptions, RestoreOptions, RunOptions, ops};

use super::checkpoint::CriuArgs;
use super::create::{absolute, notify_socket};
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Make a container from images that `coracle checkpoint` has written
///
/// Its processes go on where they were. The bundle must be that of the saved container or one like it. As `coracle run` it
/// waits for the container, exits with its status and deletes it.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Restore {
    #[command(flatten)]
    criu: CriuArgs,
    /// Directory of the bundle [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Send the container's terminal to who listens on this AF_UNIX socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Return when the container is restored; `coracle delete` then deletes it
    #[arg(long, short)]
    detach: bool,
    /// Write the id of the container's first process to FILE
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Do not adopt the container's orphaned processes (PR_SET_CHILD_SUBREAPER)
    #[arg(long)]
    no_subreaper: bool,
    /// Accepted for callers of runc: CRIU makes the root what it was
    #[arg(long)]
    no_pivot: bool,
    /// Restore with this profile of a security module instead of the saved one
    #[arg(long, value_name = "TYPE:NAME")]
    lsm_profile: Option<String>,
    /// Mount with this SELinux context instead of the saved one
    #[arg(long, value_name = "CONTEXT")]
    lsm_mount_context: Option<String>,
    /// Name of the new container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Restore {
    fn restore(&self, id: &ContainerId, call: &Call) -> Result<u8, Failure> {
        let bundle = absolute(self.bundle.as_deref().unwrap_or(Path::new(".")))?;
        let options = CreateOptions {
            console_socket: self.console_socket.as_ref().map(|path| bundle.join(path)),
            pid_file: self.pid_file.as_deref().map(absolute).transpose()?,
            notify_socket: notify_socket(),
            cgroups: call.global.cgroups()?,
            rootless: call.global.rootless()?,
            debug: call.global.debug,
            bundle,
            ..CreateOptions::default()
        };
        let restore = RestoreOptions {
            criu: self.criu.options()?,
            run: RunOptions { detach: self.detach, keep: false, no_subreaper: self.no_subreaper },
            lsm_profile: self.lsm_profile.clone(),
            lsm_mount_context: self.lsm_mount_context.clone(),
        };
        let status = ops::restore(&call.global.root()?, id, &options, &restore)?;
        Ok(u8::try_from(status).unwrap_or(u8::MAX))
    }
}

impl Verb for Restore {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        self.restore(&id, call).map_err(|failure| failure.during("restore", &id))
    }
}
