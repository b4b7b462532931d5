//! `coracle kill`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::{Signal, ops};

use super::{Call, Verb, container_id, matching};
use crate::failure::Failure;

/// Send a signal to the first process of a container
///
/// Signal 0 is not sent: it asks whether the container runs.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Kill {
    /// Do not complain about a container that does not run
    #[arg(long, short, hide = true)]
    all: bool,
    /// Take CONTAINER-ID for a regular expression: signal all containers it matches
    #[arg(long, short)]
    regex: bool,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
    /// A number, or a name with or without SIG
    #[arg(default_value = "TERM")]
    signal: OsString,
}

impl Verb for Kill {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let unknown = |error: libcoracle::signal::UnknownSignal| Failure::new(error.to_string());
        let signal = self.signal.to_string_lossy().parse::<Signal>().map_err(unknown);
        if self.regex {
            let (root, signal) = (call.global.root()?, signal?);
            return matching::each(&root, "kill", &self.id, |id| ops::kill(&root, id, signal, self.all)).map(|()| 0);
        }
        let id = container_id(&self.id)?;
        let signal = signal.map_err(|failure| failure.during("kill", &id))?;
        let root = call.global.root()?;
        ops::kill(&root, &id, signal, self.all).map_err(|error| Failure::from(error).during("kill", &id))?;
        Ok(0)
    }
}
