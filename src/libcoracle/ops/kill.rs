//! `kill`: a signal to the container's process.

use std::os::fd::AsFd;

use coracle_sys::clone::pidfd_send_signal;

use crate::error::{Context, Error, Kind, Result};
use crate::id::ContainerId;
use crate::signal::Signal;
use crate::store::Root;

/// Sends `signal` to the first process of the container `id`. SIGKILL ends all of them: where they have no pid
/// namespace of their own, by the cgroup, if they have that. With `all` every process gets the signal, and there being none is no error.
///
/// # Errors
/// [`Kind::InvalidState`] if the container does not run.
pub fn kill(root: &Root, id: &ContainerId, signal: Signal, all: bool) -> Result<()> {
    let state = root.entry(id)?.existing()?;
    let init = state.init.alive()?;
    let is_kill = signal.number() == libc::SIGKILL;
    // Without a cgroup, as those of ordinary users may be, only the first process is known.
    let by_cgroup = !state.own_pid_namespace && !state.cgroup.paths().is_empty();
    if by_cgroup && (all || (is_kill && init.is_some())) {
        return Ok(coracle_cgroup::open(&state.cgroup)?.kill(signal.number())?);
    }
    match init {
        Some(pidfd) => {
            pidfd_send_signal(pidfd.as_fd(), signal.number()).context(|| format!("send {signal} to {id}"))?
        }
        None if all => return Ok(()),
        None => return Err(Error::new(Kind::InvalidState, "container not running")),
    }
    // A frozen process does not die before it is thawed (cgroup v1).
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    if is_kill && cgroup.is_frozen()? {
        cgroup.freeze(false)?;
    }
    Ok(())
}
