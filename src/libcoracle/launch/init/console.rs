//! The terminal, from the container's own devpts.

use std::ffi::CStr;
use std::os::fd::AsFd;

use coracle_plan::source::Slot;
use coracle_plan::step::MountPoint;
use coracle_sys::clone::pidfd_open;
use coracle_sys::mount::{OPEN_TREE_CLONE, move_mount, open_tree};
use coracle_sys::{Errno, fds, tty};
use nix::fcntl::OFlag;
use nix::unistd::getpid;

use super::path::{mount_point, open_in};
use super::{Init, Result};
use crate::launch::packet;

impl Init<'_> {
    pub fn open_pty(&mut self, size: Option<(u16, u16)>) -> Result<()> {
        let master = open_in(self.root()?, c"dev/pts/ptmx", OFlag::O_RDWR | OFlag::O_NOCTTY, true)?;
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
        let place = mount_point(self.root()?, c"dev/console", MountPoint::File, true)?;
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
