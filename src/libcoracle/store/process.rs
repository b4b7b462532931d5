//! A process that is still the same one: by id and start time.

use std::os::fd::OwnedFd;

use coracle_sys::clone::pidfd_open;
use nix::unistd::Pid;
use procfs::process::{ProcState, Process as ProcProcess};
use serde::{Deserialize, Serialize};

/// A process as it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot (field 22 of /proc/PID/stat): a reused pid has another.
    pub start_time: u64,
}

impl Process {
    /// The process that has `pid` now, `None` if there is none.
    pub fn of(pid: Pid) -> Option<Process> {
        let stat = ProcProcess::new(pid.as_raw()).and_then(|p| p.stat()).ok()?;
        Some(Process { pid: pid.as_raw(), start_time: stat.starttime })
    }

    pub fn pid(self) -> Pid {
        Pid::from_raw(self.pid)
    }

    /// A pidfd to it, unless it has ended; a zombie has.
    pub fn alive(self) -> Option<OwnedFd> {
        if self.pid <= 0 {
            return None;
        }
        let pidfd = pidfd_open(self.pid()).ok()?;
        // Checked after the pidfd is open: what the check sees is what the pidfd holds.
        let stat = ProcProcess::new(self.pid).and_then(|p| p.stat()).ok()?;
        let ended = matches!(stat.state(), Ok(ProcState::Zombie | ProcState::Dead) | Err(_));
        (!ended && stat.starttime == self.start_time).then_some(pidfd)
    }
}
