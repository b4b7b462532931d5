//! A stay of this process in another cgroup of the v2 hierarchy, whose children begin there.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::unistd::Pid;

use crate::dir::{self, Dir};
use crate::error::{Error, Result};
use crate::layout::Layout;

/// This process is in another cgroup. Dropped, it goes back.
#[derive(Debug)]
pub struct Visit {
    own: Option<Dir>,
}

impl Visit {
    /// Moves this process to the cgroup `there`.
    ///
    /// # Errors
    /// A cgroup that is frozen, in which this process would stop too; what the kernel refuses; no way back.
    pub fn begin(there: BorrowedFd<'_>) -> Result<Visit> {
        let failed = |errno| Error::kernel("enter the container's cgroup", errno);
        let own = Layout::detect()?.unified_of(Pid::this())?.ok_or_else(|| failed(Errno::ENOENT))?;
        let own = Dir::open(&own).map_err(failed)?;
        if dir::read_at(there, "cgroup.freeze").map_err(failed)?.trim_end() != "0" {
            return Err(Error::refused("enter the container's cgroup: it is frozen"));
        }
        dir::write_at(there, "cgroup.procs", "0").map_err(failed)?;
        Ok(Visit { own: Some(own) })
    }

    /// Goes back.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn end(mut self) -> Result<()> {
        self.own.take().map_or(Ok(()), |own| back(&own))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            let _ = back(&own);
        }
    }
}

fn back(own: &Dir) -> Result<()> {
    own.write("cgroup.procs", "0").map_err(|errno| own.failed("go back to", errno))
}
