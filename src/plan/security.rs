//! Where labels, no_new_privs and the seccomp filter sit among the last steps, and why.
//!
//! * Labels for the next exec come first. Their files in /proc belong to root as soon as the process changes its ids
//!   and can no longer be looked into, and a policy may need a right that is dropped later. They are written through a
//!   procfs that was opened before the container's mounts existed (CVE-2019-16884, CVE-2025-52881).
//! * no_new_privs follows the last change of ids and capabilities: it hinders none of them, but before it a label's
//!   transition would be judged by it twice.
//! * Loading a filter takes no_new_privs or CAP_SYS_ADMIN. Without no_new_privs the capability is kept until execve,
//!   which computes the new sets from the inheritable, bounding and ambient ones alone (capabilities(7)): nothing has
//!   to be dropped under the filter.
//! * The filter is the last step but the program itself, after the gate: it need not allow anything that we do.
//! * With a listener it is loaded before the container is ready, since whoever answers is told of a container that is
//!   being created. What we do from there on (say that we are ready, wait for `start`) the filter must allow, or the
//!   listener answer.

use oci_spec::runtime::Process;

use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::step::Step;
use crate::{Plan, Result};

fn selinux_label<'p>(process: &'p Process, host: &Host) -> Result<Option<&'p str>> {
    let label = process.selinux_label().as_deref().filter(|label| !label.is_empty());
    if label.is_some() && !host.selinux {
        let problem = "selinux label is specified in config, but selinux is disabled or not supported";
        return Err(Invalid::new("/process/selinuxLabel", problem));
    }
    Ok(label)
}

/// Labels the session keyring: `keyring` is made in between, and nothing after it.
pub fn label_keyring(plan: &mut Plan, process: &Process, host: &Host, keyring: Step) -> Result<()> {
    let Some(label) = selinux_label(process, host)? else {
        plan.init.push(keyring);
        return Ok(());
    };
    let label = c_string("/process/selinuxLabel", label)?;
    let (proc, attribute) = (plan.proc(), c"self/attr/keycreate");
    plan.init.push(Step::Label { proc, attribute: attribute.to_owned(), label });
    plan.init.push(keyring);
    plan.init.push(Step::Label { proc, attribute: attribute.to_owned(), label: c"\n".to_owned() });
    Ok(())
}

/// The labels of the program, AppArmor's first.
///
/// # Errors
/// A label for a security module that this kernel does not run: it would silently be without.
pub fn label_program(plan: &mut Plan, process: &Process, host: &Host) -> Result<()> {
    let pointer = "/process/apparmorProfile";
    if let Some(profile) = process.apparmor_profile().as_deref().filter(|profile| !profile.is_empty()) {
        if !host.apparmor {
            return Err(Invalid::new(pointer, format!("profile {profile}: AppArmor is not enabled on this host")));
        }
        let label = c_string(pointer, format!("exec {profile}"))?;
        let proc = plan.proc();
        plan.init.push(Step::Label { proc, attribute: c"self/attr/apparmor/exec".to_owned(), label });
    }
    if let Some(label) = selinux_label(process, host)? {
        let label = c_string("/process/selinuxLabel", label)?;
        let proc = plan.proc();
        plan.init.push(Step::Label { proc, attribute: c"self/attr/exec".to_owned(), label });
    }
    Ok(())
}
