//! Credentials: every step takes something away.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use coracle_plan::source::Slot;
use coracle_sys::creds::{CapSets, capset, clear_ambient, drop_bounding, raise_ambient};
use coracle_sys::sched::set_affinity;
use coracle_sys::{Errno, fds, seccomp};
use nix::sys::stat::Mode;

use super::{Filled, Init, Result};
use crate::launch::packet;

/// Drops the capabilities in `set` from the bounding set.
pub fn bounding(set: u64) -> Result<()> {
    for cap in (0..64).filter(|cap| set & 1 << cap != 0) {
        drop_bounding(cap)?;
    }
    Ok(())
}

pub fn capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    Ok(capset(CapSets { effective, permitted, inheritable })?)
}

pub fn ambient(set: u64) -> Result<()> {
    clear_ambient()?;
    for cap in (0..64).filter(|cap| set & 1 << cap != 0) {
        // The caller may have forbidden ambient capabilities for good (PR_SET_SECUREBITS); the program runs without.
        let _ = raise_ambient(cap);
    }
    Ok(())
}

/// Whether it works out is the cgroup's matter: without one of these processors in it the kernel refuses.
pub fn affinity(mask: Option<&[u64]>) -> Result<()> {
    match mask {
        Some(mask) => Ok(set_affinity(mask)?),
        None => {
            let _ = set_affinity(&[u64::MAX; 128]);
            Ok(())
        }
    }
}

pub fn umask(mask: u32) -> Result<()> {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask));
    Ok(())
}

/// The working directory must be below the root (CVE-2024-21626): the kernel says `(unreachable)` if it is not.
pub fn verify_cwd() -> Result<()> {
    let mut buf = [0u8; 4096];
    match coracle_sys::getcwd(&mut buf)? {
        path if path.first() == Some(&b'/') => Ok(()),
        _ => Err(Errno::EXDEV.into()),
    }
}

impl Init<'_> {
    /// Closes rather than marks: a path such as /proc/self/fd/7 must lead nowhere, neither as working directory nor
    /// as program (CVE-2024-21626). Nobody is left who would close a number again.
    pub fn close_fds(&self, first: u32, gate: Option<Slot>) -> Result<()> {
        let socket = self.socket.as_raw_fd() as u32;
        let gate = gate.map(|slot| self.slot(slot)).transpose()?.map_or(socket, |fd| fd.as_raw_fd() as u32);
        let mut from = first;
        for kept in [socket.min(gate), socket.max(gate)] {
            if from < kept {
                fds::close_range(from, kept - 1)?;
            }
            from = from.max(kept + 1);
        }
        Ok(fds::close_range(from, u32::MAX)?)
    }

    pub fn chdir_early(&mut self, path: &CStr) -> Result<()> {
        match nix::unistd::chdir(path) {
            Ok(()) => self.cwd_done = true,
            Err(Errno::EACCES | Errno::EPERM) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    pub fn chdir(&mut self, path: &CStr) -> Result<()> {
        if self.cwd_done { Ok(()) } else { Ok(nix::unistd::chdir(path)?) }
    }

    /// From the load on every call of ours may be filtered: what the parent needs to know is said before.
    pub fn seccomp_listening(&self, slot: Slot) -> Result<()> {
        packet::listening(self.socket.as_fd(), fds::next_number(self.socket.as_fd())?)?;
        // Open until the program is executed: by then the parent has a copy.
        std::mem::forget(self.seccomp(slot)?);
        Ok(())
    }

    pub fn seccomp(&self, Slot(i): Slot) -> Result<Option<OwnedFd>> {
        match self.slots.get(i) {
            Some(Filled::Program(program, flags)) => Ok(seccomp::load(program, *flags)?),
            _ => Err(Errno::EBADF.into()),
        }
    }
}
