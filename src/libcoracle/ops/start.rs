//! `start`: opens the gate the container's process waits at.

use coracle_plan::HookKind;

use super::delete::destroy;
use crate::error::{Context, Error, Kind, Result};
use crate::hooks;
use crate::id::ContainerId;
use crate::launch;
use crate::prepare::knock;
use crate::store::Root;
use crate::store::status::Status;

/// Lets the created container `id` execute its program, and waits until it has.
///
/// # Errors
/// [`Kind::InvalidState`] if it is not created; the step that failed, exec included, if its program does not run.
pub fn start(root: &Root, id: &ContainerId) -> Result<()> {
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
    let connection = knock(&entry.gate())?;
    // The socket's presence is the created state; from here on the container runs or has stopped.
    std::fs::remove_file(entry.gate()).context(|| format!("remove {}", entry.gate().display()))?;
    let (first, texts) = &state.after_gate;
    launch::through_gate(connection, *first, texts)?;
    hooks(HookKind::Poststart, &state.hooks.poststart, Status::Running)
}

fn refuse(text: &str) -> Result<()> {
    Err(Error::new(Kind::InvalidState, text))
}
