//! A process that is still the same one: by id and start time.

use std::os::fd::OwnedFd;

use coracle_sys::Errno;
use coracle_sys::clone::pidfd_open;
use nix::unistd::Pid;
use procfs::ProcError;
use procfs::process::{ProcState, Process as ProcProcess, Stat};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// A process as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot (field 22 of /proc/PID/stat): a reused pid has another.
    pub start_time: u64,
}

impl Process {
    /// The process that has `pid` now, `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be looked at, which does not mean that it is gone.
    pub fn of(pid: Pid) -> Result<Option<Process>> {
        let stat = stat(pid.as_raw())?;
        Ok(stat.map(|stat| Process { pid: pid.as_raw(), start_time: stat.starttime }))
    }

    pub fn pid(self) -> Pid {
        Pid::from_raw(self.pid)
    }

    /// A pidfd to it, unless it has ended; a zombie has.
    ///
    /// # Errors
    /// When it cannot be looked at: who takes that for its end lets a running container go.
    pub fn alive(self) -> Result<Option<OwnedFd>> {
        if self.pid <= 0 {
            return Ok(None);
        }
        let pidfd = match pidfd_open(self.pid()) {
            Ok(pidfd) => pidfd,
            // The latter where the number is that of a thread now.
            Err(Errno::ESRCH | Errno::EINVAL) => return Ok(None),
            Err(errno) => return Err(Error::system(format!("open process {}", self.pid), errno)),
        };
        // Checked after the pidfd is open: what the check sees is what the pidfd holds.
        let Some(stat) = stat(self.pid)? else { return Ok(None) };
        let ended = matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead) | Err(_));
        Ok((!ended && stat.starttime == self.start_time).then_some(pidfd))
    }
}

/// /proc/PID/stat, `None` if there is no such process.
fn stat(pid: i32) -> Result<Option<Stat>> {
    let gone = |error: &std::io::Error| error.raw_os_error() == Some(libc::ESRCH);
    match ProcProcess::new(pid).and_then(|process| process.stat()) {
        Ok(stat) => Ok(Some(stat)),
        Err(ProcError::NotFound(_)) => Ok(None),
        Err(ProcError::Io(error, _)) if gone(&error) => Ok(None),
        Err(ProcError::Io(error, _)) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
            Err(Error::system(format!("look at process {pid}"), errno))
        }
        Err(ProcError::PermissionDenied(_)) => Err(Error::system(format!("look at process {pid}"), Errno::EACCES)),
        Err(error) => Err(Error::new(Kind::InvalidState, format!("look at process {pid}: {error}"))),
    }
}
