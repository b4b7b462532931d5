//! What the creation of a container takes: the id, the cgroup, the classes of resctrl.

use std::path::Path;

use coracle_cgroup::Created;

use super::groundwork::write_pid_file;
use crate::error::Result;
use crate::rdt;
use crate::store::record::State;
use crate::store::{Claim, Entry};
use crate::timings::span;

/// Dropped, all is given back, the id last: whoever gets that finds nothing else in the way. Where something stays, so
/// do the id and what was recorded, for a `delete` to find.
pub(super) struct Taken {
    pub cgroup: Created,
    pub rdt: Option<rdt::Created>,
    claim: Claim,
}

impl Taken {
    pub fn of(claim: Claim, cgroup: Created) -> Taken {
        Taken { cgroup, rdt: None, claim }
    }

    pub fn entry(&self) -> &Entry {
        self.claim.entry()
    }

    /// Writes down what a `delete` needs should this process be killed.
    pub fn begin(&self, state: &State) -> Result<()> {
        self.claim.begin(state)
    }

    /// Records the container and writes its process to the pid file; from here on `delete` removes it.
    pub fn commit(&mut self, state: &State, pid_file: Option<&Path>) -> Result<()> {
        let _span = span(|| "record the container".to_owned());
        if let Some(path) = pid_file {
            write_pid_file(path, state.init.pid)?;
        }
        let committed = self.claim.commit(state);
        if let (Err(_), Some(path)) = (&committed, pid_file) {
            // What it names is about to be gone.
            let _ = std::fs::remove_file(path);
        }
        committed?;
        self.cgroup.keep();
        if let Some(groups) = self.rdt.take() {
            groups.keep();
        }
        // Others may change it now, whether or not this value goes at once.
        self.claim.unlock();
        Ok(())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.rdt = None;
        if let Err(error) = self.cgroup.undo() {
            tracing::warn!("{error}");
            self.claim.leave();
        }
    }
}
