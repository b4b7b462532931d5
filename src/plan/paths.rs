//! Masked and read-only paths.

use std::ffi::CString;

use oci_spec::runtime::Spec;

use crate::invalid::{Invalid, c_string};
use crate::namespaces::{Kind, Wanted};
use crate::step::Step;
use crate::{Plan, Result};

/// Read-only paths, then masked ones; paths that are not there are passed over.
pub fn lock_down(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let Some(linux) = spec.linux() else { return Ok(()) };
    list(plan, wanted, "/linux/readonlyPaths", linux.readonly_paths(), Step::Readonly)?;
    list(plan, wanted, "/linux/maskedPaths", linux.masked_paths(), Step::Mask)
}

fn list(
    plan: &mut Plan,
    wanted: &Wanted,
    pointer: &str,
    paths: &Option<Vec<String>>,
    step: fn(CString) -> Step,
) -> Result<()> {
    for (i, path) in paths.iter().flatten().enumerate() {
        let pointer = format!("{pointer}/{i}");
        if !path.starts_with('/') {
            return Err(Invalid::new(pointer, "must be an absolute path"));
        }
        if !wanted.has(Kind::Mount) {
            return Err(Invalid::new(pointer, "needs a mount namespace"));
        }
        plan.init.push(step(c_string(&pointer, path.as_str())?));
    }
    Ok(())
}
