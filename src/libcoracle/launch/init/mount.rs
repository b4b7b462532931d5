//! Mounts: every one attached by descriptor to a place opened below the root.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::device::Device;
use coracle_plan::source::{Propagation, Slot};
use coracle_plan::step::{FsMount, MountPoint, Target};
use coracle_sys::Errno;
use coracle_sys::mount::{
    AT_RECURSIVE, FsConfig, MountAttr, OPEN_TREE_CLONE, attr, fs_message, fsconfig, fsmount, fsopen, mount_setattr,
    move_mount, open_tree,
};
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fstat, mknodat};
use nix::unistd::{chdir, fchdir, fchownat, pivot_root, symlinkat};

use super::path::{make, mount_point, open_in, parent_of};
use super::{Failure, Init, Result, TEXT};

const NONE: Option<&CStr> = None;

/// Changes the propagation of the mount at an absolute path.
pub fn propagation(path: &CStr, change: Propagation) -> Result<()> {
    let mut flags = MsFlags::from_bits_retain(change.flag);
    if change.recursive {
        flags |= MsFlags::MS_REC;
    }
    Ok(mount(NONE, path, NONE, flags, NONE)?)
}

impl Init<'_> {
    pub fn attach_rootfs(&mut self, slot: Slot, at: &CStr) -> Result<()> {
        let place = nix::fcntl::open(at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        move_mount(self.slot(slot)?, place.as_fd())?;
        let super::Filled::Fd(root) = std::mem::replace(&mut self.slots[slot.0], super::Filled::Empty) else {
            return Err(Errno::EBADF.into());
        };
        self.root = Some(root);
        Ok(())
    }

    pub fn attach_tree(&self, slot: Slot, target: &Target) -> Result<()> {
        let tree = self.slot(slot)?;
        let is_dir = fstat(tree)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let kind = if is_dir { MountPoint::Directory } else { MountPoint::File };
        let place = mount_point(self.root()?, &target.path, kind, target.no_symlinks)?;
        Ok(move_mount(tree, place.as_fd())?)
    }

    pub fn mount_fs(&self, fs: &FsMount) -> Result<()> {
        let place = mount_point(self.root()?, &fs.target.path, fs.target.kind, fs.target.no_symlinks)?;
        let context = fsopen(&fs.fstype)?;
        let told = |result: coracle_sys::Result<()>| result.map_err(|errno| with_message(context.as_fd(), errno));
        for (key, value) in &fs.params {
            told(fsconfig(
                context.as_fd(),
                match value {
                    Some(value) => FsConfig::String(key, value),
                    None => FsConfig::Flag(key),
                },
            ))?;
        }
        if fs.inherit_mode {
            let mode = fstat(&place)?.st_mode & 0o7777;
            let digits = octal(mode);
            let text = CStr::from_bytes_until_nul(&digits).map_err(|_| Errno::EINVAL)?;
            told(fsconfig(context.as_fd(), FsConfig::String(c"mode", text)))?;
        }
        told(fsconfig(context.as_fd(), FsConfig::Create))?;
        let tree = fsmount(context.as_fd(), fs.attributes.set).map_err(|e| with_message(context.as_fd(), e))?;
        move_mount(tree.as_fd(), place.as_fd())?;
        for change in &fs.propagation {
            mount_setattr(tree.as_fd(), change.recursive, change.change(), None)?;
        }
        Ok(())
    }

    pub fn make_readonly(&self, target: &Target) -> Result<()> {
        let place = open_in(self.root()?, &target.path, OFlag::O_PATH, target.no_symlinks)?;
        Ok(mount_setattr(place.as_fd(), false, READONLY, None)?)
    }

    pub fn mknod(&self, device: &Device) -> Result<()> {
        let (dir, name) = parent_of(self.root()?, &device.path)?;
        let kind = SFlag::from_bits_truncate(device.type_bits());
        let number = nix::sys::stat::makedev(device.major.into(), device.minor.into());
        match mknodat(&dir, name, kind, Mode::from_bits_truncate(device.mode), number) {
            Err(Errno::EEXIST) => {}
            other => other?,
        }
        // Whatever is there now, made by us or by the image: it must be the device that was asked for.
        let node = openat(&dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
        let stat = fstat(&node)?;
        let wanted = if device.type_bits() == libc::S_IFIFO { 0 } else { number };
        if stat.st_mode & libc::S_IFMT != device.type_bits() || stat.st_rdev != wanted {
            return Err(Errno::EEXIST.into());
        }
        nix::sys::stat::fchmodat(&dir, name, Mode::from_bits_truncate(device.mode), FchmodatFlags::FollowSymlink)?;
        let (uid, gid) = (Some(device.uid.into()), Some(device.gid.into()));
        Ok(fchownat(&node, c"", uid, gid, AtFlags::AT_EMPTY_PATH)?)
    }

    pub fn symlink(&self, to: &CStr, at: &CStr) -> Result<()> {
        let (dir, name) = parent_of(self.root()?, at)?;
        match symlinkat(to, &dir, name) {
            Err(Errno::EEXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    pub fn pivot(&mut self) -> Result<()> {
        fchdir(self.root()?)?;
        pivot_root(c".", c".")?;
        // The old root lies on top of the new one; it goes with everything below it.
        umount2(c".", MntFlags::MNT_DETACH)?;
        Ok(chdir(c"/")?)
    }

    pub fn move_root(&mut self) -> Result<()> {
        fchdir(self.root()?)?;
        mount(Some(c"."), c"/", NONE, MsFlags::MS_MOVE, NONE)?;
        self.chroot()
    }

    pub fn chroot(&mut self) -> Result<()> {
        fchdir(self.root()?)?;
        nix::unistd::chroot(c".")?;
        Ok(chdir(c"/")?)
    }

    pub fn readonly(&self, path: &CStr) -> Result<()> {
        let Some(place) = self.existing(path)? else { return Ok(()) };
        let tree = open_tree(place.as_fd(), c"", OPEN_TREE_CLONE | AT_RECURSIVE | libc::AT_EMPTY_PATH as u32)?;
        mount_setattr(tree.as_fd(), false, READONLY, None)?;
        Ok(move_mount(tree.as_fd(), place.as_fd())?)
    }

    pub fn mask(&mut self, path: &CStr) -> Result<()> {
        let Some(place) = self.existing(path)? else { return Ok(()) };
        let is_dir = fstat(&place)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
        let cover = if is_dir { self.empty_directory()? } else { self.null_device()? };
        Ok(move_mount(cover.as_fd(), place.as_fd())?)
    }

    pub fn root_readonly(&self) -> Result<()> {
        Ok(mount_setattr(self.root()?, false, READONLY, None)?)
    }

    pub fn make_cwd(&self, path: &CStr) -> Result<()> {
        match open_in(self.root()?, path, OFlag::O_PATH, false) {
            Err(Errno::ENOENT) => Ok(make(self.root()?, path, MountPoint::Directory)?),
            _ => Ok(()),
        }
    }

    fn existing(&self, path: &CStr) -> Result<Option<OwnedFd>> {
        match open_in(self.root()?, path, OFlag::O_PATH, false) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            other => Ok(Some(other?)),
        }
    }

    /// A detached mount of the container's /dev/null, which is made sure to be one (CVE-2025-31133).
    fn null_device(&mut self) -> Result<OwnedFd> {
        if self.null.is_none() {
            let null = open_in(self.root()?, c"dev/null", OFlag::O_PATH, false)?;
            let stat = fstat(&null)?;
            if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || stat.st_rdev != nix::sys::stat::makedev(1, 3) {
                return Err(Errno::ENODEV.into());
            }
            self.null = Some(null);
        }
        copy(&self.null)
    }

    /// A detached mount of an empty, read-only directory; the first is made, the others are copies.
    fn empty_directory(&mut self) -> Result<OwnedFd> {
        if self.empty.is_none() {
            let context = fsopen(c"tmpfs")?;
            fsconfig(context.as_fd(), FsConfig::String(c"nr_blocks", c"1"))?;
            fsconfig(context.as_fd(), FsConfig::String(c"nr_inodes", c"1"))?;
            fsconfig(context.as_fd(), FsConfig::Flag(c"ro"))?;
            fsconfig(context.as_fd(), FsConfig::Create)?;
            let attributes = attr::RDONLY;
            self.empty = Some(fsmount(context.as_fd(), attributes)?);
        }
        copy(&self.empty)
    }
}

const READONLY: MountAttr = MountAttr { set: attr::RDONLY, clear: 0, propagation: 0 };

fn copy(of: &Option<OwnedFd>) -> Result<OwnedFd> {
    let fd = of.as_ref().ok_or(Errno::EBADF)?;
    Ok(open_tree(fd.as_fd(), c"", OPEN_TREE_CLONE | libc::AT_EMPTY_PATH as u32)?)
}

/// The errno, and what the kernel left in the filesystem context.
fn with_message(context: BorrowedFd<'_>, errno: Errno) -> Failure {
    let mut failure = Failure::from(errno);
    let mut raw = [0u8; TEXT];
    let n = fs_message(context, &mut raw);
    // Messages start with their level: `e `, `w ` or `i `.
    let text = raw[..n].get(2..).unwrap_or_default();
    failure.text[..text.len()].copy_from_slice(text);
    failure.len = text.len();
    failure
}

fn octal(mode: u32) -> [u8; 8] {
    let mut digits = [0u8; 8];
    for (i, place) in digits.iter_mut().take(4).enumerate() {
        *place = b'0' + (mode >> (9 - 3 * i) & 7) as u8;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_in_octal() {
        assert_eq!(&octal(0o1777)[..5], b"1777\0");
        assert_eq!(&octal(0o755)[..5], b"0755\0");
    }
}
