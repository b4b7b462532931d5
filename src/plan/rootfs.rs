//! The root filesystem: attached, entered, and closed.

use oci_spec::runtime::{Process, Spec};

use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::mounts::{PRIVATE, opened_by_child};
use crate::namespaces::{Kind, Wanted};
use crate::source::{Links, Propagation, Source, Tree};
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
pub fn attach(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host, opts: &CreateOptions) -> Result<()> {
    if opts.rootfs == std::path::Path::new("/") {
        return Err(Invalid::new("/root/path", "must not be the host's root directory"));
    }
    let at = c_string("/root/path", opts.rootfs.as_os_str().as_encoded_bytes())?;
    // What is made below the root has the modes it is asked for.
    plan.init.push(Step::Umask(0));
    if !wanted.has(Kind::Mount) {
        return unmounted(plan, spec, at);
    }
    // Nothing done here may reach the host; the container's own propagation is set at the end.
    let base = match inherited_propagation(spec)? {
        Propagation { flag: libc::MS_SHARED, .. } => Propagation::recursive(libc::MS_SLAVE),
        other => other,
    };
    let tree = Tree { recursive: true, links: Links::Refuse, propagation: vec![base], ..Tree::private(at.clone()) };
    plan.init.push(Step::Propagation { path: c"/".to_owned(), change: base });
    let slot = if opened_by_child(wanted, host) {
        let slot = plan.source(Source::ByChild);
        plan.init.push(Step::OpenTree { slot, tree: Box::new(tree) });
        slot
    } else {
        plan.source(Source::Tree(tree))
    };
    plan.init.push(Step::AttachRootfs { slot, at });
    Ok(())
}

/// A container in the mount namespace of its runtime: whatever was mounted for it would be mounted on the host, and
/// stay there. So nothing may be mounted, and its root is a directory like any other.
fn unmounted(plan: &mut Plan, spec: &Spec, at: std::ffi::CString) -> Result<()> {
    let refuse = |pointer: &str| Err(Invalid::new(pointer, "needs a mount namespace"));
    if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
        return refuse("/root/readonly");
    }
    if configured(spec)?.is_some() {
        return refuse("/linux/rootfsPropagation");
    }
    if spec.process().as_ref().and_then(|process| process.terminal()).unwrap_or(false) {
        return refuse("/process/terminal");
    }
    let slot = plan.source(Source::Directory(at));
    plan.init.push(Step::UseRootfs(slot));
    Ok(())
}

/// Makes the root filesystem the root directory.
pub fn enter(plan: &mut Plan, process: &Process, wanted: &Wanted, host: &Host, opts: &CreateOptions) -> Result<()> {
    match (wanted.has(Kind::Mount), opts.no_pivot) {
        (true, false) => plan.init.push(Step::Pivot),
        (true, true) => {
            // The host's mounts stay below the root that is moved over them: a full procfs or sysfs among them is
            // what lets the kernel mount another one, and what a process that gets out of the chroot would find.
            for path in host.kernel_mounts.iter().filter(|path| !path.starts_with(&opts.rootfs)) {
                let path = c_string("/root/path", path.as_os_str().as_encoded_bytes())?;
                plan.init.push(Step::HideMount(path));
            }
            plan.init.push(Step::MoveRoot);
        }
        (false, _) => plan.init.push(Step::Chroot),
    }
    let cwd = process.cwd().as_os_str().as_encoded_bytes();
    plan.init.push(Step::MakeCwd(c_string("/process/cwd", cwd)?));
    Ok(())
}

/// Mounts that had to be writable until now.
pub fn finish_mounts(plan: &mut Plan) {
    plan.init.append(&mut plan.late);
}

/// The read-only root, after everything in it is made, and its propagation, after everything in it is mounted: from
/// an unbindable mount no read-only or masked path could be taken.
pub fn lock_down(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    if wanted.has(Kind::Mount) {
        if spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false) {
            plan.init.push(Step::RootReadonly);
        }
        plan.init.extend(configured(spec)?.map(Step::RootPropagation));
    }
    Ok(())
}
