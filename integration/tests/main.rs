//! The integration tests: one program, one file a topic. `integration/README.md` tells how to add one.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod lifecycle;

use std::process::ExitCode;

fn main() -> ExitCode {
    let topics: &[&[integration::Test]] = &[lifecycle::TESTS];
    integration::main(&topics.concat(), Vec::new)
}
