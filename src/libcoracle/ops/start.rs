//! `start`: opens the gate the container's process waits at.

use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::time::Duration;

use coracle_plan::HookKind;
use coracle_sys::Errno;

use super::delete::{destroy, end};
use crate::error::{Context, Error, Kind, Result};
use crate::hooks::{self, ends_within};
use crate::id::ContainerId;
use crate::launch;
use crate::notify::Notify;
use crate::prepare::knock;
use crate::store::Root;
use crate::store::record::State;
use crate::store::status::Status;
use crate::timings::timed;

/// How long a process that has closed its descriptors takes to be seen as ended.
const AT_LAST: Duration = Duration::from_secs(1);

/// Lets the created container `id` execute its program, and waits until it has. With `notify_socket`, where the service
/// manager listens, it also waits for the container to be ready, if that was created to tell.
///
/// # Errors
/// [`Kind::InvalidState`] if it is not created; the step that failed, exec included, if its program does not run.
pub fn start(root: &Root, id: &ContainerId, notify_socket: Option<&OsStr>) -> Result<()> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    match Status::of(&entry, &state)? {
        Status::Created => {}
        Status::Stopped => return refuse("cannot start a container that has stopped"),
        Status::Paused => return refuse("cannot start a paused container"),
        _ => return refuse("cannot start an already running container"),
    }
    let hooks = |kind, list, status| {
        hooks::run(kind, list, &state, status).inspect_err(|_| {
            // A container whose hook fails is stopped and destroyed (config.md, POSIX-platform Hooks).
            if let Err(error) = destroy(&entry, &state) {
                tracing::warn!("{error}");
            }
        })
    };
    hooks(HookKind::StartContainer, &state.hooks.start_container, Status::Created)?;
    let manager = notify_socket.filter(|_| state.notify);
    let notify = manager.map(|manager| Notify::listen(entry.path(), manager)).transpose()?;
    let connection = knock(&entry.gate()).map_err(|error| stopped(&state, error))?;
    // The socket's presence is the created state; from here on the container runs or has stopped.
    std::fs::remove_file(entry.gate()).context(|| format!("remove {}", entry.gate().display()))?;
    let (first, texts) = &state.after_gate;
    let passed = timed("let the program run", || launch::through_gate(connection, *first, texts));
    passed.map_err(|error| stopped(&state, error)).inspect_err(|_| {
        // Whoever is told that it failed to start must not find it running, nor still at its last breath.
        if let Err(error) = end(&state) {
            tracing::warn!("{error}");
        }
    })?;
    hooks(HookKind::Poststart, &state.hooks.poststart, Status::Running)?;
    let Some(notify) = notify else { return Ok(()) };
    let Some(init) = state.init.alive()? else { return Ok(()) };
    // Whatever else is to be done with the container need not wait for it.
    entry.unlock();
    notify.pass_on(init.as_fd(), state.init.pid())
}

/// The gate of a process that was killed meanwhile is closed in one of several ways.
fn stopped(state: &State, error: Error) -> Error {
    let closed = matches!(error.kind(), Kind::System(Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED));
    let ended = || state.init.alive().and_then(|alive| alive.map_or(Ok(true), |pidfd| ends_within(&pidfd, AT_LAST)));
    match closed && ended().is_ok_and(|ended| ended) {
        true => Error::new(Kind::InvalidState, "cannot start a container that has stopped: it was killed meanwhile"),
        false => error,
    }
}

fn refuse(text: &str) -> Result<()> {
    Err(Error::new(Kind::InvalidState, text))
}
