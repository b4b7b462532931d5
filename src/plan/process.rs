//! The program and its rights: the one ordered list every process of a container ends with.

use std::ffi::CString;

use coracle_sys::exec::CArray;
use oci_spec::runtime::{Process, Spec};

use crate::capabilities::{self, SYS_ADMIN};
use crate::host::Host;
use crate::host_step::HostStep;
use crate::invalid::{Invalid, c_string};
use crate::seccomp::Filter;
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Result};

/// `process` of the configuration, checked for what it cannot do without.
pub fn of(spec: &Spec) -> Result<&Process> {
    let process =
        spec.process().as_ref().ok_or_else(|| Invalid::new("/process", "process property must not be empty"))?;
    if process.cwd().as_os_str().is_empty() {
        return Err(Invalid::new("/process/cwd", "Cwd property must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Invalid::new("/process/cwd", "Cwd must be an absolute path"));
    }
    if process.args().as_ref().is_none_or(|args| args.is_empty()) {
        return Err(Invalid::new("/process/args", "args must not be empty"));
    }
    Ok(process)
}

/// What a process starts with, before anything of the container is visible to it.
pub fn session(plan: &mut Plan, process: &Process, opts: &CreateOptions) -> Result<()> {
    plan.init.push(Step::Setsid);
    if !opts.no_new_keyring {
        plan.init.push(Step::Keyring(c_string("/id", format!("_ses.{}", opts.id))?));
    }
    if let Some(value) = process.oom_score_adj() {
        plan.host.push((Point::Ready, HostStep::OomScoreAdj(value)));
    }
    Ok(())
}

/// From here on every step takes something away; the last one executes the program.
///
/// The order is what the kernel allows: groups before ids, ids before capabilities, the working directory with the
/// user's rights, and a seccomp filter right before the program, which must not need a system call of ours.
pub fn drop_privileges_and_exec(
    plan: &mut Plan,
    spec: &Spec,
    process: &Process,
    host: &Host,
    opts: &CreateOptions,
) -> Result<()> {
    let sets = capabilities::sets(process.capabilities().as_ref());
    let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().clone());
    let filter = seccomp.map(|seccomp| Filter::from_spec(&seccomp)).transpose()?;
    if filter.as_ref().is_some_and(|filter| filter.listener.is_some()) {
        return Err(Invalid::new("/linux/seccomp/listenerPath", "SCMP_ACT_NOTIFY is not supported"));
    }
    let seccomp = filter.map(|filter| plan.source(Source::Seccomp(Box::new(filter))));
    let no_new_privs = process.no_new_privileges().unwrap_or(false);
    let cwd = c_string("/process/cwd", process.cwd().as_os_str().as_encoded_bytes())?;

    let user = process.user();
    if host.euid == 0 {
        plan.init.push(Step::Groups(user.additional_gids().clone().unwrap_or_default()));
    }
    plan.init.push(Step::ChdirEarly(cwd.clone()));
    plan.init.push(Step::Bounding(sets.bounding));
    plan.init.push(Step::KeepCaps);
    plan.init.push(Step::SetGid(user.gid()));
    plan.init.push(Step::SetUid(user.uid()));
    plan.init.push(Step::Chdir(cwd));
    plan.init.push(Step::VerifyCwd);
    plan.init.push(Step::Umask(user.umask().unwrap_or(0o022)));

    // Loading a filter takes no_new_privs or CAP_SYS_ADMIN. The capability goes with execve, which computes the new
    // sets from the inheritable, bounding and ambient ones alone (capabilities(7)): so nothing but the program is
    // called under the filter.
    let until_exec = if seccomp.is_some() && !no_new_privs { 1 << SYS_ADMIN } else { 0 };
    plan.init.push(Step::Capabilities {
        effective: sets.effective | until_exec,
        permitted: sets.permitted | until_exec,
        inheritable: sets.inheritable,
    });
    plan.init.push(Step::Ambient(sets.ambient));
    if no_new_privs {
        plan.init.push(Step::NoNewPrivs);
    }
    plan.init.push(Step::CloseFds { keep: opts.preserve_fds });
    let (find, exec) = program(process, opts)?;
    plan.init.push(find);
    plan.host.push((Point::Ready, HostStep::Limits));
    plan.init.push(Step::Sync(Point::Ready));
    if opts.gate {
        let slot = plan.source(Source::Gate);
        plan.init.push(Step::Gate(slot));
    }
    plan.init.extend(seccomp.map(Step::Seccomp));
    plan.init.push(exec);
    Ok(())
}

fn program(process: &Process, opts: &CreateOptions) -> Result<(Step, Step)> {
    let strings = |pointer: &str, list: &[String]| -> Result<Vec<CString>> {
        list.iter().enumerate().map(|(i, text)| c_string(&format!("{pointer}/{i}"), text.as_str())).collect()
    };
    let env: Vec<String> = process.env().iter().flatten().cloned().chain(opts.extra_env.iter().cloned()).collect();
    let args = process.args().as_deref().unwrap_or_default();
    let argv = strings("/process/args", args)?;
    let envp = strings("/process/env", &env)?;
    let name = argv.first().cloned().unwrap_or_default();
    let candidates = candidates(args.first().map_or("", String::as_str), &env)?;
    let find = Step::FindExecutable { name: name.clone(), candidates };
    Ok((find, Step::Exec { name, argv: CArray::new(argv), envp: CArray::new(envp) }))
}

/// Where execvp(3) would look for `name`: itself if it has a slash, else below each directory of PATH.
fn candidates(name: &str, env: &[String]) -> Result<Vec<CString>> {
    let at = "/process/args/0";
    if name.contains('/') {
        return Ok(vec![c_string(at, name)?]);
    }
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or("/bin:/usr/bin");
    let joined = |dir: &str| if dir.is_empty() { format!("./{name}") } else { format!("{dir}/{name}") };
    path.split(':').map(|dir| c_string(at, joined(dir))).collect()
}
