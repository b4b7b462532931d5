//! Files of the procfs that was opened before the clone: nothing in the container can be in their place
//! (CVE-2025-52881). What belongs to a namespace is that of the process that opens it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::source::Slot;
use coracle_sys::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::write;

use super::{Init, Result};

impl Init<'_> {
    pub fn sysctl(&self, proc: Slot, key: &CStr, value: &CStr) -> Result<()> {
        let sys = open(self.slot(proc)?, c"sys", OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        let file = open(sys.as_fd(), key, OFlag::O_WRONLY)?;
        put(&file, value)
    }

    pub fn label(&self, proc: Slot, attribute: &CStr, label: &CStr) -> Result<()> {
        put(&open(self.slot(proc)?, attribute, OFlag::O_WRONLY)?, label)
    }

    pub fn time_offsets(&self, proc: Slot, text: &CStr) -> Result<()> {
        put(&open(self.slot(proc)?, c"self/timens_offsets", OFlag::O_WRONLY)?, text)
    }
}

/// The only symbolic links of a procfs that are followed are `self` and `thread-self`, which lead nowhere else.
fn open(dir: BorrowedFd<'_>, path: &CStr, flags: OFlag) -> Result<OwnedFd> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        match openat2(dir, path, how) {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// In one write: these files take their value whole.
fn put(file: &OwnedFd, text: &CStr) -> Result<()> {
    match write(file, text.to_bytes())? {
        n if n == text.to_bytes().len() => Ok(()),
        _ => Err(Errno::EINVAL.into()),
    }
}
