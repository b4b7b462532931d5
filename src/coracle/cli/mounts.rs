//! `coracle mounts`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use libcoracle::ops;
use libcoracle::ops::mounts::Change;

use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Attach mounts in a container that exists, or take them away
///
/// FILE holds a JSON list of mounts, as `mounts` of config.json does, or an object with such a member. To take mounts
/// away only their destinations count.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Mounts {
    /// add or remove
    #[arg(value_name = "add|remove")]
    change: OsString,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
    /// What to mount
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Verb for Mounts {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let change = match self.change.to_str() {
            Some("add") => Change::Add,
            Some("remove") => Change::Remove,
            _ => return Err(Failure::new(format!("unknown command mounts {}", self.change.display()))),
        };
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        ops::mounts(&root, &id, change, &self.file).map_err(|error| Failure::from(error).during("mounts", &id))?;
        Ok(0)
    }
}
