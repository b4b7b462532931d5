//! `kill`: a signal to the container's process.

use std::os::fd::AsFd;

use coracle_sys::clone::pidfd_send_signal;

use crate::error::{Context, Error, Kind, Result};
use crate::id::ContainerId;
use crate::signal::Signal;
use crate::store::Root;

/// Sends `signal` to the first process of the container `id`; with `all` a container that does not run is no error.
///
/// # Errors
/// [`Kind::InvalidState`] if it does not run.
pub fn kill(root: &Root, id: &ContainerId, signal: Signal, all: bool) -> Result<()> {
    let entry = root.entry(id)?;
    let state = entry.state()?.ok_or_else(|| Error::new(Kind::NotFound, format!("container does not exist: {id}")))?;
    match state.init.alive() {
        Some(pidfd) => pidfd_send_signal(pidfd.as_fd(), signal.number()).context(|| format!("send {signal} to {id}")),
        None if all => Ok(()),
        None => Err(Error::new(Kind::InvalidState, "container not running")),
    }
}
