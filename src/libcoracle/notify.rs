//! Word to the service manager that the container is ready (sd_notify(3)).
//!
//! The manager takes such word from processes it knows, which those of a container are not, on a socket they cannot
//! reach. So there is another socket, bound into the container; whoever starts the container listens on it and passes
//! on the one thing that is meant for the manager, as its own.

use std::ffi::OsStr;
use std::io::Result as IoResult;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

use coracle_sys::fds::send_with_fd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, pipe2};
use oci_spec::runtime::{Mount, Spec};
use serde_json::json;

use crate::error::{Context, Error, Kind, Result};
use crate::prepare::datagrams;

/// The directory, in that of the container and in the container itself.
pub const DIRECTORY: &str = "notify";
const INSIDE: &str = "/run/notify";
/// The socket in it.
pub const SOCKET: &str = "notify.sock";
/// How long the manager may take to have read what it was told, in milliseconds.
const PATIENCE: u16 = 30_000;

/// Makes the directory of the socket in `entry`, the container's; `spec` with it and its name inside.
///
/// # Errors
/// The directory cannot be made.
pub fn amend(spec: &Spec, entry: &Path) -> Result<Spec> {
    let directory = entry.join(DIRECTORY);
    let made = std::fs::DirBuilder::new().mode(0o755).create(&directory);
    made.context(|| format!("create {}", directory.display()))?;
    with_mount(spec, entry)
}

/// `spec` with the directory of the socket that [`amend`] has made.
pub fn with_mount(spec: &Spec, entry: &Path) -> Result<Spec> {
    let directory = entry.join(DIRECTORY);
    let mount = json!({"destination": INSIDE, "type": "bind", "source": directory,
        "options": ["bind", "nosuid", "noexec", "nodev", "ro"]});
    let mount: Mount = serde_json::from_value(mount)
        .map_err(|error| Error::new(Kind::InvalidState, format!("mount {}: {error}", directory.display())))?;
    let mut spec = spec.clone();
    spec.set_mounts(Some(spec.mounts().iter().flatten().cloned().chain([mount]).collect()));
    if let Some(mut process) = spec.process().clone() {
        let name = format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}");
        process.set_env(Some(process.env().iter().flatten().cloned().chain([name]).collect()));
        spec.set_process(Some(process));
    }
    Ok(spec)
}

/// The two sockets.
pub struct Notify {
    inside: UnixDatagram,
    manager: UnixDatagram,
}

impl Notify {
    /// Listens in `entry`, the container's directory, for word to `manager`: a path, or `@` and an abstract name.
    ///
    /// # Errors
    /// Either socket cannot be had.
    pub fn listen(entry: &Path, manager: &OsStr) -> Result<Notify> {
        let path = entry.join(DIRECTORY).join(SOCKET);
        let inside = datagrams(&path)?.into();
        let open = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777));
        open.context(|| format!("open {} to everybody", path.display()))?;
        let manager = connect(manager).context(|| format!("connect to NOTIFY_SOCKET {}", manager.display()))?;
        Ok(Notify { inside, manager })
    }

    /// Waits until the container is ready or `init`, a pidfd, has ended. The manager learns that it is, and that
    /// `main` is the process to watch.
    ///
    /// # Errors
    /// A socket fails.
    pub fn pass_on(&self, init: BorrowedFd<'_>, main: Pid) -> Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let mut fds = [PollFd::new(self.inside.as_fd(), PollFlags::POLLIN), PollFd::new(init, PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(coracle_sys::Errno::EINTR) => {}
                Err(errno) => return Err(Error::system("wait for the container to be ready", errno)),
            }
            let said = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
            if said(&fds[0]) {
                let n = self.inside.recv(&mut buffer).context(|| "read what the container says")?;
                if buffer[..n].split(|byte| *byte == b'\n').any(|line| line.starts_with(b"READY=")) {
                    return self.ready(main);
                }
            } else if said(&fds[1]) {
                return Ok(());
            }
        }
    }

    /// Tells the manager that the container is ready, and that `main` is the process to watch.
    pub fn ready(&self, main: Pid) -> Result<()> {
        self.tell(main).context(|| "tell the service manager that the container is ready")
    }

    /// What is said counts only as long as the process that says it is there: so this waits until it was read.
    fn tell(&self, main: Pid) -> IoResult<()> {
        self.manager.send(b"READY=1\n")?;
        self.manager.send(format!("MAINPID={main}\n").as_bytes())?;
        let (read, theirs) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        send_with_fd(self.manager.as_fd(), b"BARRIER=1", Some(theirs.as_fd()))?;
        drop(theirs);
        poll(&mut [PollFd::new(read.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PATIENCE))?;
        Ok(())
    }

    /// [`pass_on`](Notify::pass_on) beside whatever else this process does.
    pub fn pass_on_aside(self, init: OwnedFd, main: Pid) {
        std::thread::spawn(move || {
            if let Err(error) = self.pass_on(init.as_fd(), main) {
                tracing::warn!("{error}");
            }
        });
    }
}

fn connect(name: &OsStr) -> IoResult<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(Path::new(name))?,
    }
    Ok(socket)
}
