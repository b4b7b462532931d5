//! The program and its rights: the one ordered list every process of a container ends with.

use oci_spec::runtime::{Process, Spec};

use crate::capabilities::{self, SYS_ADMIN};
use crate::host::Host;
use crate::host_step::HostStep;
use crate::invalid::{Invalid, c_string};
use crate::seccomp::{Filter, Listener};
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Result, environment, rlimits, scheduling, security, user};

/// Permissions of a key (keyctl_setperm(3)).
const OWNER_SEARCH: u32 = 0x0008_0000;
const OTHERS_SEARCH: u32 = 0x0000_0008;

/// `process` of the configuration, checked for what it cannot do without.
pub fn of(spec: &Spec) -> Result<&Process> {
    let process =
        spec.process().as_ref().ok_or_else(|| Invalid::new("/process", "process property must not be empty"))?;
    check(process)?;
    Ok(process)
}

/// What a process cannot do without.
pub fn check(process: &Process) -> Result<()> {
    if process.cwd().as_os_str().is_empty() {
        return Err(Invalid::new("/process/cwd", "Cwd property must not be empty"));
    }
    if !process.cwd().is_absolute() {
        return Err(Invalid::new("/process/cwd", "Cwd must be an absolute path"));
    }
    if process.args().as_ref().is_none_or(|args| args.is_empty()) {
        return Err(Invalid::new("/process/args", "args must not be empty"));
    }
    Ok(())
}

/// What a process starts with, before anything of the container is visible to it.
pub fn session(
    plan: &mut Plan,
    process: &Process,
    affinity: Option<Step>,
    host: &Host,
    opts: &CreateOptions,
) -> Result<()> {
    plan.init.extend([Step::Signals { ignored: host.ignored_signals }, Step::Setsid]);
    plan.init.extend(affinity);
    if !opts.no_new_keyring {
        // Its owner is who makes it: in a user namespace, whoever enters the container is another.
        let userns = plan.namespaces & libc::CLONE_NEWUSER != 0;
        let search = if userns { OTHERS_SEARCH } else { OWNER_SEARCH };
        let keyring = Step::Keyring { name: c_string("/id", format!("_ses.{}", opts.id))?, search };
        security::label_keyring(plan, process, host, keyring)?;
    }
    let done = plan.host.iter().any(|(_, step)| matches!(step, HostStep::OomScoreAdj(_)));
    if let (Some(value), false) = (process.oom_score_adj(), done) {
        plan.host.push((Point::Ready, HostStep::OomScoreAdj(value)));
    }
    Ok(())
}

/// From here on every step takes something away; the last one executes the program.
///
/// The order is what the kernel allows: descriptors closed before anything is looked up by a name that could lead to
/// one, groups before ids, ids before capabilities, the working directory with the user's rights, and a seccomp filter
/// right before the program, which must not need a system call of ours.
pub fn drop_privileges_and_exec(
    plan: &mut Plan,
    spec: &Spec,
    process: &Process,
    host: &Host,
    opts: &CreateOptions,
) -> Result<()> {
    user::check(process)?;
    let user = process.user();
    let program = environment::program(process, &opts.extra_env)?;
    let limits = rlimits::all(process, host)?;
    let in_userns = plan.namespaces & libc::CLONE_NEWUSER != 0;
    let asked = capabilities::sets(process.capabilities().as_ref());
    let capabilities = capabilities::granted(asked, host, in_userns, &mut plan.warnings)?;
    let seccomp = spec.linux().as_ref().and_then(|l| l.seccomp().clone());
    let filter = seccomp.map(|seccomp| Filter::from_spec(&seccomp, opts.extras.strict_seccomp)).transpose()?;
    let filter = filter.filter(|_| opts.extras.seccomp_program.is_none());
    let listener = filter.as_ref().and_then(|filter| filter.listener.clone());
    let given = opts.extras.seccomp_program.clone().map(Source::SeccompProgram);
    let seccomp = given.or_else(|| filter.map(|filter| Source::Seccomp(Box::new(filter))));
    let seccomp = seccomp.map(|source| plan.source(source));
    let no_new_privs = process.no_new_privileges().unwrap_or(false);
    let cwd = c_string("/process/cwd", process.cwd().as_os_str().as_encoded_bytes())?;
    let gate = opts.gate.then(|| plan.source(Source::Gate));

    scheduling::all(plan, spec, process)?;
    security::label_program(plan, process, host)?;
    plan.init.push(Step::StdioOwner { uid: user.uid() });
    plan.init.push(Step::CloseFds { keep: opts.preserve_fds, gate });
    plan.init.extend(program.find_home);
    user::groups(plan, spec, process, host, opts.extras.keep_groups)?;
    plan.init.push(Step::ChdirEarly(cwd.clone()));
    plan.init.push(capabilities.bounding);
    plan.init.push(Step::KeepCaps);
    plan.init.push(Step::SetGid(user.gid()));
    plan.init.push(Step::SetUid(user.uid()));
    plan.init.push(Step::Chdir(cwd));
    plan.init.push(Step::VerifyCwd);
    plan.init.push(user::umask(process)?);

    // See `security` for why it may stay until execve.
    let until_exec = if seccomp.is_some() && !no_new_privs { 1 << SYS_ADMIN } else { 0 };
    let sets = capabilities.sets;
    plan.init.push(Step::Capabilities {
        effective: sets.effective | until_exec,
        permitted: sets.permitted | until_exec,
        inheritable: sets.inheritable,
    });
    plan.init.push(Step::Ambient(sets.ambient));
    if no_new_privs {
        plan.init.push(Step::NoNewPrivs);
    }
    plan.init.push(program.find);
    if !plan.host.iter().any(|(_, step)| *step == HostStep::Limits) {
        plan.host.push((Point::Ready, HostStep::Limits));
    }
    plan.host.extend(limits.raised);
    let ready = [Some(Step::Sync(Point::Ready)), gate.map(Step::Gate)].into_iter().flatten();
    if let (Some(Listener { path, metadata }), Some(slot)) = (listener, seccomp) {
        plan.host.push((Point::Listening, HostStep::Listener { path, metadata }));
        plan.init.extend(limits.own);
        plan.init.push(Step::SeccompListening(slot));
        plan.init.extend(ready);
    } else {
        plan.init.extend(ready);
        plan.init.extend(limits.own);
        plan.init.extend(seccomp.map(Step::Seccomp));
    }
    plan.init.push(program.exec);
    Ok(())
}
