//! `mounts`: what is mounted in a container that exists, changed.

use std::path::Path;

use coracle_cgroup::Layout;
use coracle_plan::exec::Container;
use coracle_plan::{CreateOptions as PlanOptions, live_mounts};

use crate::bundle;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::host;
use crate::id::ContainerId;
use crate::launch::{self, IntoCgroup};
use crate::prepare::prepare;
use crate::seal;
use crate::store::Root;
use crate::store::status::Status;

/// What is done with a list of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Add,
    Remove,
}

/// Attaches the mounts that `file` lists, as config.json does, in the container `id`, or takes those at their
/// destinations away.
///
/// # Errors
/// The first that cannot be done; those before it stay done. [`Kind::InvalidState`] if the container has no process.
pub fn mounts(root: &Root, id: &ContainerId, change: Change, file: &Path) -> Result<()> {
    seal::ensure()?;
    let list = bundle::parse_mounts(file)?;
    let mut entry = root.entry(id)?;
    entry.lock()?;
    let state = entry.existing()?;
    if let Status::Stopped | Status::Creating = Status::of(&entry, &state)? {
        return Err(Error::new(Kind::InvalidState, "container not running"));
    }
    let spec = bundle::parse("config.json", &entry.config()?, &mut Vec::new())?;
    files::raise()?;
    let host = host::probe(&Layout::detect()?)?;
    let container = Container {
        init: (state.init.pid, state.init.start_time),
        namespaces: state.namespaces,
        rootfs: &state.rootfs,
    };
    let plan = match change {
        Change::Add => {
            let options =
                PlanOptions { bundle: state.bundle.clone(), extras: state.extras()?, ..PlanOptions::default() };
            live_mounts::add(&spec, &list, container, &host, &options)
        }
        Change::Remove => live_mounts::remove(&list, container, &host),
    };
    let plan = plan.map_err(|invalid| {
        let text = if invalid.pointer.is_empty() { invalid.problem.clone() } else { invalid.to_string() };
        Error::new(Kind::InvalidConfig, format!("{}: {text}", file.display()))
    })?;
    plan.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    tracing::debug!("plan of mounts in {id}:\n{plan}");
    let filled = prepare(&plan.sources, &entry.gate())?;
    // Ready, it has done its part; dropped, it ends.
    launch::to_ready(&plan, filled, IntoCgroup::only(None), &mut |_, _| Ok(())).map(drop)
}
