//! `resume`: undoes `pause`.

use super::pause::freeze;
use crate::error::{Error, Kind, Result};
use crate::id::ContainerId;
use crate::store::Root;
use crate::store::status::Status;

/// Lets the processes of the paused container `id` go on.
///
/// # Errors
/// [`Kind::InvalidState`] if it is not paused.
pub fn resume(root: &Root, id: &ContainerId) -> Result<()> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    match Status::of(&entry, &state)? {
        Status::Paused => freeze(&state.cgroup, false),
        _ => Err(Error::new(Kind::InvalidState, "container not paused")),
    }
}
