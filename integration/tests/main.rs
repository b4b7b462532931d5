//! The integration tests: one program, one file a topic. `integration/README.md` tells how to add one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

mod binds;
mod devices;
mod differential;
mod lifecycle;
mod mounts;
mod namespaces;
mod rootfs;

use std::process::ExitCode;

use integration::Test;

fn main() -> ExitCode {
    let topics: &[&[Test]] =
        &[lifecycle::TESTS, mounts::TESTS, binds::TESTS, rootfs::TESTS, devices::TESTS, namespaces::TESTS];
    let mut tests = topics.concat();
    tests.extend(differential::tests());
    integration::main(&tests, differential::unused)
}
