//! The command line of coracle: words in, one call into the library, text and an exit code out.
//!
//! `cli.rs` reads the command line without touching anything, opens the log and runs the command; each file below
//! `cli/` is one command. An error is printed here, once.
//!
//! A library so that its man pages and completions can be made from what it accepts (`hack/pages`).
#![forbid(unsafe_code)]

mod cli;
mod failure;
mod inherited;
mod log;

use std::process::ExitCode;

pub use cli::definition;

/// The program. Has to be the first thing a process does: it counts the descriptors it was given.
pub fn main() -> ExitCode {
    let inherited = inherited::Inherited::record();
    let args: Vec<_> = std::env::args_os().collect();
    match cli::run(&args, inherited) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            log::fatal(&failure);
            ExitCode::from(failure.code)
        }
    }
}
