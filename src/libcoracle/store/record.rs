//! What is written down of a container: facts, from which its status is derived.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::process::Process;

/// The record of a container (`state.json`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Of this structure.
    pub version: u32,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub init: Process,
    /// RFC 3339, UTC, nanoseconds.
    pub created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    pub cgroup: coracle_cgroup::Location,
    /// The index of the first step after the gate, and those steps as text: what `start` says when one fails.
    pub after_gate: (usize, Vec<String>),
}

/// The version this program writes.
pub const VERSION: u32 = 1;
