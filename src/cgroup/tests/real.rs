//! The crate on the cgroups of this machine: the hierarchies as they are, and, in mount namespaces of their own, those
//! of v1 alone and of v2 alone. Needs root; everything it makes is called `coracle-test-<pid>…` and removed again.
//!
//! A harness of its own, since it runs itself again in another mount namespace, and counts what it skips.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::panic::catch_unwind;
use std::process::{Command, ExitCode};

use coracle_cgroup::{Layout, Mode};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

#[path = "real/cases.rs"]
mod cases;
#[path = "real/group.rs"]
mod group;
#[path = "real/kernel.rs"]
mod kernel;
#[path = "real/rootless.rs"]
mod rootless;

/// Set for the runs in a mount namespace of their own.
const ALONE: &str = "CORACLE_TEST_ALONE";

/// A test ran, or could not for the reason given.
type Outcome = Result<(), String>;

fn main() -> ExitCode {
    // Nothing here is wanted when tests are only listed.
    if std::env::args().any(|arg| arg == "--list") {
        return ExitCode::SUCCESS;
    }
    if let Ok(check) = std::env::var(rootless::USER) {
        rootless::as_nobody(&check);
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("test real cgroups ... skipped: not root\n\ntest result: ok. 0 passed; 0 failed; 1 skipped");
        return ExitCode::SUCCESS;
    }
    let alone = std::env::var(ALONE).ok();
    if let Some(version) = &alone {
        isolate(version);
    }
    let mut good = run(&Layout::detect().unwrap());
    if alone.is_none() && Layout::detect().unwrap().mode() == Mode::Hybrid {
        for version in ["v1", "v2"] {
            let me = std::env::current_exe().unwrap();
            good &= Command::new(me).args(std::env::args().skip(1)).env(ALONE, version).status().unwrap().success();
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Leaves only one version of cgroups to be seen by this process.
fn isolate(version: &str) {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
    match version {
        "v1" => umount2("/sys/fs/cgroup/unified", MntFlags::MNT_DETACH).unwrap(),
        _ => mount(none, "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), none).unwrap(),
    }
}

fn run(layout: &Layout) -> bool {
    let filter = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    let chosen = cases::ALL.iter().filter(|(name, _)| filter.as_ref().is_none_or(|filter| name.contains(filter)));
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, case) in chosen {
        let title = format!("test {:?}: {name}", layout.mode());
        match catch_unwind(|| case(layout)) {
            Ok(Ok(())) => {
                println!("{title} ... ok");
                passed += 1;
            }
            Ok(Err(reason)) => {
                println!("{title} ... skipped: {reason}");
                skipped += 1;
            }
            Err(_) => {
                println!("{title} ... FAILED");
                failed += 1;
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {skipped} skipped\n");
    failed == 0
}
