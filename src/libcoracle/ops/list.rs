//! `list`: the state of every container.

use std::os::unix::fs::MetadataExt;

use super::state::{Report, report};
use crate::error::Result;
use crate::store::Root;

/// The state of every container below `root`, sorted by id. What cannot be read is logged and passed over.
pub fn list(root: &Root) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for name in root.names()? {
        let Ok(id) = name.parse() else { continue };
        // What is gone by now was deleted since the directory was read; what has no record is not a container yet.
        let Ok(entry) = root.entry(&id) else { continue };
        match entry.state().and_then(|state| state.map(|state| report(&entry, state)).transpose()) {
            Ok(Some(report)) => reports.push(Report { owner: owner(entry.path()), ..report }),
            Ok(None) => {}
            Err(error) => tracing::warn!("load container {name}: {error}"),
        }
    }
    Ok(reports)
}

/// The name of the user `path` belongs to, or `#uid`. Read from the file: a static program has no name services.
fn owner(path: &std::path::Path) -> String {
    let Ok(meta) = std::fs::symlink_metadata(path) else { return String::new() };
    let uid = meta.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    match users.find(|fields| fields.get(2) == Some(&uid.as_str())) {
        Some(fields) => fields[0].to_owned(),
        None => format!("#{uid}"),
    }
}
