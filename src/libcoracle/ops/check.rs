//! `check`: whether a bundle will start here, what is missing, and what its unusual fields will do. Nothing is run, and
//! nothing is changed.
//!
//! The configuration is read by the reader that there is and planned by the planner that there is; where those stop at a
//! fault, it is mended and they go on. What the plan names is then looked for on this machine.

mod finding;
mod kernel;
mod machine;
mod mend;
mod mounts;
mod notes;
mod program;
mod read;
mod rights;
mod steps;
mod unknown;
mod view;

use std::path::{Path, PathBuf};

use coracle_cgroup::{Foreseen, Layout};
use coracle_plan::{Host, Plan};
use oci_spec::runtime::Spec;
use serde::Serialize;

pub use finding::{Finding, Level};

use super::create::CreateOptions;
use super::groundwork::{driver, look};
use crate::bundle::Files;
use crate::error::Result;
use finding::Findings;
use view::View;

/// What was found out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The bundle's directory; left out when the machine alone was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<PathBuf>,
    /// Whether nothing was found that keeps a container from starting.
    pub starts: bool,
    /// Errors first, then warnings, then notes.
    pub findings: Vec<Finding>,
}

/// Looks at the bundle of `opts`; of the rest only what decides about cgroups and the root counts.
pub fn check(opts: &CreateOptions) -> Report {
    let mut findings = Findings::default();
    bundle(opts, &mut findings);
    report(Some(opts.bundle.clone()), findings)
}

/// Looks at this machine and the caller's rights on it.
pub fn check_host() -> Report {
    let mut findings = Findings::default();
    if let Some((layout, host)) = findings.catch("host", look(&CreateOptions::default())) {
        machine::all(&layout, &host, &mut findings);
    }
    report(None, findings)
}

fn report(bundle: Option<PathBuf>, findings: Findings) -> Report {
    let findings = findings.sorted();
    Report { bundle, starts: findings.iter().all(|finding| finding.level != Level::Error), findings }
}

/// A container that is planned and not made.
struct Case<'a> {
    spec: &'a Spec,
    host: &'a Host,
    plan: &'a Plan,
    /// The bundle's directory, absolute.
    bundle: &'a Path,
    rootfs: &'a Path,
    /// The files the container would see.
    view: View,
    cgroups: &'a Foreseen,
}

/// `None` where there is nothing left to look at.
fn bundle(opts: &CreateOptions, findings: &mut Findings) -> Option<()> {
    let files = findings.catch("", Files::open(&opts.bundle, opts.config.as_deref()))?;
    let (layout, host) = findings.catch("host", look(opts))?;
    kernel::check(findings);
    let read = read::past_faults(&files, opts, &layout, &host, findings)?;
    for warning in read.warnings.iter().chain(&read.plan.warnings) {
        findings.warn("", warning);
    }
    let rootfs = match files.rootfs(&read.spec) {
        Ok(rootfs) => rootfs,
        Err(invalid) => {
            findings.error(&invalid.pointer, invalid.problem);
            notes::all(&read.config, &read.spec, findings);
            return None;
        }
    };
    let case = Case {
        spec: &read.spec,
        host: &host,
        plan: &read.plan,
        bundle: files.path(),
        view: View::of(&read.plan, &rootfs),
        rootfs: &rootfs,
        cgroups: &read.cgroups,
    };
    mounts::check(&case, findings);
    steps::check(&case, findings);
    rights::check(&case, findings);
    program::check(&case, findings);
    notes::all(&read.config, &read.spec, findings);
    unknown::all(&read.config, findings);
    Some(())
}

/// What `create` would make the cgroup of a container with an id that nobody has.
fn foresee(layout: &Layout, host: &Host, (trusted, spec): (bool, &Spec), opts: &CreateOptions) -> Result<Foreseen> {
    let rootless = opts.rootless.unwrap_or(host.euid != 0 || host.in_userns);
    let path = spec.linux().as_ref().and_then(|linux| linux.cgroups_path().as_deref());
    Ok(coracle_cgroup::foresee(layout, driver(trusted, spec, opts)?, &id(), path, rootless)?)
}

fn id() -> String {
    format!("check-{}", std::process::id())
}
