//! Mounts: every one attached by descriptor to a place opened below the root.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::source::{Attributes, Propagation, Slot, Tree};
use coracle_plan::step::{FsMount, MountPoint, OldMount, OnProc, Place, Remount, Target};
use coracle_sys::Errno;
use coracle_sys::mount::{
    AT_RECURSIVE, FsConfig, MountAttr, OPEN_TREE_CLONE, attr, fs_message, fsconfig, fsmount, fsopen, fspick,
    mount_setattr, move_mount, open_tree,
};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{chdir, fchdir, pivot_root};

use super::path::{Found, PATH_MAX, find, itself, make_target, mount_point, open_in, split};
use super::{Failure, Filled, Init, Result, TEXT, copy, link};
use crate::prepare::tree;

const NONE: Option<&CStr> = None;

/// Changes the propagation of the mount at an absolute path.
pub fn propagation(path: &CStr, change: Propagation) -> Result<()> {
    let mut flags = MsFlags::from_bits_retain(change.flag);
    if change.recursive {
        flags |= MsFlags::MS_REC;
    }
    Ok(mount(NONE, path, NONE, flags, NONE)?)
}

/// Takes a mount of the host's away, or covers it where that is not allowed.
pub fn hide(path: &CStr) -> Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::EPERM | Errno::EINVAL) => {}
        Err(Errno::ENOENT) => return Ok(()),
        other => return Ok(other?),
    }
    match mount(Some(c"tmpfs"), path, Some(c"tmpfs"), MsFlags::empty(), NONE) {
        Err(Errno::ENOENT) => Ok(()),
        other => Ok(other?),
    }
}

impl Init<'_> {
    pub fn attach_rootfs(&mut self, slot: Slot, at: &CStr) -> Result<()> {
        let place = nix::fcntl::open(at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        move_mount(self.slot(slot)?, place.as_fd())?;
        self.use_rootfs(slot)
    }

    pub fn use_rootfs(&mut self, slot: Slot) -> Result<()> {
        let Filled::Fd(root) = std::mem::replace(&mut self.slots[slot.0], Filled::Empty) else {
            return Err(Errno::EBADF.into());
        };
        self.root = Some(root);
        Ok(())
    }

    pub fn open_tree(&mut self, slot: Slot, tree: &Tree) -> Result<()> {
        self.slots[slot.0] = Filled::Fd(tree::copy(tree)?);
        Ok(())
    }

    /// Opens the mount point of `target`, making it like `what` if it is missing.
    fn place(&self, target: &Target, what: Option<BorrowedFd<'_>>) -> Result<Found> {
        let found = match find(self.root()?, target)? {
            _ if target.itself => itself(self.root()?, &target.path)?,
            Some(found) => found,
            None => make_target(self.root()?, target, like(target, what)?)?,
        };
        let on_proc = match (found.place, target.on_proc, what) {
            (Place::Ordinary, ..) | (Place::Proc, OnProc::Always, _) => return Ok(found),
            (Place::Proc, OnProc::IfProcfs, Some(tree)) => fstatfs(tree)?.filesystem_type() == PROC_SUPER_MAGIC,
            _ => false,
        };
        if on_proc { Ok(found) } else { Err(Failure::said(Errno::EPERM, "only a procfs can be mounted on /proc")) }
    }

    pub fn attach_tree(&self, slot: Slot, target: &Target, copy_link: bool) -> Result<()> {
        let tree = self.slot(slot)?;
        if copy_link && fstat(tree)?.st_mode & libc::S_IFMT == libc::S_IFLNK {
            return link::copy(tree, self.root()?, &target.path);
        }
        let found = self.place(target, Some(tree))?;
        Ok(move_mount(tree, found.fd.as_fd())?)
    }

    pub fn mount_fs(&mut self, fs: &FsMount) -> Result<()> {
        let found = self.place(&fs.target, None)?;
        let context = fsopen(&fs.fstype)?;
        let told = |result: coracle_sys::Result<()>| result.map_err(|errno| with_message(context.as_fd(), errno));
        told(configure(context.as_fd(), &fs.params))?;
        if fs.inherit_mode && !found.made {
            let digits = octal(fstat(&found.fd)?.st_mode & 0o7777);
            let text = CStr::from_bytes_until_nul(&digits).map_err(|_| Errno::EINVAL)?;
            told(fsconfig(context.as_fd(), FsConfig::String(c"mode", text)))?;
        }
        told(fsconfig(context.as_fd(), FsConfig::Create))?;
        let tree = fsmount(context.as_fd(), fs.attributes.set).map_err(|e| with_message(context.as_fd(), e))?;
        if fs.copy_up {
            copy::tree(found.fd.as_fd(), tree.as_fd())?;
        }
        move_mount(tree.as_fd(), found.fd.as_fd())?;
        let own = Attributes { set: 0, clear: 0, ..fs.attributes };
        adjust(tree.as_fd(), &own, &fs.propagation)?;
        if let Some(slot) = fs.keep {
            self.slots[slot.0] = Filled::Fd(tree);
        }
        Ok(())
    }

    pub fn mount_old(&self, old: &OldMount) -> Result<()> {
        let found = self.place(&old.target, None)?;
        // The place by descriptor, without a path: "." is where it is, whatever is renamed meanwhile.
        fchdir(&found.fd)?;
        let flags = MsFlags::from_bits_retain(old.flags);
        mount(Some(old.source.as_c_str()), c".", Some(old.fstype.as_c_str()), flags, Some(old.data.as_c_str()))?;
        if old.attributes.all() == MountAttr::default() && old.propagation.is_empty() {
            return Ok(());
        }
        let mounted = open_in(self.root()?, &old.target.path, OFlag::O_PATH, false)?;
        adjust(mounted.as_fd(), &old.attributes, &old.propagation)
    }

    pub fn remount(&self, remount: &Remount) -> Result<()> {
        let place = open_in(self.root()?, &remount.target.path, OFlag::O_PATH, false)?;
        if !remount.params.is_empty() {
            let context = fspick(place.as_fd())?;
            let done = configure(context.as_fd(), &remount.params)
                .and_then(|()| fsconfig(context.as_fd(), FsConfig::Reconfigure));
            done.map_err(|errno| with_message(context.as_fd(), errno))?;
        }
        adjust(place.as_fd(), &remount.attributes, &remount.propagation)
    }

    /// Follows no symbolic link: who lives in the container could lead this to what hides something from them.
    pub fn unmount(&self, target: &Target) -> Result<()> {
        let (before, name) = split(&target.path)?;
        let mut text = [0; PATH_MAX];
        text.get_mut(..before.len()).ok_or(Errno::ENAMETOOLONG)?.copy_from_slice(before);
        let parent =
            if before.is_empty() { c"." } else { CStr::from_bytes_until_nul(&text).map_err(|_| Errno::EINVAL)? };
        fchdir(open_in(self.root()?, parent, OFlag::O_PATH | OFlag::O_DIRECTORY, true)?)?;
        match umount2(name, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Err(Errno::EINVAL) => Err(Failure::said(Errno::EINVAL, "nothing is mounted there")),
            other => Ok(other?),
        }
    }

    pub fn make_readonly(&self, slot: Slot) -> Result<()> {
        Ok(mount_setattr(self.slot(slot)?, false, READONLY, None)?)
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
        if fstat(&place)?.st_mode & libc::S_IFMT == libc::S_IFDIR {
            return self.mask_directory(place.as_fd());
        }
        Ok(move_mount(self.null_device()?.as_fd(), place.as_fd())?)
    }

    pub fn root_readonly(&self) -> Result<()> {
        Ok(mount_setattr(self.root()?, false, READONLY, None)?)
    }

    pub fn make_cwd(&self, path: &CStr) -> Result<()> {
        match open_in(self.root()?, path, OFlag::O_PATH, false) {
            Err(Errno::ENOENT) => Ok(mount_point(self.root()?, path, MountPoint::Directory, false).map(drop)?),
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
        clone_of(&self.null)
    }

    /// Covers a directory with an empty, read-only one: the first is a new filesystem, the others are copies of it.
    fn mask_directory(&mut self, place: BorrowedFd<'_>) -> Result<()> {
        if self.empty.is_some() {
            return Ok(move_mount(clone_of(&self.empty)?.as_fd(), place)?);
        }
        let context = fsopen(c"tmpfs")?;
        fsconfig(context.as_fd(), FsConfig::String(c"source", c"tmpfs"))?;
        fsconfig(context.as_fd(), FsConfig::String(c"nr_blocks", c"1"))?;
        fsconfig(context.as_fd(), FsConfig::String(c"nr_inodes", c"1"))?;
        fsconfig(context.as_fd(), FsConfig::Flag(c"ro"))?;
        fsconfig(context.as_fd(), FsConfig::Create)?;
        let tree = fsmount(context.as_fd(), attr::RDONLY)?;
        move_mount(tree.as_fd(), place)?;
        self.empty = Some(tree);
        Ok(())
    }
}

/// What a missing mount point is made as.
fn like(target: &Target, what: Option<BorrowedFd<'_>>) -> Result<MountPoint> {
    let Some(tree) = what else { return Ok(target.kind) };
    let is_dir = fstat(tree)?.st_mode & libc::S_IFMT == libc::S_IFDIR;
    Ok(if is_dir { MountPoint::Directory } else { MountPoint::File })
}

/// Hands parameters to a filesystem context.
fn configure(
    context: BorrowedFd<'_>,
    params: &[(std::ffi::CString, Option<std::ffi::CString>)],
) -> coracle_sys::Result<()> {
    for (key, value) in params {
        let setting = match value {
            Some(value) => FsConfig::String(key, value),
            None => FsConfig::Flag(key),
        };
        fsconfig(context, setting)?;
    }
    Ok(())
}

/// Changes attributes and propagation of a mount.
fn adjust(mount: BorrowedFd<'_>, attributes: &Attributes, propagation: &[Propagation]) -> Result<()> {
    tree::change(mount, false, attributes.own())?;
    tree::change(mount, true, attributes.all())?;
    for change in propagation {
        mount_setattr(mount, change.recursive, change.change(), None)?;
    }
    Ok(())
}

const READONLY: MountAttr = MountAttr { set: attr::RDONLY, clear: 0, propagation: 0 };

fn clone_of(of: &Option<OwnedFd>) -> Result<OwnedFd> {
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
