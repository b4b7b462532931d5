//! `coracle delete`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::{Call, Verb, container_id, matching};
use crate::failure::Failure;

/// Delete a container that has stopped, and what was made for it
///
/// A container whose program was never started is killed first; one that runs is refused.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Delete {
    /// Kill the container if it runs; succeed if there is none of this name
    #[arg(long, short)]
    force: bool,
    /// Take CONTAINER-ID for a regular expression: delete all containers it matches
    #[arg(long, short)]
    regex: bool,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Delete {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let root = call.global.root()?;
        if self.regex {
            return matching::each(&root, "delete", &self.id, |id| ops::delete(&root, id, self.force)).map(|()| 0);
        }
        let id = container_id(&self.id)?;
        ops::delete(&root, &id, self.force).map_err(|error| Failure::from(error).during("delete", &id))?;
        Ok(0)
    }
}
