//! Mounts of a container that exists already: a process joins it, attaches or takes them away, and ends.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxNamespaceType, Mount, Spec};

use crate::capabilities::SYS_ADMIN;
use crate::exec::{Container, enter};
use crate::host::Host;
use crate::invalid::Invalid;
use crate::mount_options::MountOptions;
use crate::namespaces::{Kind, Wanted};
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Result, mounts, rootfs};

/// Plans `list` in `container`, whose configuration is `spec`. Sources are those of the host, as they are now.
///
/// # Errors
/// As those of [`Plan::create`] for mounts.
pub fn add(spec: &Spec, list: &[Mount], container: Container<'_>, host: &Host, opts: &CreateOptions) -> Result<Plan> {
    let mut plan = entered(container, host)?;
    let bind = |mount: &Mount| MountOptions::parse(mount.options().as_deref().unwrap_or_default()).bind.is_some();
    if let (Some(i), true) = (list.iter().position(bind), !host.capable(SYS_ADMIN) || host.in_userns) {
        let problem = "binding what is outside of a container that exists takes root on the host";
        return Err(Invalid::new(format!("/{i}"), problem));
    }
    let mut spec = spec.clone();
    spec.set_mounts(Some(list.to_vec()));
    let (pid, _) = container.init;
    spec.set_linux(spec.linux().clone().map(|linux| with_existing_userns(linux, pid)));
    let wanted = Wanted::from_spec(&spec)?;
    // Nothing of the root filesystem is to be opened by the process itself: to it the host's paths are those of the container.
    let opts = CreateOptions { rootfs: PathBuf::new(), ..opts.clone() };
    mounts::all(&mut plan, &spec, &wanted, host, &opts).map_err(in_list)?;
    rootfs::finish_mounts(&mut plan);
    plan.init.push(Step::Sync(Point::Ready));
    Ok(plan)
}

/// Plans that what is mounted at the destinations of `list` is taken away, the last first.
///
/// # Errors
/// A destination that cannot be one.
pub fn remove(list: &[Mount], container: Container<'_>, host: &Host) -> Result<Plan> {
    let mut plan = entered(container, host)?;
    for (i, mount) in list.iter().enumerate().rev() {
        let target = mounts::target(&format!("/{i}/destination"), mount.destination())?;
        plan.init.push(Step::Unmount(target));
    }
    plan.init.push(Step::Sync(Point::Ready));
    Ok(plan)
}

fn entered(container: Container<'_>, host: &Host) -> Result<Plan> {
    if container.namespaces & Kind::Mount.flag() == 0 {
        return Err(Invalid::new("", "the container has no mount namespace of its own"));
    }
    let mut plan = Plan { namespaces: container.namespaces, ..Plan::default() };
    enter(&mut plan, None, container, host);
    Ok(plan)
}

/// The user namespace that `linux` wants made is there now.
fn with_existing_userns(mut linux: Linux, pid: i32) -> Linux {
    let mut namespaces = linux.namespaces().clone().unwrap_or_default();
    let user = namespaces.iter_mut().find(|namespace| namespace.typ() == LinuxNamespaceType::User);
    if let Some(user) = user.filter(|user| user.path().is_none()) {
        user.set_path(Some(format!("/proc/{pid}/ns/user").into()));
    }
    linux.set_namespaces(Some(namespaces));
    linux
}

/// The list is a file of its own.
fn in_list(invalid: Invalid) -> Invalid {
    match invalid.pointer.strip_prefix("/mounts") {
        Some(pointer) => Invalid::new(pointer, invalid.problem),
        None => invalid,
    }
}
