//! Credentials: every step takes something away.

use std::ffi::CStr;

use coracle_plan::source::Slot;
use coracle_sys::creds::{CapSets, capset, clear_ambient, drop_bounding, raise_ambient};
use coracle_sys::{Errno, seccomp};
use nix::sys::stat::Mode;

use super::{Filled, Init, Result};

/// Drops every capability outside `set` from the bounding set; the kernel says where its list ends.
pub fn bounding(set: u64) -> Result<()> {
    for cap in (0..64).filter(|cap| set & 1 << cap == 0) {
        match drop_bounding(cap) {
            Err(Errno::EINVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

pub fn capabilities(effective: u64, permitted: u64, inheritable: u64) -> Result<()> {
    Ok(capset(CapSets { effective, permitted, inheritable })?)
}

pub fn ambient(set: u64) -> Result<()> {
    clear_ambient()?;
    for cap in (0..64).filter(|cap| set & 1 << cap != 0) {
        raise_ambient(cap)?;
    }
    Ok(())
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

    pub fn seccomp(&self, Slot(i): Slot) -> Result<()> {
        match self.slots.get(i) {
            Some(Filled::Program(program, flags)) => {
                seccomp::load(program, *flags)?;
                Ok(())
            }
            _ => Err(Errno::EBADF.into()),
        }
    }

    pub fn exec_label(&self, _attribute: &CStr, _label: &CStr) -> Result<()> {
        Err(Errno::ENOSYS.into())
    }
}
