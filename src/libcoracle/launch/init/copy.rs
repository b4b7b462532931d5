//! Copying a directory tree into a new filesystem (`tmpcopyup`): contents, kinds, owners and modes.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use coracle_sys::{Errno, Result, fs};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstat, fstatat, mkdirat, mknodat};
use nix::unistd::{fchownat, symlinkat};

/// Directories below directories are copied to this depth; each level takes a page of stack.
const DEPTH: u32 = 256;

/// Copies everything in the directory `from` into the directory `to`.
pub fn tree(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    directory(from, to, 0)
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
    if depth == DEPTH {
        return Err(Errno::ENAMETOOLONG);
    }
    let from = openat(from, c".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut buf = [0u8; 4096];
    loop {
        let names = fs::names(from.as_fd(), &mut buf)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names.filter(|name| *name != c"." && *name != c"..") {
            entry(from.as_fd(), to, name, depth)?;
        }
    }
}

fn entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT);
    // Owner and mode are those of what was opened: whatever is exchanged meanwhile, they belong to the content.
    let stat = match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, Mode::S_IRWXU)?;
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let (inner, copy) = (openat(from, name, flags, Mode::empty())?, openat(to, name, flags, Mode::empty())?);
            directory(inner.as_fd(), copy.as_fd(), depth + 1)?;
            fstat(&inner)?
        }
        SFlag::S_IFREG => file(from, to, name)?,
        SFlag::S_IFLNK => {
            link(from, to, name)?;
            stat
        }
        SFlag::S_IFSOCK => return Ok(()),
        other => {
            mknodat(to, name, other, Mode::S_IRUSR, stat.st_rdev)?;
            stat
        }
    };
    finish(to, name, &stat, kind == SFlag::S_IFLNK)
}

/// Copies a regular file and nothing else: a fifo in its place would keep the container waiting, and what is on a device
/// is not the image's.
fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<FileStat> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let input = openat(from, name, flags | OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty())?;
    let stat = fstat(&input)?;
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
        return Err(Errno::ESTALE);
    }
    let output = openat(to, name, flags | OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, Mode::S_IRUSR)?;
    while fs::copy_data(input.as_fd(), output.as_fd(), 1 << 20)? > 0 {}
    Ok(stat)
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Result<()> {
    let mut buf = [0u8; 4096];
    let last = buf.len() - 1;
    let len = fs::readlink(from, name, &mut buf[..last])?.len();
    buf[len] = 0;
    let target = CStr::from_bytes_until_nul(&buf).map_err(|_| Errno::EINVAL)?;
    symlinkat(target, to, name)
}

/// Owner, then mode, which a change of owner takes bits from.
fn finish(to: BorrowedFd<'_>, name: &CStr, stat: &FileStat, link: bool) -> Result<()> {
    let (uid, gid) = (Some(stat.st_uid.into()), Some(stat.st_gid.into()));
    match fchownat(to, name, uid, gid, AtFlags::AT_SYMLINK_NOFOLLOW) {
        // An owner the user namespace has no id for stays behind.
        Ok(()) | Err(Errno::EINVAL) => {}
        other => other?,
    }
    if link {
        return Ok(());
    }
    fchmodat(to, name, Mode::from_bits_truncate(stat.st_mode & 0o7777), FchmodatFlags::FollowSymlink)
}
