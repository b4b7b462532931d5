//! Namespaces given by path.

use std::os::fd::OwnedFd;
use std::path::Path;

use coracle_plan::namespaces::Kind as Namespace;
use coracle_sys::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat};

use crate::error::{Error, Kind, Result};

/// Opens the namespace at `path`, which the configuration names at `pointer`. With `not_ours` it must not be the one
/// this process is in: the value is what of the configuration could not be done then.
///
/// # Errors
/// [`Kind::InvalidConfig`] for what is no namespace, or one of another kind.
pub fn open_as(kind: Namespace, path: &Path, pointer: &str, not_ours: Option<&str>) -> Result<OwnedFd> {
    let shown = path.display();
    let what = || format!("config.json {pointer}: open {kind} namespace {shown}");
    // A fifo or a terminal in the place of a namespace must neither block nor become this process's own.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let fd = open(path, flags, Mode::empty()).map_err(|errno| Error::system(what(), errno))?;
    let invalid = |text: String| Error::new(Kind::InvalidConfig, format!("config.json {pointer}: {shown} {text}"));
    match coracle_sys::namespace::kind(&fd) {
        Ok(flag) if flag == kind.flag() => {}
        Ok(flag) => {
            let other = Namespace::ALL.iter().find(|k| k.flag() == flag);
            let other = other.map_or_else(|| format!("{flag:#x}"), ToString::to_string);
            return Err(invalid(format!("is a {other} namespace, not a {kind} namespace")));
        }
        Err(Errno::ENOTTY | Errno::EINVAL) => return Err(invalid("is not a namespace".to_owned())),
        Err(errno) => return Err(Error::system(what(), errno)),
    }
    if let Some(pointer) = not_ours
        && is_own(kind, &fd)?
    {
        let text = format!("config.json {pointer}: {shown} is the {kind} namespace of the host");
        return Err(Error::new(Kind::InvalidConfig, text));
    }
    Ok(fd)
}

fn is_own(kind: Namespace, fd: &OwnedFd) -> Result<bool> {
    let own = format!("/proc/self/ns/{}", kind.file());
    let own = nix::sys::stat::stat(own.as_str()).map_err(|e| Error::system(format!("look at {own}"), e))?;
    let other = fstat(fd).map_err(|e| Error::system(format!("look at a {kind} namespace"), e))?;
    Ok((own.st_dev, own.st_ino) == (other.st_dev, other.st_ino))
}
