//! The terminal, from the container's own devpts.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use coracle_plan::source::Slot;
use coracle_plan::step::MountPoint;
use coracle_sys::clone::pidfd_open;
use coracle_sys::mount::{OPEN_TREE_CLONE, move_mount, open_tree};
use coracle_sys::{Errno, fds, tty};
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::sys::statfs::{FsType, fstatfs};
use nix::unistd::getpid;

use super::path::{mount_point, open_in, own_root};
use super::{Failure, Init, Result};
use crate::launch::packet;

/// /dev/null, by type and number: every regular file has number 0 too.
fn is_null(stat: &nix::sys::stat::FileStat) -> bool {
    stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(1, 3)
}

/// An image may have anything at /dev/pts (CVE-2025-52565): only the ptmx of a devpts makes terminals.
fn is_ptmx(file: &OwnedFd) -> Result<()> {
    let stat = fstat(file)?;
    let device = stat.st_mode & libc::S_IFMT == libc::S_IFCHR && stat.st_rdev == libc::makedev(5, 2);
    let devpts = fstatfs(file)?.filesystem_type() == FsType(libc::DEVPTS_SUPER_MAGIC);
    if device && devpts { Ok(()) } else { Err(Failure::said(Errno::ENODEV, "/dev/pts/ptmx is not that of a devpts")) }
}

/// Only the owner changes: the group may be the one the terminal wants. Where the kernel refuses, for an owner that
/// is not mapped or a read-only mount, the stream is left as it is.
pub fn stdio_owner(uid: u32) -> Result<()> {
    for stream in fds::STDIO {
        let stat = fstat(stream)?;
        if stat.st_uid == uid || is_null(&stat) {
            continue;
        }
        match nix::unistd::fchown(stream, Some(uid.into()), None) {
            Ok(()) | Err(Errno::EINVAL | Errno::EPERM | Errno::EROFS) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

impl Init<'_> {
    /// What the container has at /dev/null is taken only if it is one (an image may have any file there).
    pub fn null_stdio(&mut self) -> Result<()> {
        let root = own_root()?;
        for (number, stream) in fds::STDIO.into_iter().enumerate() {
            if !is_null(&fstat(stream)?) {
                continue;
            }
            // Looked at before it is opened, which may do things to a device, and after, since it may have changed.
            let open = |flags| open_in(root.as_fd(), c"dev/null", flags | OFlag::O_NOFOLLOW, false);
            if open(OFlag::O_PATH).is_ok_and(|null| fstat(&null).is_ok_and(|stat| is_null(&stat))) {
                let null = open(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
                if is_null(&fstat(&null)?) {
                    fds::dup_to(null.as_fd(), number as i32)?;
                }
            }
        }
        Ok(())
    }

    pub fn open_pty(&mut self, size: Option<(u16, u16)>) -> Result<()> {
        let root = own_root()?;
        let open = |flags| open_in(root.as_fd(), c"dev/pts/ptmx", flags | OFlag::O_NOFOLLOW, true);
        is_ptmx(&open(OFlag::O_PATH)?)?;
        let master = open(OFlag::O_RDWR | OFlag::O_NOCTTY)?;
        is_ptmx(&master)?;
        tty::unlock(master.as_fd())?;
        let peer = tty::peer(master.as_fd())?;
        if let Some(size) = size {
            tty::set_size(peer.as_fd(), size)?;
        }
        self.pty = Some((master, peer));
        Ok(())
    }

    pub fn send_pty(&mut self, slot: Option<Slot>) -> Result<()> {
        let (master, _) = self.pty.as_ref().ok_or(Errno::EBADF)?;
        match slot {
            None => Ok(packet::terminal(self.socket.as_fd(), master.as_fd())?),
            Some(slot) => Ok(fds::send_with_fd(self.slot(slot)?, b"/dev/pts/ptmx", Some(master.as_fd()))?),
        }
    }

    pub fn console(&self) -> Result<()> {
        let (_, peer) = self.pty.as_ref().ok_or(Errno::EBADF)?;
        let place = mount_point(own_root()?.as_fd(), c"dev/console", MountPoint::File, true)?;
        let copy = open_tree(peer.as_fd(), c"", OPEN_TREE_CLONE | libc::AT_EMPTY_PATH as u32)?;
        Ok(move_mount(copy.as_fd(), place.as_fd())?)
    }

    pub fn stdio(&mut self) -> Result<()> {
        let (_, peer) = self.pty.as_ref().ok_or(Errno::EBADF)?;
        tty::set_controlling(peer.as_fd())?;
        for fd in 0..3 {
            fds::dup_to(peer.as_fd(), fd)?;
        }
        Ok(())
    }

    pub fn send_pidfd(&self, slot: Slot, name: &CStr) -> Result<()> {
        let pidfd = pidfd_open(getpid())?;
        Ok(fds::send_with_fd(self.slot(slot)?, name.to_bytes(), Some(pidfd.as_fd()))?)
    }
}
