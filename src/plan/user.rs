//! Who the program runs as.

use oci_spec::runtime::{Process, Spec};

use crate::host::Host;
use crate::id_maps;
use crate::invalid::Invalid;
use crate::step::Step;
use crate::{Plan, Result};

/// Users cannot name more in one call (NGROUPS_MAX).
const MOST_GROUPS: usize = 65536;
/// What files are made with when the configuration says nothing.
const UMASK: u32 = 0o022;

/// The supplementary groups: those of the configuration instead of the runtime's own, unless those are to be kept.
///
/// A user without privilege who maps only themselves cannot set any, since groups can also take rights away (user_namespaces(7)).
pub fn groups(plan: &mut Plan, spec: &Spec, process: &Process, host: &Host, keep: bool) -> Result<()> {
    let pointer = "/process/user/additionalGids";
    let groups = process.user().additional_gids().clone().unwrap_or_default();
    if groups.len() > MOST_GROUPS {
        return Err(Invalid::new(pointer, format!("more than {MOST_GROUPS} groups")));
    }
    if keep {
        if !groups.is_empty() {
            plan.warnings.push("ignoring process.user.additionalGids: the caller's groups are kept".into());
        }
        return Ok(());
    }
    let denied = id_maps::denies_groups(spec, host, groups.is_empty())?;
    if !denied && host.may_set_groups {
        plan.init.push(Step::Groups(groups));
    } else if !groups.is_empty() && denied {
        return Err(Invalid::new(pointer, "cannot set any additional groups in a rootless container"));
    } else if !groups.is_empty() {
        plan.warnings.push("ignoring process.user.additionalGids: setgroups is denied in this user namespace".into());
    }
    Ok(())
}

/// What is taken from the mode of the files the program makes.
pub fn umask(process: &Process) -> Result<Step> {
    match process.user().umask().unwrap_or(UMASK) {
        mask if mask <= 0o777 => Ok(Step::Umask(mask)),
        mask => Err(Invalid::new("/process/user/umask", format!("{mask} (decimal) is above 0777"))),
    }
}

/// The ids themselves; -1 is no id to the kernel.
pub fn check(process: &Process) -> Result<()> {
    let user = process.user();
    for (name, id) in [("uid", user.uid()), ("gid", user.gid())] {
        if id == u32::MAX {
            return Err(Invalid::new(format!("/process/user/{name}"), format!("{id} is no id")));
        }
    }
    Ok(())
}
