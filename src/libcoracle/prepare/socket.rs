//! Sockets the child talks through.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect as connect_to, listen, socket,
};
use nix::sys::stat::Mode;

use crate::error::{Context, Result};

/// A stream connection to the socket at `path`.
pub fn connect(path: &Path) -> Result<OwnedFd> {
    dial(path, SockType::Stream)
}

/// The listening socket `start` connects to.
pub fn gate(path: &Path) -> Result<OwnedFd> {
    let what = || format!("create {}", path.display());
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).context(what)?;
    at(path, |address| bind(fd.as_raw_fd(), address)).context(what)?;
    listen(&fd, Backlog::new(1).context(what)?).context(what)?;
    Ok(fd)
}

/// A datagram socket at `path`.
pub fn datagrams(path: &Path) -> Result<OwnedFd> {
    let what = || format!("create {}", path.display());
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).context(what)?;
    at(path, |address| bind(fd.as_raw_fd(), address)).context(what)?;
    Ok(fd)
}

/// The other end of [`gate`].
pub fn knock(path: &Path) -> Result<OwnedFd> {
    dial(path, SockType::SeqPacket)
}

fn dial(path: &Path, kind: SockType) -> Result<OwnedFd> {
    let what = || format!("connect to {}", path.display());
    let fd = socket(AddressFamily::Unix, kind, SockFlag::SOCK_CLOEXEC, None).context(what)?;
    at(path, |address| connect_to(fd.as_raw_fd(), address)).context(what)?;
    Ok(fd)
}

/// Calls `act` with the address of `path`. An address holds 107 bytes, and engines nest their directories deeper than
/// that: then it goes through a descriptor of the directory.
fn at(path: &Path, act: impl Fn(&UnixAddr) -> nix::Result<()>) -> nix::Result<()> {
    match (UnixAddr::new(path), path.parent(), path.file_name()) {
        (Err(nix::Error::ENAMETOOLONG), Some(directory), Some(name)) => {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let directory = open(directory, flags, Mode::empty())?;
            let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string());
            act(&UnixAddr::new(&short.join(name))?)
        }
        (address, ..) => act(&address?),
    }
}
