//! `coracle ps`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::ops;

use super::{Call, Verb, container_id, print};
use crate::failure::Failure;

/// Show the processes of a container
///
/// What follows CONTAINER-ID is handed to the ps of the host, so options of this command come before it. Without
/// anything ps gets -ef.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Ps {
    /// table, or json for a list of process ids [default: table]
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
    /// Options of the host's ps; its output must have a column PID
    #[arg(value_name = "PS-OPTION")]
    args: Vec<OsString>,
}

impl Verb for Ps {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        let failed = |error| Failure::from(error).during("ps", &id);
        let pids = ops::ps(&root, &id).map_err(failed)?;
        match self.format.as_deref() {
            None | Some("table") => print(&ops::ps::table(&pids, &self.args).map_err(failed)?),
            Some("json") => print(&json(&pids)),
            Some(_) => Err(Failure::new("invalid format option")),
        }
    }
}

/// One line. Callers know an empty list as `null`.
fn json(pids: &[i32]) -> String {
    match pids {
        [] => "null\n".to_owned(),
        pids => format!("[{}]\n", pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(json(&[]), "null\n");
        assert_eq!(json(&[7]), "[7]\n");
        assert_eq!(json(&[7, 12]), "[7,12]\n");
    }
}
