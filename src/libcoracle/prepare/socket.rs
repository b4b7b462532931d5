//! Sockets the child talks through.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect as connect_to, listen, socket,
};

use crate::error::{Context, Result};

/// A stream connection to the socket at `path`.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    dial(path, SockType::Stream)
}

/// The listening socket `start` connects to.
pub fn gate(path: &Path) -> Result<OwnedFd> {
    let what = || format!("create {}", path.display());
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).context(what)?;
    bind(fd.as_raw_fd(), &UnixAddr::new(path).context(what)?).context(what)?;
    listen(&fd, Backlog::new(1).context(what)?).context(what)?;
    Ok(fd)
}

/// The other end of [`gate`].
pub fn knock(path: &Path) -> Result<OwnedFd> {
    dial(path, SockType::SeqPacket)
}

fn dial(path: &Path, kind: SockType) -> Result<OwnedFd> {
    let what = || format!("connect to {}", path.display());
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).context(what)?;
    connect_to(fd.as_raw_fd(), &UnixAddr::new(path).context(what)?).context(what)?;
    Ok(fd)
}
