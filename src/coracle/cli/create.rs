//! `coracle create`

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use libcoracle::{ContainerId, CreateOptions, ops};

use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Create a container: everything but its program, which waits for `coracle start`
///
/// Reads config.json of the bundle, makes the container and returns when its process waits to run the program.
/// Later changes of config.json do not matter to it.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Create {
    #[command(flatten)]
    pub new: NewContainer,
    /// Name of the new container: letters, digits, _ + . and -
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

/// The options of every command that makes a container.
#[derive(Debug, Args)]
pub struct NewContainer {
    /// Directory of the bundle [default: the current directory]
    #[arg(long, short, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Read FILE, looked up in the bundle, instead of config.json
    #[arg(long, short = 'f', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Send the container's terminal to who listens on this AF_UNIX socket
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// Write the id of the container's first process to FILE
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Send a pidfd of the first process to who listens on this AF_UNIX socket
    #[arg(long, value_name = "SOCKET")]
    pidfd_socket: Option<PathBuf>,
    /// Do without pivot_root(2), which fails on a ramdisk; this confines less
    #[arg(long)]
    no_pivot: bool,
    /// Leave the container the caller's session keyring and its keys
    #[arg(long)]
    no_new_keyring: bool,
    /// Pass on N descriptors after 0, 1, 2 and those of $LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    preserve_fds: u32,
}

impl NewContainer {
    /// The library's options, from what the caller handed over. `bundle` is where the container comes from.
    pub fn options(&self, bundle: &Path, call: &Call) -> Result<CreateOptions, Failure> {
        let listen_fds = call.inherited.check(self.preserve_fds)?;
        let bundle = absolute(bundle)?;
        let in_bundle = |path: &Option<PathBuf>| path.as_ref().map(|path| bundle.join(path));
        Ok(CreateOptions {
            config: in_bundle(&self.config),
            console_socket: in_bundle(&self.console_socket),
            pid_file: self.pid_file.as_deref().map(absolute).transpose()?,
            pidfd_socket: in_bundle(&self.pidfd_socket),
            no_pivot: self.no_pivot,
            no_new_keyring: self.no_new_keyring,
            listen_fds,
            preserve_fds: self.preserve_fds,
            notify_socket: notify_socket(),
            cgroups: call.global.cgroups()?,
            rootless: call.global.rootless()?,
            debug: call.global.debug,
            bundle,
        })
    }

    /// The bundle that was asked for.
    pub fn bundle(&self) -> &Path {
        self.bundle.as_deref().unwrap_or(Path::new("."))
    }
}

/// Where the service manager listens, if one started this process (sd_notify(3)).
pub(super) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::system(format!("find {}", path.display()), &error))
}

impl Create {
    fn create(&self, id: &ContainerId, call: &Call) -> Result<(), Failure> {
        let options = self.new.options(self.new.bundle(), call)?;
        Ok(ops::create(&call.global.root()?, id, &options)?)
    }
}

impl Verb for Create {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        self.create(&id, call).map_err(|failure| failure.during("create", &id))?;
        Ok(0)
    }
}
