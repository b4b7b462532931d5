//! `pause`: stops every process of a container where it is.

use crate::error::{Error, Kind, Result};
use crate::id::ContainerId;
use crate::store::Root;
use crate::store::status::Status;

/// Stops all processes of the created or running container `id` and waits until none of them runs.
///
/// # Errors
/// [`Kind::InvalidState`] if it is paused already or has stopped, or has no cgroup to be stopped by.
pub fn pause(root: &Root, id: &ContainerId) -> Result<()> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    match Status::of(&entry, &state)? {
        Status::Created | Status::Running => freeze(&state.cgroup, true),
        _ => Err(Error::new(Kind::InvalidState, "container not running")),
    }
}

/// Freezes or thaws the cgroup at `location`.
pub(super) fn freeze(location: &coracle_cgroup::Location, frozen: bool) -> Result<()> {
    coracle_cgroup::open(location)?.freeze(frozen).map_err(|error| access(error.into()))
}

/// Says to a caller who was refused what the cgroup is needed for.
pub(super) fn access(error: Error) -> Error {
    match error.kind() {
        Kind::Permission => error.with_hint("this needs full access to the container's cgroup"),
        _ => error,
    }
}
