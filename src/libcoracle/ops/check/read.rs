//! Reading and planning a configuration past its faults, so that all of them are found at once.

use std::path::PathBuf;

use coracle_cgroup::{Foreseen, Layout};
use coracle_plan::{Extras, Host, Invalid, Plan};
use oci_spec::runtime::Spec;
use serde_json::Value;

use super::finding::Findings;
use super::mend::Mend;
use super::{foresee, id};
use crate::bundle::{self, Fault, Files};
use crate::error::Kind;
use crate::ops::create::{Cgroups, CreateOptions};

/// A configuration that could be planned, mended as it may be.
pub struct Read {
    /// As it is planned.
    pub spec: Spec,
    pub plan: Plan,
    pub cgroups: Foreseen,
    /// As it was written.
    pub config: Value,
    /// What the reader passed over.
    pub warnings: Vec<String>,
}

/// No configuration has more faults, unless somebody made it for that.
const MOST: usize = 300;

/// Reads and plans the configuration in `files`; every fault becomes an error among the findings.
///
/// `None` if there is one that nothing can be seen behind.
pub fn past_faults(
    files: &Files,
    opts: &CreateOptions,
    layout: &Layout,
    host: &Host,
    findings: &mut Findings,
) -> Option<Read> {
    let mut warnings = Vec::new();
    let first = bundle::spec_of(&files.config, &mut warnings);
    let Ok(config) = serde_json::from_slice::<Value>(&files.config) else {
        let fault = first.err().map_or_else(|| "malformed JSON".to_owned(), |fault| fault.to_string());
        findings.error("", format!("{}: {fault}", files.name));
        return None;
    };
    let judge = |spec: Result<Spec, Fault>| judge(spec?, files, opts, layout, host);
    let mut mend = Mend::new(config.clone(), host.euid);
    let mut outcome = judge(first);
    for _ in 0..MOST {
        let invalid = match outcome {
            Ok((spec, plan, cgroups)) => {
                report_cgroups((files.is_trusted(), &spec), layout, host, opts, findings);
                return Some(Read { spec, plan, cgroups, config, warnings });
            }
            Err(Fault::Text(problem)) => {
                findings.error("", format!("{}: {problem}", files.name));
                return None;
            }
            Err(Fault::Value(invalid)) => invalid,
        };
        if let Some(pointer) = mend.news(&invalid) {
            let of_file = if pointer.is_empty() { format!("{}: ", files.name) } else { String::new() };
            findings.error(&pointer, format!("{of_file}{}", invalid.problem));
            findings.forget(pointer);
        }
        if !mend.mend(&invalid) {
            return None;
        }
        outcome = judge(bundle::spec_of(mend.text().as_bytes(), &mut Vec::new()));
    }
    None
}

/// The plan of `spec`, or the first fault that reading did not find.
fn judge(
    spec: Spec,
    files: &Files,
    opts: &CreateOptions,
    layout: &Layout,
    host: &Host,
) -> Result<(Spec, Plan, Foreseen), Fault> {
    let cgroups = foresee(layout, host, (files.is_trusted(), &spec), opts).unwrap_or_default();
    let rootfs: PathBuf = match spec.root() {
        Some(root) => files.path().join(root.path()).components().collect(),
        None => return Err(Fault::Value(Invalid::new("/root", "root must be specified"))),
    };
    let annotation = |key: &str| spec.annotations().as_ref()?.get(key).map(String::as_str);
    let extras = if files.is_trusted() { Extras::of(annotation) } else { Ok(Extras::default()) };
    let options = coracle_plan::CreateOptions {
        extras: extras.map_err(Fault::Value)?,
        id: id(),
        bundle: files.path().to_path_buf(),
        rootfs,
        no_pivot: opts.no_pivot,
        no_new_keyring: opts.no_new_keyring,
        gate: true,
        needs_cgroup_join: cgroups.needs_add,
        cgroups: cgroups.paths.clone(),
        cgroups_made: opts.cgroups != Cgroups::Systemd,
        ..coracle_plan::CreateOptions::default()
    };
    let plan = Plan::create(&spec, host, &options).map_err(Fault::Value)?;
    let limits = spec.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let limits = coracle_cgroup::resources(&limits, layout);
    limits.map_err(|e| Fault::Value(Invalid::new(e.pointer, e.problem)))?;
    Ok((spec, plan, cgroups))
}

/// Whether there is a cgroup for the container, and whether its limits can be set there.
fn report_cgroups(of: (bool, &Spec), layout: &Layout, host: &Host, opts: &CreateOptions, findings: &mut Findings) {
    const DELEGATE: &str = "start from a delegated cgroup: systemd-run --user --scope -p Delegate=yes";
    let cgroups = match foresee(layout, host, of, opts) {
        Ok(cgroups) => cgroups,
        Err(error) => {
            let error = if error.kind() == Kind::Permission { error.with_hint(DELEGATE) } else { error };
            return findings.failed("/linux/cgroupsPath", &error);
        }
    };
    let limits = of.1.linux().as_ref().and_then(|linux| linux.resources().clone()).unwrap_or_default();
    let Ok(limits) = coracle_cgroup::resources(&limits, layout) else { return };
    for warning in limits.warnings() {
        findings.warn("/linux/resources", warning);
    }
    match cgroups.check(&limits) {
        Err(error) => findings.error_with("/linux/resources", error.to_string(), DELEGATE),
        Ok(()) if cgroups.is_none() && opts.cgroups != Cgroups::Disabled => {
            let text = "not permitted to make a cgroup: the container stays in its creator's, and cannot be paused";
            findings.warn_with("/linux/cgroupsPath", text, DELEGATE);
        }
        Ok(()) => {}
    }
}
