//! The command line of coracle-image: words in, calls into the library, text and an exit code out.
//!
//! Each file below `cli/` is one command. An error is printed here, once.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("coracle-image: {error}");
            ExitCode::from(125)
        }
    }
}
