//! `coracle state`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::{Call, Verb, container_id, print};
use crate::failure::Failure;

/// Print the state of a container as JSON
///
/// "status" is created, running, paused or stopped; "pid" is 0 for a container that has stopped.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct State {
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for State {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        let report = ops::state(&root, &id).map_err(|error| Failure::from(error).during("state", &id))?;
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::new(format!("write the state as JSON: {error}")))?;
        print(&text)
    }
}
