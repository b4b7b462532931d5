//! Reading a file that somebody else wrote, whatever it turns out to be.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use coracle_sys::Errno;
use nix::fcntl::{OFlag, open, openat, readlink};
use nix::sys::stat::{Mode, SFlag, fstat};

use crate::error::{Context, Error, Kind, Result};

/// The longest file that is taken for a configuration, in bytes.
const LONGEST: u64 = 16 << 20;

/// Opens a bundle's directory; also gives its path as the kernel knows it, without symbolic links.
///
/// # Errors
/// [`Error`] when there is no such directory.
pub fn directory(path: &Path) -> Result<(OwnedFd, PathBuf)> {
    let what = || format!("open bundle {}", path.display());
    let dir = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).context(what)?;
    let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&dir));
    let real = readlink(link.as_str()).context(what)?;
    Ok((dir, PathBuf::from(real)))
}

/// A file that was read.
pub struct Read {
    pub bytes: Vec<u8>,
    /// User id of its owner.
    pub owner: u32,
    /// Whether everybody may write to it.
    pub open_to_all: bool,
}

/// The content of a regular file of at most 16 MiB; opening neither waits for a FIFO's writer nor takes a terminal.
///
/// # Errors
/// [`Kind::NotFound`] without a file; [`Kind::InvalidConfig`] for something else than such a file.
pub fn read(dir: &impl AsFd, path: &Path) -> Result<Read> {
    let shown = path.display();
    let invalid = |problem: &str| Err(Error::new(Kind::InvalidConfig, format!("{shown}: {problem}")));
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let fd = openat(dir, path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::ENOENT => Error::new(Kind::NotFound, format!("JSON specification file {shown} not found")),
        errno => Error::system(format!("open {shown}"), errno),
    })?;
    let stat = fstat(&fd).context(|| format!("read {shown}"))?;
    let kind = match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => None,
        SFlag::S_IFDIR => Some("is a directory, not a file"),
        SFlag::S_IFIFO => Some("is a FIFO, not a file"),
        _ => Some("is a device, not a file"),
    };
    if let Some(problem) = kind {
        return invalid(problem);
    }
    let size = usize::try_from(stat.st_size).unwrap_or_default();
    let mut bytes = Vec::with_capacity(size.min(LONGEST as usize) + 1);
    File::from(fd).take(LONGEST + 1).read_to_end(&mut bytes).context(|| format!("read {shown}"))?;
    if bytes.len() as u64 > LONGEST {
        return invalid("is larger than 16 MiB");
    }
    Ok(Read { bytes, owner: stat.st_uid, open_to_all: stat.st_mode & 0o002 != 0 })
}
