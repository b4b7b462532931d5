//! `delete`: undoes `create`.

use std::os::fd::AsFd;
use std::time::Duration;

use coracle_plan::HookKind;
use coracle_sys::clone::pidfd_send_signal;

use crate::error::{Context, Error, Kind, Result};
use crate::hooks;
use crate::id::ContainerId;
use crate::store::record::State;
use crate::store::status::Status;
use crate::store::{Entry, Root};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Removes the container `id`: one that has stopped or was never started, with `force` any, and no error if there is
/// none.
///
/// # Errors
/// [`Kind::InvalidState`] if it runs.
pub fn delete(root: &Root, id: &ContainerId, force: bool) -> Result<()> {
    let mut entry = match root.entry(id) {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
        other => other?,
    };
    entry.lock()?;
    let Some(state) = entry.state()? else {
        // Its creation was cut short: there is nothing but the claim.
        entry.remove()?;
        let missing = Error::new(Kind::NotFound, format!("container does not exist: {id}"));
        return if force { Ok(()) } else { Err(missing) };
    };
    let status = Status::of(&entry, &state)?;
    if !force && !matches!(status, Status::Stopped | Status::Created) {
        let text = format!("cannot delete container {id} that is not stopped: {status}");
        return Err(Error::new(Kind::InvalidState, text));
    }
    destroy(&entry, &state)
}

/// Kills the first process, if it is still there, and waits for its end.
fn end(state: &State) -> Result<()> {
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    let Some(pidfd) = state.init.alive() else { return Ok(()) };
    pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).context(|| format!("kill process {}", state.init.pid))?;
    if cgroup.is_frozen()? {
        cgroup.freeze(false)?;
    }
    match hooks::ends_within(&pidfd, PATIENCE)? {
        true => Ok(()),
        false => Err(Error::new(Kind::InvalidState, "container init still running")),
    }
}

/// Ends what is left of the container and removes what `create` made; then runs the poststop hooks, whose failure
/// changes nothing (config.md, Poststop).
pub(super) fn destroy(entry: &Entry, state: &State) -> Result<()> {
    end(state)?;
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    cgroup.kill(libc::SIGKILL)?;
    cgroup.remove()?;
    state.rdt.as_ref().map_or(Ok(()), crate::rdt::Groups::remove)?;
    entry.remove()?;
    hooks::run_all(HookKind::Poststop, &state.hooks.poststop, state, Status::Stopped);
    Ok(())
}
