//! The command line of coracle-image.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("coracle-image: there are no commands yet");
    ExitCode::FAILURE
}
