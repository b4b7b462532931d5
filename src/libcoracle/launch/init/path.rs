//! Paths below the root filesystem: resolved by the kernel so that nothing in the container leads outside it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::step::MountPoint;
use coracle_sys::{Errno, Result};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// The longest path the kernel takes.
const PATH_MAX: usize = 4096;

/// Opens `path` below `root` with `flags`; symbolic links are followed as if `root` were `/`.
pub fn open_in(root: BorrowedFd<'_>, path: &CStr, flags: OFlag, no_symlinks: bool) -> Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if no_symlinks {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        match openat2(root, path, how) {
            // A rename elsewhere made the kernel unsure; it asks to be asked again (openat2(2)).
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Opens the mount point, making what is missing of it.
pub fn mount_point(root: BorrowedFd<'_>, path: &CStr, kind: MountPoint, no_symlinks: bool) -> Result<OwnedFd> {
    match open_in(root, path, OFlag::O_PATH, no_symlinks) {
        Err(Errno::ENOENT) => make(root, path, kind)?,
        other => return other,
    }
    open_in(root, path, OFlag::O_PATH, no_symlinks)
}

/// Makes `path` below `root` and every directory missing on the way.
pub fn make(root: BorrowedFd<'_>, path: &CStr, kind: MountPoint) -> Result<()> {
    let bytes = path.to_bytes();
    let mut prefix = [0u8; PATH_MAX];
    if bytes.len() >= PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    let mut parent = open_in(root, c".", OFlag::O_PATH | OFlag::O_DIRECTORY, false)?;
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes[start..].iter().position(|b| *b == b'/').map_or(bytes.len(), |n| start + n);
        if end > start {
            prefix[..end].copy_from_slice(&bytes[..end]);
            prefix[end] = 0;
            let so_far = CStr::from_bytes_until_nul(&prefix).map_err(|_| Errno::EINVAL)?;
            parent = match open_in(root, so_far, OFlag::O_PATH, false) {
                Err(Errno::ENOENT) => {
                    let name = CStr::from_bytes_until_nul(&prefix[start..]).map_err(|_| Errno::EINVAL)?;
                    create(parent.as_fd(), name, if end == bytes.len() { kind } else { MountPoint::Directory })?;
                    open_in(root, so_far, OFlag::O_PATH, false)?
                }
                other => other?,
            };
        }
        start = end + 1;
    }
    Ok(())
}

fn create(parent: BorrowedFd<'_>, name: &CStr, kind: MountPoint) -> Result<()> {
    let made = match kind {
        MountPoint::Directory => mkdirat(parent, name, Mode::from_bits_truncate(0o755)),
        MountPoint::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    };
    match made {
        // Somebody else made it in the meantime; what it is shows when it is opened.
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Splits `path` into its directory, opened below `root`, and its last component.
pub fn parent_of<'p>(root: BorrowedFd<'_>, path: &'p CStr) -> Result<(OwnedFd, &'p CStr)> {
    let bytes = path.to_bytes_with_nul();
    let slash = path.to_bytes().iter().rposition(|b| *b == b'/');
    let name = CStr::from_bytes_with_nul(&bytes[slash.map_or(0, |i| i + 1)..]).map_err(|_| Errno::EINVAL)?;
    let mut buf = [0u8; PATH_MAX];
    let dir = match slash {
        None | Some(0) => c".",
        Some(n) if n < PATH_MAX => {
            buf[..n].copy_from_slice(&bytes[..n]);
            CStr::from_bytes_until_nul(&buf).map_err(|_| Errno::EINVAL)?
        }
        Some(_) => return Err(Errno::ENAMETOOLONG),
    };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let opened = match open_in(root, dir, flags, false) {
        Err(Errno::ENOENT) => {
            make(root, dir, MountPoint::Directory)?;
            open_in(root, dir, flags, false)?
        }
        other => other?,
    };
    Ok((opened, name))
}
