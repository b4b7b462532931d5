//! `exec`: a further process in a container.

use std::path::PathBuf;

use coracle_cgroup::{Layout, SubCgroup};
use coracle_plan::exec::{Container, plan};
use coracle_plan::{CreateOptions as PlanOptions, Extras, Invalid};
use oci_spec::runtime::{Process, Spec};

use super::create::check_terminal;
use super::groundwork::write_pid_file;
use super::run::attend;
use crate::bundle;
use crate::console::Terminal;
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::foreground::Signals;
use crate::host;
use crate::id::ContainerId;
use crate::launch::host_steps::HostSteps;
use crate::launch::{self, IntoCgroup};
use crate::prepare::prepare;
use crate::seal;
use crate::store::Root;
use crate::store::status::Status;
use crate::timings::timed;
use crate::user::UserSpec;

/// What is to be executed, and how. What is not given is as in the container's own process.
#[derive(Debug, Clone, Default)]
pub struct ExecOptions {
    /// A file with a whole `process` object; the fields from `args` to `apparmor` are then not looked at.
    pub process: Option<PathBuf>,
    pub args: Vec<String>,
    pub cwd: Option<PathBuf>,
    pub env: Vec<String>,
    pub tty: bool,
    pub user: Option<UserSpec>,
    pub additional_gids: Vec<u32>,
    /// Names of capabilities (`CAP_KILL`) beyond the container's.
    pub capabilities: Vec<String>,
    pub no_new_privs: bool,
    pub process_label: Option<String>,
    pub apparmor: Option<String>,

    pub detach: bool,
    pub console_socket: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub preserve_fds: u32,
    /// Go on although the container is paused: the process then runs when it is resumed.
    pub ignore_paused: bool,
    /// Cgroups below the container's to put the process into, instead of that one itself.
    pub cgroups: Vec<SubCgroup>,
}

/// Executes a process in the container `id` and returns its status: its exit code, 128 and the signal's number, or 0
/// when detached.
///
/// # Errors
/// [`Kind::InvalidState`] if the container does not run; the step that failed if the process does not.
pub fn exec(root: &Root, id: &ContainerId, opts: &ExecOptions) -> Result<i32> {
    seal::ensure()?;
    let entry = root.entry(id)?;
    let state = entry.existing()?;
    check_status(Status::of(&entry, &state)?, opts)?;
    let spec = bundle::parse("config.json", &entry.config()?, &mut Vec::new())?;
    let process = process(&spec, opts)?;
    check_terminal(&process, opts.console_socket.as_deref(), opts.detach)?;
    let terminal = process.terminal().unwrap_or(false) && !opts.detach;
    let terminal = if terminal { Some(Terminal::find()?) } else { None };
    let mut signals = if opts.detach { None } else { Some(Signals::catch(false)?) };

    let layout = Layout::detect()?;
    files::raise()?;
    let init = state.init;
    let cgroup = coracle_cgroup::open(&state.cgroup.below(&opts.cgroups)?)?;
    let current = || Ok(coracle_cgroup::current(&layout, init.pid())?);
    let into = match cgroup.dir() {
        Some(dir) if opts.cgroups.is_empty() => IntoCgroup::or(Some(dir), &current),
        dir => IntoCgroup::only(dir),
    };
    let options = PlanOptions {
        id: id.to_string(),
        console_socket: opts.console_socket.clone(),
        pidfd_socket: opts.pidfd_socket.clone(),
        no_new_keyring: state.no_new_keyring,
        preserve_fds: opts.preserve_fds,
        needs_cgroup_join: cgroup.needs_add(),
        extras: Extras { pidfd_receiver: None, ..state.extras()? },
        ..PlanOptions::default()
    };
    let container =
        Container { init: (init.pid, init.start_time), namespaces: state.namespaces, rootfs: &state.rootfs };
    let host = timed("look at the host", || host::probe(&layout))?;
    let plan = timed("plan", || plan(&spec, &process, container, &host, &options)).map_err(|e| invalid(e, opts))?;
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    tracing::debug!("plan of a process in {id}:\n{plan}");
    let filled = prepare(&plan.sources, &entry.gate())?;
    let mut steps = HostSteps { cgroup: &*cgroup, resources: None, state, status: Status::Running, rdt: None };
    let mut child = launch::to_ready(&plan, filled, into, &mut |step, child| steps.run(step, child))?;
    if let Some(groups) = &steps.state.rdt {
        groups.add(child.pid)?;
    }
    if let Some(path) = &opts.pid_file {
        write_pid_file(path, child.pid.as_raw())?;
    }
    attend(&mut child, terminal, signals.as_mut(), |child| child.exec(&plan))
}

/// A refusal of what the caller gave, by its name there.
fn invalid(invalid: Invalid, opts: &ExecOptions) -> Error {
    match (invalid.pointer.strip_prefix("/process"), &opts.process) {
        (Some(pointer), Some(file)) => {
            let invalid = Invalid::new(pointer, invalid.problem);
            Error::new(Kind::InvalidConfig, format!("{} {invalid}", file.display()))
        }
        (Some(_), None) => Error::new(Kind::InvalidConfig, invalid.to_string()),
        _ => invalid.into(),
    }
}

fn check_status(status: Status, opts: &ExecOptions) -> Result<()> {
    let text = match status {
        Status::Stopped | Status::Creating => "cannot exec in a stopped container",
        Status::Paused if !opts.ignore_paused => "cannot exec in a paused container (use --ignore-paused to override)",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::InvalidState, text))
}

/// The process to execute: the one in the file, or the container's own with what the caller asked for.
fn process(spec: &Spec, opts: &ExecOptions) -> Result<Process> {
    if let Some(path) = &opts.process {
        let bytes = std::fs::read(path).context(|| format!("read {}", path.display()))?;
        let mut warnings = Vec::new();
        let process = bundle::parse_process(&path.display().to_string(), &bytes, &mut warnings)?;
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        return Ok(completed(process, coracle_plan::process::of(spec)?));
    }
    let mut process = coracle_plan::process::of(spec)?.clone();
    process.set_args(Some(opts.args.clone()));
    process.set_terminal(Some(opts.tty));
    if let Some(cwd) = &opts.cwd {
        process.set_cwd(cwd.clone());
    }
    let env = process.env().iter().flatten().chain(&opts.env).cloned().collect();
    process.set_env(Some(env));
    let mut user = process.user().clone();
    if let Some(UserSpec { uid, gid }) = opts.user {
        user.set_uid(uid);
        user.set_gid(gid.unwrap_or(user.gid()));
    }
    let gids: Vec<u32> = user.additional_gids().iter().flatten().chain(&opts.additional_gids).copied().collect();
    user.set_additional_gids(Some(gids));
    process.set_user(user);
    if opts.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    if let Some(label) = &opts.process_label {
        process.set_selinux_label(Some(label.clone()));
    }
    if let Some(profile) = &opts.apparmor {
        process.set_apparmor_profile(Some(profile.clone()));
    }
    add_capabilities(&mut process, &opts.capabilities)?;
    Ok(process)
}

/// What `process` does not say is as in the container's `own`: a process without a word on capabilities must not end up
/// with other ones than its container.
fn completed(mut process: Process, own: &Process) -> Process {
    if process.capabilities().is_none() {
        process.set_capabilities(own.capabilities().clone());
    }
    if process.rlimits().as_ref().is_none_or(Vec::is_empty) {
        process.set_rlimits(own.rlimits().clone());
    }
    if process.selinux_label().as_ref().is_none_or(String::is_empty) {
        process.set_selinux_label(own.selinux_label().clone());
    }
    if process.apparmor_profile().as_ref().is_none_or(String::is_empty) {
        process.set_apparmor_profile(own.apparmor_profile().clone());
    }
    if process.user().umask().is_none() {
        let mut user = process.user().clone();
        user.set_umask(own.user().umask());
        process.set_user(user);
    }
    process.set_oom_score_adj(process.oom_score_adj().or(own.oom_score_adj()));
    process.set_scheduler(process.scheduler().clone().or_else(|| own.scheduler().clone()));
    process.set_io_priority(process.io_priority().or_else(|| *own.io_priority()));
    process.set_exec_cpu_affinity(process.exec_cpu_affinity().clone().or_else(|| own.exec_cpu_affinity().clone()));
    process
}

/// Adds to the bounding, effective and permitted sets, and to the ambient set where there is an inheritable one; never
/// to the inheritable set (CVE-2022-29162).
fn add_capabilities(process: &mut Process, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut sets = process.capabilities().clone().unwrap_or_default();
    for name in names {
        let capability = serde_json::from_value(name.as_str().into())
            .map_err(|_| Error::new(Kind::InvalidConfig, format!("--cap {name}: unknown capability")))?;
        let with = |set: &Option<oci_spec::runtime::Capabilities>| {
            let mut set = set.clone().unwrap_or_default();
            set.insert(capability);
            Some(set)
        };
        sets.set_bounding(with(sets.bounding()));
        sets.set_effective(with(sets.effective()));
        sets.set_permitted(with(sets.permitted()));
        if sets.inheritable().is_some() {
            sets.set_ambient(with(sets.ambient()));
        }
    }
    process.set_capabilities(Some(sets));
    Ok(())
}
