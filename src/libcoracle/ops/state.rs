//! `state`: what is true of a container now.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::Result;
use crate::id::ContainerId;
use crate::store::record::State;
use crate::store::status::Status;
use crate::store::{Entry, Root};

/// A container's state as it is printed, the keys in runc's order (runtime.md, State).
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub oci_version: &'static str,
    pub id: String,
    /// 0 when there is no process.
    pub pid: i32,
    pub status: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339, UTC.
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The user the state directory belongs to; filled in by `list`.
    pub owner: String,
}

/// The state of the container `id`.
///
/// # Errors
/// [`Kind::NotFound`](crate::Kind::NotFound) if there is none.
pub fn state(root: &Root, id: &ContainerId) -> Result<Report> {
    let entry = root.entry(id)?;
    report(&entry, entry.existing()?)
}

/// What is true now of the container in `entry` with the record `state`.
pub(super) fn report(entry: &Entry, state: State) -> Result<Report> {
    let status = Status::of(entry, &state)?;
    Ok(Report {
        oci_version: super::OCI_VERSION,
        id: state.id,
        pid: if status == Status::Stopped { 0 } else { state.init.pid },
        status: status.to_string(),
        bundle: state.bundle,
        rootfs: state.rootfs,
        created: state.created,
        annotations: state.annotations,
        owner: String::new(),
    })
}
