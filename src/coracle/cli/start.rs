//! `coracle start`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::create::notify_socket;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Run the program of a created container
#[derive(Debug, Parser)]
pub struct Start {
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Start {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        ops::start(&root, &id, notify_socket().as_deref())
            .map_err(|error| Failure::from(error).during("start", &id))?;
        Ok(0)
    }
}
