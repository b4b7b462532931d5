//! What is written down of a container: facts, from which its status is derived.

use std::collections::BTreeMap;
use std::path::PathBuf;

use coracle_plan::Extras;
use oci_spec::runtime::Hook;
use serde::{Deserialize, Serialize};

use super::process::Process;
use crate::error::Result;

/// The record of a container (`state.json`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Of this structure.
    pub version: u32,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// Its pid is 0 while there is none yet.
    pub init: Process,
    /// RFC 3339, UTC, nanoseconds.
    pub created: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    pub cgroup: coracle_cgroup::Location,
    /// `CLONE_NEW*` flags of the namespaces that are not the runtime's, new or joined.
    pub namespaces: i32,
    /// Whether the first process is the init of a pid namespace made for it, so that the others end with it.
    pub own_pid_namespace: bool,
    /// Whether those of them that are for the runtime are obeyed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub obeys_annotations: bool,
    /// What of the resctrl filesystem was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rdt: Option<crate::rdt::Groups>,
    /// Whether its processes keep the session keyring of whoever starts them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_keyring: bool,
    /// Whether it has a socket for word to the service manager.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notify: bool,
    /// The kernel's names of its standard input, output and error, which `checkpoint` keeps; none if they are a terminal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// The hooks that are still to come.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// The index of the first step after the gate, and those steps as text: what `start` says when one fails.
    pub after_gate: (usize, Vec<String>),
}

/// The hooks of a container that exists.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    pub start_container: Vec<Hook>,
    pub poststart: Vec<Hook>,
    pub poststop: Vec<Hook>,
}

/// The annotation that names a configuration file for CRIU.
pub const CRIU_CONFIG: &str = "org.criu.config";

impl State {
    /// The configuration file its annotation names for CRIU, if it is obeyed: CRIU runs programs that are named there.
    pub fn criu_config(&self) -> Option<&str> {
        self.annotations.get(CRIU_CONFIG).filter(|_| self.obeys_annotations).map(String::as_str)
    }

    /// What its annotations ask of the runtime, if they are obeyed.
    ///
    /// # Errors
    /// As those of [`Extras::of`].
    pub fn extras(&self) -> Result<Extras> {
        if !self.obeys_annotations {
            return Ok(Extras::default());
        }
        let extras = Extras::of(|key| self.annotations.get(key).map(String::as_str))?;
        let in_bundle = |path: Option<PathBuf>| path.map(|path| self.bundle.join(path));
        Ok(Extras {
            hooks_stdout: in_bundle(extras.hooks_stdout),
            hooks_stderr: in_bundle(extras.hooks_stderr),
            pidfd_receiver: in_bundle(extras.pidfd_receiver),
            ..extras
        })
    }
}

impl Hooks {
    fn is_empty(&self) -> bool {
        self.start_container.is_empty() && self.poststart.is_empty() && self.poststop.is_empty()
    }
}

/// The version this program writes.
pub const VERSION: u32 = 1;
