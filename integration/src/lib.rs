//! Harness of the integration tests: a bundle is the default configuration and a patch, a container deletes itself,
//! an output must be judged. Nothing here knows how a runtime works inside; any program with runc's command line can be
//! put in its place by the variable `CORACLE`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod bpf;
mod bundle;
mod call;
mod cgroup;
mod container;
mod coverage;
mod filter;
mod host;
mod image;
mod json;
mod leaks;
mod mount;
mod options;
mod ordinary;
mod output;
mod registry;
mod runner;
mod runtime;
mod terminal;
mod tracer;

pub use bpf::answer;
pub use bundle::Bundle;
pub use call::{Call, Running};
pub use cgroup::Cgroup;
pub use container::Container;
pub use filter::filter;
pub use host::{Skip, criu_path, need, skip};
pub use image::{Images, Layout};
pub use json::{Facts, merge};
pub use leaks::{Snapshot, reap_orphans, reap_orphans_but};
pub use mount::HostMount;
pub use ordinary::Ordinary;
pub use output::Output;
pub use registry::{Context, Test, test};
pub use runner::main;
pub use runtime::Coracle;
pub use terminal::{ConsoleSocket, Pty};
pub use tracer::{Action, Called, Fault, Trace, trace};

/// Skips the rest of the test, with the reason, when a need of it is not met: `requires!(need::controller("pids"))`.
#[macro_export]
macro_rules! requires {
    ($need:expr) => {
        if let Err(reason) = $need {
            $crate::skip(reason);
        }
    };
}
