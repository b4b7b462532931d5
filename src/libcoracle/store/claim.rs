//! An id that was taken for a container to be.

use std::path::PathBuf;

use super::record::State;
use super::{CONFIG, Entry, PARENTS, RECORD, TEMPORARY_CONFIG, TEMPORARY_PARENTS, TEMPORARY_RECORD, write};
use crate::error::{Error, Kind, Result};

/// An id taken for a container that is not yet one. Dropped, it is given back.
pub struct Claim {
    entry: Entry,
    armed: bool,
}

impl Claim {
    /// Of a directory that was made for it, and locked.
    pub(super) fn of(entry: Entry) -> Claim {
        Claim { entry, armed: true }
    }

    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Keeps the configuration as it is now. Before there is a record it says what may have been made by then.
    pub fn keep_config(&self, config: &[u8]) -> Result<()> {
        write(&self.entry.path, (CONFIG, TEMPORARY_CONFIG), config)
    }

    /// Keeps which cgroups above the container's own are about to be made.
    pub fn keep_parents(&self, parents: &[PathBuf]) -> Result<()> {
        let json = serde_json::to_vec(parents);
        let json = json.map_err(|e| Error::new(Kind::InvalidState, format!("write {PARENTS}: {e}")))?;
        write(&self.entry.path, (PARENTS, TEMPORARY_PARENTS), &json)
    }

    /// Writes down what a `delete` needs should this process be killed.
    pub fn begin(&self, state: &State) -> Result<()> {
        self.record(state)
    }

    /// Writes the record: from here on there is a container.
    pub fn commit(&mut self, state: &State) -> Result<()> {
        self.record(state)?;
        self.armed = false;
        Ok(())
    }

    /// Lets others change the container.
    pub fn unlock(&mut self) {
        self.entry.unlock();
    }

    /// The directory stays as it is.
    pub fn leave(&mut self) {
        self.armed = false;
    }

    fn record(&self, state: &State) -> Result<()> {
        let json =
            serde_json::to_vec(state).map_err(|e| Error::new(Kind::InvalidState, format!("write state: {e}")))?;
        write(&self.entry.path, (RECORD, TEMPORARY_RECORD), &json)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.armed
            && let Err(error) = self.entry.remove()
        {
            tracing::warn!("{error}");
        }
    }
}
