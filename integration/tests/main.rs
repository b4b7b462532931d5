//! The integration tests: one program, one file a topic. `integration/README.md` tells how to add one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod annotations;
mod apparmor;
mod bad_bundles;
mod binds;
mod budgets;
mod capabilities;
mod cgroups;
mod check;
mod checkpoint;
mod devices;
mod differential;
mod endings;
mod escapes;
mod events;
mod exec;
mod exec_more;
mod faults;
mod features;
mod hooks;
mod image_places;
mod image_registry;
mod image_run;
mod lifecycle;
mod limits;
mod live_mounts;
mod migration;
mod mounts;
mod namespaces;
mod network;
mod notify;
mod options;
mod outputs;
mod paths;
mod pause;
mod process;
mod ps;
mod readme;
mod rootfs;
mod rootless;
mod scale;
mod seal;
mod seccomp;
mod seccomp_calls;
mod shortage;
mod stress;
mod systemd;
mod systems;
mod terminals;
mod timings;
mod update;

use std::process::ExitCode;

use integration::{Ordinary, Test};

fn main() -> ExitCode {
    integration::main(&tests(), differential::unused)
}

/// All of them.
fn tests() -> Vec<Test> {
    let topics: &[&[Test]] = &[
        lifecycle::TESTS,
        mounts::TESTS,
        binds::TESTS,
        live_mounts::TESTS,
        options::TESTS,
        outputs::TESTS,
        annotations::TESTS,
        rootfs::TESTS,
        rootless::TESTS,
        devices::TESTS,
        namespaces::TESTS,
        process::TESTS,
        capabilities::TESTS,
        seccomp::TESTS,
        seccomp_calls::TESTS,
        apparmor::TESTS,
        hooks::TESTS,
        paths::TESTS,
        terminals::TESTS,
        cgroups::TESTS,
        limits::TESTS,
        network::TESTS,
        pause::TESTS,
        checkpoint::TESTS,
        migration::TESTS,
        ps::TESTS,
        update::TESTS,
        events::TESTS,
        exec::TESTS,
        exec_more::TESTS,
        seal::TESTS,
        notify::TESTS,
        features::TESTS,
        timings::TESTS,
        budgets::TESTS,
        bad_bundles::TESTS,
        check::TESTS,
        readme::TESTS,
        escapes::TESTS,
        escapes::descriptors::TESTS,
        escapes::meddling::TESTS,
        escapes::rights::TESTS,
        escapes::companion::TESTS,
        escapes::reach::TESTS,
        escapes::table::TESTS,
        image_run::TESTS,
        image_places::TESTS,
        image_registry::TESTS,
        systems::TESTS,
        scale::TESTS,
        endings::TESTS,
        systemd::TESTS,
        faults::TESTS,
        shortage::TESTS,
        stress::TESTS,
    ];
    let mut tests = topics.concat();
    for caller in [Ordinary::Nobody, Ordinary::Managed] {
        let topics = [lifecycle::TESTS, exec::TESTS, exec_more::TESTS].into_iter().flatten();
        tests.extend(topics.map(|test| test.called_by(caller)));
    }
    tests.extend(differential::tests());
    tests
}
