//! The little of a container's configuration that the shim itself must know.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What containers of one shim have in common: containerd's own annotation, and the one that names the pod.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotated {
    annotations: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Confined {
    linux: Linux,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Linux {
    namespaces: Vec<Namespace>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: String,
}

/// The group the container is in, if any: they share one shim.
pub fn group(bundle: &Path) -> Option<String> {
    let mut config: Annotated = read(bundle);
    GROUPS.iter().find_map(|name| config.annotations.remove(*name)).filter(|group| !group.is_empty())
}

/// Whether the container has a pid namespace of its own, all of which ends with its first process.
pub fn has_pid_namespace(bundle: &Path) -> bool {
    let config: Confined = read(bundle);
    config.linux.namespaces.iter().any(|namespace| namespace.kind == "pid" && namespace.path.is_empty())
}

/// What cannot be read is the runtime's to complain of.
fn read<T: DeserializeOwned + Default>(bundle: &Path) -> T {
    let text = std::fs::read(bundle.join("config.json"));
    text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}
