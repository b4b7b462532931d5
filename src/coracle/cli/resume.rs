//! `coracle resume`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Let the processes of a paused container go on
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Resume {
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Resume {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        ops::resume(&root, &id).map_err(|error| Failure::from(error).during("resume", &id))?;
        Ok(0)
    }
}
