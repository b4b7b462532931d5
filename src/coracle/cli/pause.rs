//! `coracle pause`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Stop all processes of a container where they are
///
/// `coracle resume` lets them go on. What they have open stays open; other processes see no difference but the silence.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Pause {
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Pause {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        ops::pause(&root, &id).map_err(|error| Failure::from(error).during("pause", &id))?;
        Ok(0)
    }
}
