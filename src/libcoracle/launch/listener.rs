//! The listener of a seccomp filter: fetched from the process that loads it, handed to whoever answers.
//!
//! The process says which number the listener will have before it loads the filter: afterwards every system call of
//! its own may be one that waits for an answer.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use coracle_sys::clone::pidfd_getfd;
use coracle_sys::{Errno, fds};
use nix::poll::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::error::{Context, Error, Kind, Result};
use crate::hooks::state_value;
use crate::prepare::connect;
use crate::store::record::State;
use crate::store::status::Status;

/// How long one look at the process takes: the filter is loaded a few microseconds after its announcement.
const PAUSE: Duration = Duration::from_micros(100);

/// Descriptor `number` of the process behind `pidfd`, as soon as it is a listener; `None` when the process ends first,
/// which is how it reports that the filter was refused.
pub fn fetch(pidfd: BorrowedFd<'_>, number: RawFd) -> Result<Option<OwnedFd>> {
    loop {
        // Looked at first: what is fetched below is then of a process that was alive.
        let mut ended = [PollFd::new(pidfd, PollFlags::POLLIN)];
        let ended = poll(&mut ended, 0u8).context(|| "look at the container's first process")? > 0;
        match pidfd_getfd(pidfd, number) {
            Ok(fd) if is_listener(&fd)? => return Ok(Some(fd)),
            Ok(_) | Err(Errno::EBADF | Errno::ESRCH) if ended => return Ok(None),
            Ok(_) | Err(Errno::EBADF | Errno::ESRCH) => std::thread::sleep(PAUSE),
            Err(errno) => return Err(Error::system("fetch the seccomp listener", errno)),
        }
    }
}

fn is_listener(fd: &OwnedFd) -> Result<bool> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let target = std::fs::read_link(&link).context(|| format!("read {link}"))?;
    Ok(target == Path::new("anon_inode:seccomp notify"))
}

/// Sends `listener` of process `pid` to the socket at `path`, with the container process state (config-linux.md,
/// "The Container Process State"): one message on a connection of its own.
pub fn send(
    path: &Path,
    metadata: Option<&str>,
    listener: BorrowedFd<'_>,
    pid: i32,
    state: &State,
    status: Status,
) -> Result<()> {
    let mut message = json!({
        "ociVersion": crate::OCI_VERSION,
        "fds": ["seccompFd"],
        "pid": pid,
        "state": state_value(state, state.init.pid, status),
    });
    if let Some(metadata) = metadata {
        message["metadata"] = metadata.into();
    }
    let socket = connect(path)?;
    let sent = fds::send_with_fd(socket.as_fd(), message.to_string().as_bytes(), Some(listener));
    sent.map_err(|errno| match errno {
        Errno::EMSGSIZE => Error::new(Kind::InvalidConfig, format!("send the seccomp listener to {}", path.display())),
        errno => Error::system(format!("send the seccomp listener to {}", path.display()), errno),
    })
}
