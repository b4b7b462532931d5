//! `update`: other limits for a container that runs.

mod merge;

use std::path::Path;

use coracle_cgroup::{Layout, Resources};
use serde_json::{Value, json};

use super::pause::access;
use crate::bundle;
use crate::error::{Error, Kind, Result};
use crate::id::ContainerId;
use crate::store::record::State;
use crate::store::status::Status;
use crate::store::{Entry, Root};

/// What is to change.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// As `linux.resources` of config.json. What is not in it stays as it is, and so does the access to devices.
    pub resources: Value,
    /// Schemata of resctrl for the container's group (resctrl.rst).
    pub l3_cache_schema: Option<String>,
    pub mem_bw_schema: Option<String>,
}

/// Sets the limits of the container `id`, all of them or none.
///
/// # Errors
/// [`Kind::InvalidState`] if it has stopped; [`Kind::InvalidConfig`] for limits that cannot be on this host; what the
/// kernel refuses. The limits are then what they were.
pub fn update(root: &Root, id: &ContainerId, changes: &Changes) -> Result<()> {
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    if Status::of(&entry, &state)? == Status::Stopped {
        return Err(Error::new(Kind::InvalidState, "container not running"));
    }
    let stored = stored(&entry)?;
    let asked = merge::pruned(changes.resources.clone());
    let complete = bundle::parse_resources("update", merge::completed(asked.clone(), &stored).to_string().as_bytes())?;
    let resources = coracle_cgroup::resources(&complete, &Layout::detect()?);
    let resources = resources.map_err(|invalid| Error::new(Kind::InvalidConfig, invalid.to_string()))?;
    for warning in resources.warnings() {
        tracing::warn!("{warning}");
    }
    // Recorded first: what can fail after the limits are set cannot leave them as they were.
    let recorded = entry.resources()?;
    entry.set_resources(Some(merge::merged(stored, asked).to_string().as_bytes()))?;
    apply(&state, &resources.without_devices(), changes).inspect_err(|_| {
        if let Err(error) = entry.set_resources(recorded.as_deref()) {
            tracing::warn!("{error}");
        }
    })
}

fn apply(state: &State, resources: &Resources, changes: &Changes) -> Result<()> {
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    let before = schemata(state, changes)?;
    cgroup.update(resources).map_err(|error| {
        if let (Some(groups), false) = (&state.rdt, before.is_empty())
            && let Err(error) = groups.change(&before.iter().map(String::as_str).collect::<Vec<_>>())
        {
            tracing::warn!("{error}");
        }
        access(error.into())
    })
}

/// Reads a file with `linux.resources`, whose name is `file` in messages.
///
/// # Errors
/// [`Kind::InvalidConfig`] with line and column, or with the pointer to the value that cannot be.
pub fn resources(file: &Path, bytes: &[u8]) -> Result<Value> {
    let name = file.display().to_string();
    bundle::parse_resources(&name, bytes)?;
    serde_json::from_slice(bytes).map_err(|error| Error::new(Kind::InvalidConfig, format!("{name}: {error}")))
}

/// `linux.resources` as it is in force: of the last update, else of the configuration.
fn stored(entry: &Entry) -> Result<Value> {
    let invalid =
        |error| Error::new(Kind::InvalidState, format!("read the resources of {}: {error}", entry.path().display()));
    if let Some(bytes) = entry.resources()? {
        return serde_json::from_slice(&bytes).map_err(invalid);
    }
    let mut config: Value = serde_json::from_slice(&entry.config()?).map_err(invalid)?;
    Ok(config.pointer_mut("/linux/resources").map_or(json!({}), Value::take))
}

/// Changes the schemata of the container's class; what they were.
fn schemata(state: &State, changes: &Changes) -> Result<Vec<String>> {
    let asked = [&changes.l3_cache_schema, &changes.mem_bw_schema];
    let lines: Vec<&str> = asked.into_iter().flatten().map(String::as_str).collect();
    match (&state.rdt, &changes.l3_cache_schema) {
        _ if lines.is_empty() => Ok(Vec::new()),
        (Some(groups), _) => groups.change(&lines),
        // A container that was not put into a class is in one with processes of others.
        (None, Some(_)) => Err(Error::new(Kind::Unsupported, "Intel RDT/CAT: l3 cache schema is not enabled")),
        (None, None) => Err(Error::new(Kind::Unsupported, "Intel RDT/MBA: memory bandwidth schema is not enabled")),
    }
}
