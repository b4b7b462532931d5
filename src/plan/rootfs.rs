//! The root filesystem: attached, entered, and closed.

use oci_spec::runtime::{Process, Spec};

use crate::invalid::{Invalid, c_string};
use crate::mounts::PRIVATE;
use crate::namespaces::{Kind, Wanted};
use crate::source::{Attributes, Propagation, Source, Tree};
use crate::step::Step;
use crate::{CreateOptions, Plan, Result};

/// `linux.rootfsPropagation`.
fn configured(spec: &Spec) -> Result<Option<Propagation>> {
    let text = spec.linux().as_ref().and_then(|l| l.rootfs_propagation().as_deref()).unwrap_or_default();
    let (recursive, name) = match text.strip_prefix('r') {
        Some(name) if !name.is_empty() => (true, name),
        _ => (false, text),
    };
    let flag = match name {
        "" => return Ok(None),
        "shared" => libc::MS_SHARED,
        "slave" => libc::MS_SLAVE,
        "private" => libc::MS_PRIVATE,
        "unbindable" => libc::MS_UNBINDABLE,
        _ => {
            let problem =
                format!("unknown propagation \"{text}\": shared, slave, private or unbindable, or r with one");
            return Err(Invalid::new("/linux/rootfsPropagation", problem));
        }
    };
    Ok(Some(Propagation { flag, recursive }))
}

/// What bind mounts have before their own options: the host's mounts reach them, theirs do not reach the host,
/// unless the root filesystem's propagation says otherwise.
pub fn inherited_propagation(spec: &Spec) -> Result<Propagation> {
    Ok(match configured(spec)? {
        Some(p) if p.flag == libc::MS_SHARED => Propagation::recursive(libc::MS_SHARED),
        Some(p) if p.flag == libc::MS_PRIVATE || p.flag == libc::MS_UNBINDABLE => PRIVATE,
        _ => Propagation::recursive(libc::MS_SLAVE),
    })
}

/// Attaches the root filesystem at its own path in the new mount namespace.
pub fn attach(plan: &mut Plan, spec: &Spec, wanted: &Wanted, opts: &CreateOptions) -> Result<()> {
    if !wanted.has(Kind::Mount) {
        return Err(Invalid::new("/linux/namespaces", "a mount namespace is needed"));
    }
    // Nothing done here may reach the host; the container's own propagation is set at the end.
    let base = match inherited_propagation(spec)? {
        Propagation { flag: libc::MS_SHARED, .. } => Propagation::recursive(libc::MS_SLAVE),
        other => other,
    };
    let tree = Tree {
        path: opts.rootfs.clone(),
        recursive: true,
        attributes: Attributes::default(),
        propagation: vec![base, Propagation { flag: libc::MS_PRIVATE, recursive: false }],
        idmap: None,
    };
    let slot = plan.source(Source::Tree(tree));
    let at = c_string("/root/path", opts.rootfs.as_os_str().as_encoded_bytes())?;
    plan.init.push(Step::Propagation { path: c"/".to_owned(), change: base });
    plan.init.push(Step::AttachRootfs { slot, at });
    Ok(())
}

/// Makes the root filesystem the root directory.
pub fn enter(plan: &mut Plan, process: &Process, wanted: &Wanted, opts: &CreateOptions) -> Result<()> {
    plan.init.push(match (wanted.has(Kind::Mount), opts.no_pivot) {
        (true, false) => Step::Pivot,
        (true, true) => Step::MoveRoot,
        (false, _) => Step::Chroot,
    });
    let cwd = process.cwd().as_os_str().as_encoded_bytes();
    plan.init.push(Step::MakeCwd(c_string("/process/cwd", cwd)?));
    Ok(())
}

/// The propagation of the container's root.
pub fn finish_mounts(plan: &mut Plan, spec: &Spec) -> Result<()> {
    plan.init.extend(configured(spec)?.map(Step::RootPropagation));
    Ok(())
}

/// The read-only root, after everything in it is made.
pub fn lock_down(plan: &mut Plan, spec: &Spec) -> Result<()> {
    if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
        plan.init.push(Step::RootReadonly);
    }
    Ok(())
}
