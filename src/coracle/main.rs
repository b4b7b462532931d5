//! The command line of coracle: words in, one call into the library, text and an exit code out.
//!
//! `cli.rs` reads the command line without touching anything, opens the log and runs the command; each file below
//! `cli/` is one command. An error is printed here, once.
#![forbid(unsafe_code)]

mod cli;
mod failure;
mod inherited;
mod log;

use std::process::ExitCode;

/// Ends a debug build that allocates between clone and exec.
#[cfg(debug_assertions)]
#[global_allocator]
static GUARD: coracle_sys::guard::Guard = coracle_sys::guard::Guard;

fn main() -> ExitCode {
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
