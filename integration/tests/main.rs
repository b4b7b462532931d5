//! The integration tests: one program, one file a topic. `integration/README.md` tells how to add one.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

mod differential;
mod lifecycle;

use std::process::ExitCode;

use integration::Test;

fn main() -> ExitCode {
    let topics: &[&[Test]] = &[lifecycle::TESTS];
    let mut tests = topics.concat();
    tests.extend(differential::tests());
    integration::main(&tests, differential::unused)
}
