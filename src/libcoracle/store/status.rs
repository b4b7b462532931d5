//! A container's status, derived from the facts at the moment of asking.

use std::fmt;

use super::Entry;
use super::record::State;
use crate::error::Result;

/// runtime.md, State; `paused` is an addition of every runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// Asks the kernel: is the process there, does it wait at its gate, is its cgroup frozen.
    pub fn of(entry: &Entry, state: &State) -> Result<Status> {
        if state.init.alive()?.is_none() {
            // No process was recorded yet: either somebody is at it, or was killed on the way.
            let creating = state.init.pid == 0 && entry.is_locked()?;
            return Ok(if creating { Status::Creating } else { Status::Stopped });
        }
        if coracle_cgroup::open(&state.cgroup)?.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if entry.has_gate()? { Status::Created } else { Status::Running })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        })
    }
}
