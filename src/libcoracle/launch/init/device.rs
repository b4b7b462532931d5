//! Device nodes and links, made below a directory opened once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::device::{Device, Link};
use coracle_plan::step::MountPoint;
use coracle_sys::mount::{OPEN_TREE_CLONE, move_mount, open_tree};
use coracle_sys::{Errno, fs};
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstat, mknodat};
use nix::unistd::{UnlinkatFlags, fchownat, symlinkat, unlinkat};

use super::path::{directory, mount_point, open_in, split};
use super::{Failure, Init, Result};

impl<'a> Init<'a> {
    /// The directory at `path`; that of the last call is kept, as the devices follow each other.
    fn parent(&mut self, path: &'a [u8]) -> Result<BorrowedFd<'_>> {
        if self.directory.as_ref().is_none_or(|(kept, _)| *kept != path) {
            self.directory = Some((path, directory(self.root()?, path)?));
        }
        Ok(self.directory.as_ref().ok_or(Errno::EBADF)?.1.as_fd())
    }

    pub fn mknod(&mut self, device: &'a Device) -> Result<()> {
        let (path, name) = split(&device.path)?;
        let dir = self.parent(path)?;
        let kind = SFlag::from_bits_truncate(device.type_bits());
        let number = nix::sys::stat::makedev(device.major.into(), device.minor.into());
        match mknodat(dir, name, kind, Mode::from_bits_truncate(device.mode), number) {
            // It has its mode, as the umask is 0, and its owner.
            Ok(()) if !device.chown => Ok(()),
            Ok(()) | Err(Errno::EEXIST) => own(dir, name, device),
            Err(Errno::EPERM) if device.type_bits() != libc::S_IFIFO => self.bind_device(device),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The host's node, where making one is not allowed.
    fn bind_device(&self, device: &Device) -> Result<()> {
        let node = device_on_host(device)?;
        let place = mount_point(self.root()?, &device.path, MountPoint::File, false)?;
        Ok(move_mount(node.as_fd(), place.as_fd())?)
    }

    pub fn symlink(&mut self, link: &'a Link) -> Result<()> {
        if let Some(needs) = &link.needs
            && let Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) =
                open_in(self.root()?, needs, OFlag::O_PATH | OFlag::O_NOFOLLOW, false)
        {
            return Ok(());
        }
        let (path, name) = split(&link.at)?;
        let dir = self.parent(path)?;
        match symlinkat(link.to.as_c_str(), dir, name) {
            Err(Errno::EEXIST) if link.replace => {
                unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
                Ok(symlinkat(link.to.as_c_str(), dir, name)?)
            }
            Err(Errno::EEXIST) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Whatever is there now, made by us or by the image, must be the device that was asked for; it gets the mode and
/// owner it lacks.
fn own(dir: BorrowedFd<'_>, name: &std::ffi::CStr, device: &Device) -> Result<()> {
    let node = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    let stat = fstat(&node)?;
    let fifo = device.type_bits() == libc::S_IFIFO;
    let number = nix::sys::stat::makedev(device.major.into(), device.minor.into());
    if stat.st_mode & libc::S_IFMT != device.type_bits() || !fifo && stat.st_rdev != number {
        return Err(Failure::said(Errno::EEXIST, "something else is there already"));
    }
    if (stat.st_uid, stat.st_gid) != (device.uid, device.gid) {
        let (uid, gid) = (Some(device.uid.into()), Some(device.gid.into()));
        fchownat(&node, c"", uid, gid, AtFlags::AT_EMPTY_PATH)?;
    }
    if stat.st_mode & 0o7777 != device.mode {
        match fs::chmod(node.as_fd(), device.mode) {
            // By name it may be another's that was put there since.
            Err(Errno::ENOSYS) => {
                fchmodat(dir, name, Mode::from_bits_truncate(device.mode), FchmodatFlags::NoFollowSymlink)?;
            }
            other => other?,
        }
    }
    Ok(())
}

fn device_on_host(device: &Device) -> Result<OwnedFd> {
    let node = open_tree(AT_FDCWD, &device.host, OPEN_TREE_CLONE)?;
    let stat = fstat(&node)?;
    let number = nix::sys::stat::makedev(device.major.into(), device.minor.into());
    if stat.st_mode & libc::S_IFMT != device.type_bits() || stat.st_rdev != number {
        return Err(Failure::said(Errno::EPERM, "the host has another device of this name"));
    }
    Ok(node)
}
