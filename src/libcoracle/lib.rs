//! What both binaries do with containers.
//!
//! ```text
//! config.json → Spec ──plan──► Plan ──prepare──► descriptors ──clone──► child: for step in steps { execute } → exec
//!               bundle          coracle-plan      prepare                launch::init
//!                                                              parent: launch, answers at named points
//! ```
//!
//! Each verb is one file in [`ops`] that reads from top to bottom.
#![forbid(unsafe_code)]

pub mod bundle;
mod console;
mod criu;
pub mod error;
mod files;
mod foreground;
mod hooks;
mod host;
pub mod id;
pub mod launch;
mod network;
mod notify;
pub mod ops;
mod prepare;
mod rdt;
mod seal;
pub mod signal;
pub mod store;
pub mod timings;
pub mod user;

pub use coracle_cgroup::SubCgroup;
pub use criu::options::{CgroupsMode, CriuOptions};
pub use error::{Error, Kind, Result};
pub use id::ContainerId;
pub use ops::checkpoint::CheckpointOptions;
pub use ops::create::{Cgroups, CreateOptions};
pub use ops::exec::ExecOptions;
pub use ops::restore::RestoreOptions;
pub use ops::run::RunOptions;
pub use ops::state::Report;
#[cfg(fuzzing)]
pub use prepare::seccomp::compile as compile_filter;
pub use signal::Signal;
pub use store::Root;
pub use user::UserSpec;

/// The version of the runtime specification this runtime implements.
pub const OCI_VERSION: &str = "1.3.0";
