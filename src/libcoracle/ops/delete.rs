//! `delete`: undoes `create`.

use std::os::fd::AsFd;
use std::time::Duration;

use coracle_cgroup::{Driver, Layout};
use coracle_plan::HookKind;
use coracle_sys::clone::pidfd_send_signal;

use crate::bundle;
use crate::error::{Context, Error, Kind, Result};
use crate::hooks;
use crate::id::ContainerId;
use crate::store::record::State;
use crate::store::status::Status;
use crate::store::{Entry, Root};

/// How long a killed process may take to end: so often so long.
const PATIENCE: (u32, Duration) = (10, Duration::from_secs(1));

/// Removes the container `id`: one that has stopped or was never started, with `force` any, and no error if there is
/// none.
///
/// # Errors
/// [`Kind::InvalidState`] if it runs.
pub fn delete(root: &Root, id: &ContainerId, force: bool) -> Result<()> {
    let entry = match locked(root, id) {
        Err(error) if force && error.kind() == Kind::NotFound => return Ok(()),
        locked => locked?,
    };
    let Some(state) = entry.state()? else {
        remove_remains(&entry, id)?;
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

/// Removes the container of `state`, whatever it is doing, unless somebody else has: whether it was there. One that has
/// the id by now is not the caller's.
pub(super) fn undo(root: &Root, id: &ContainerId, state: &State) -> Result<bool> {
    let entry = match locked(root, id) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(false),
        locked => locked?,
    };
    match entry.state()? {
        Some(now) if now.init == state.init => destroy(&entry, &now).map(|()| true),
        _ => Ok(false),
    }
}

fn locked(root: &Root, id: &ContainerId) -> Result<Entry> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    Ok(entry)
}

/// Removes what a `create` or `delete` of `id` has left that was killed: a directory without a record which nobody is at.
/// Whether there is none now.
pub(super) fn clear(root: &Root, id: &ContainerId) -> Result<bool> {
    let clear = || {
        let mut entry = root.entry(id)?;
        if !entry.try_lock()? || entry.state()?.is_some() || !entry.is_ours()? {
            return Ok(false);
        }
        remove_remains(&entry, id).map(|()| true)
    };
    match clear() {
        // Another command has removed it meanwhile.
        Err(error) if error.kind() == Kind::NotFound => Ok(true),
        cleared => cleared,
    }
}

/// Removes the directory of a creation that was cut short before anything was recorded.
fn remove_remains(entry: &Entry, id: &ContainerId) -> Result<()> {
    if !entry.is_ours()? {
        let text = format!("{} is no container's state, and stays", entry.path().display());
        return Err(Error::new(Kind::InvalidState, text));
    }
    remove_cgroups(entry, id)?;
    entry.remove()
}

/// Removes the cgroups a `create` may have made of the configuration it left: those that are empty, where it would have
/// put them.
fn remove_cgroups(entry: &Entry, id: &ContainerId) -> Result<()> {
    let Ok(config) = entry.config() else { return Ok(()) };
    let Ok(spec) = bundle::parse("config.json", &config, &mut Vec::new()) else { return Ok(()) };
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    // Cgroups with processes are somebody else's.
    let created = coracle_cgroup::create(&Layout::detect()?, Driver::Cgroupfs, id.as_ref(), path, true);
    let cgroup = match created {
        Ok(cgroup) => cgroup,
        Err(error) if error.errno().is_some() && !error.is_permission() => return Err(error.into()),
        Err(_) => return Ok(()),
    };
    let parents = entry.parents();
    for path in cgroup.location().paths().values().chain(&parents) {
        match std::fs::remove_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            // Joined controllers are one directory under several names; one that is in use is somebody else's too.
            other => other
                .or_else(|error| if error.raw_os_error() == Some(libc::EBUSY) { Ok(()) } else { Err(error) })
                .context(|| format!("remove {}", path.display()))?,
        }
    }
    Ok(())
}

/// Kills the first process, if it is still there, and waits for its end.
pub(super) fn end(state: &State) -> Result<()> {
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    let Some(pidfd) = state.init.alive()? else { return Ok(()) };
    pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).context(|| format!("kill process {}", state.init.pid))?;
    let (times, time) = PATIENCE;
    for _ in 0..times {
        // Again, as a command that stops the container for a moment may have been killed in that moment.
        if cgroup.is_frozen()? {
            cgroup.freeze(false)?;
        }
        if hooks::ends_within(&pidfd, time)? {
            return Ok(());
        }
    }
    Err(Error::new(Kind::InvalidState, "container init still running"))
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
