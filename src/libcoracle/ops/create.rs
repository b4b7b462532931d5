//! `create`: everything but the program.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use coracle_cgroup::{Created, Driver, Layout};
use coracle_plan::{HookKind, Host, Plan};
use oci_spec::runtime::{Process, Spec};

use crate::bundle::Bundle;
use crate::error::{Context, Error, Kind, Result};
use crate::hooks;
use crate::host;
use crate::id::ContainerId;
use crate::launch::host_steps::HostSteps;
use crate::launch::{self, Child, IntoCgroup};
use crate::notify;
use crate::prepare::prepare;
use crate::rdt;
use crate::seal;
use crate::store::process::Process as ProcessRecord;
use crate::store::record::{Hooks, State, VERSION};
use crate::store::status::Status;
use crate::store::{Claim, Root};

/// How a container is to be made, beside its configuration.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    pub bundle: PathBuf,
    /// Read instead of the bundle's config.json.
    pub config: Option<PathBuf>,
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub pidfd_socket: Option<PathBuf>,
    pub no_pivot: bool,
    pub no_new_keyring: bool,
    /// How many descriptors from 3 up are those of socket activation (sd_listen_fds(3)); the program inherits them.
    pub listen_fds: u32,
    /// How many descriptors after those the program inherits too.
    pub preserve_fds: u32,
    /// Where the service manager listens (sd_notify(3)); the container then gets a socket of its own to talk to it.
    pub notify_socket: Option<OsString>,
    pub systemd_cgroup: bool,
    /// Whether refused cgroup access is passed over; `None` decides by the user.
    pub rootless: Option<bool>,
    pub debug: bool,
}

/// Creates the container `id`; its process waits for [`start`](super::start()).
///
/// # Errors
/// Whatever of the configuration cannot be made; nothing of the container is left then.
pub fn create(root: &Root, id: &ContainerId, opts: &CreateOptions) -> Result<()> {
    seal::ensure()?;
    let bundle = Bundle::open(&opts.bundle, opts.config.as_deref())?;
    check_terminal_of(bundle.spec(), opts, true)?;
    let made = Making::begin(root, id, opts, &bundle, true)?;
    made.commit(opts)?.child.leave_at_gate()
}

/// [`check_terminal`] for the process of `spec`, if it has one.
pub(super) fn check_terminal_of(spec: &Spec, opts: &CreateOptions, detached: bool) -> Result<()> {
    spec.process().as_ref().map_or(Ok(()), |process| check_terminal(process, opts.console_socket.as_deref(), detached))
}

/// A terminal goes to a socket when nobody stays to talk to it, and only then.
pub(super) fn check_terminal(process: &Process, socket: Option<&Path>, detached: bool) -> Result<()> {
    let text = match (process.terminal().unwrap_or(false), detached, socket) {
        (true, true, None) => "cannot allocate tty if coracle will detach without setting console socket",
        (false, _, Some(_)) | (true, false, Some(_)) => {
            "cannot use console socket if coracle will not detach or allocate tty"
        }
        _ => return Ok(()),
    };
    Err(Error::new(Kind::InvalidConfig, text))
}

/// A container whose process is ready. Dropped, all of it is undone.
pub(super) struct Making {
    pub child: Child,
    pub plan: Plan,
    pub state: State,
    cgroup: Created,
    rdt: Option<rdt::Created>,
    claim: Claim,
}

/// A container that is there: recorded, its process still to be let go.
pub(super) struct Made {
    pub child: Child,
    pub plan: Plan,
    pub state: State,
}

impl Made {
    /// Runs the startContainer hooks, lets the program run, and runs the poststart hooks.
    pub fn exec(child: &mut Child, plan: &Plan, state: &State) -> Result<()> {
        hooks::run(HookKind::StartContainer, &state.hooks.start_container, state, Status::Created)?;
        child.exec(plan)?;
        hooks::run(HookKind::Poststart, &state.hooks.poststart, state, Status::Running)
    }
}

impl Making {
    /// Plans, prepares, clones, and follows the process until nothing but its program is left.
    pub fn begin(root: &Root, id: &ContainerId, opts: &CreateOptions, bundle: &Bundle, gate: bool) -> Result<Making> {
        let rootfs = bundle.rootfs()?;
        let layout = Layout::detect()?;
        let mut host = host::probe(&layout)?;
        if opts.no_pivot {
            host.kernel_mounts = host::kernel_mounts()?;
        }
        let claim = root.claim(id)?;
        let spec = match &opts.notify_socket {
            Some(_) => &notify::amend(bundle.spec(), claim.entry().path())?,
            None => bundle.spec(),
        };
        let linux = spec.linux().as_ref();
        claim.keep_config(bundle.config())?;
        let cgroup = cgroup(&layout, &host, id, spec, opts)?;
        // Without delay: from here to the commit this record is all a `delete` has, should this process be killed.
        claim.begin(&record(id, bundle, rootfs.clone(), &Plan::default(), &cgroup))?;
        let plan = Plan::create(spec, &host, &plan_options(id, opts, bundle, rootfs.clone(), gate, &cgroup))?;
        for warning in bundle.warnings().iter().chain(&plan.warnings) {
            tracing::warn!("{warning}");
        }
        if opts.debug {
            tracing::debug!("plan of {id}:\n{plan}");
        }
        // Without any the rules for devices still hold.
        let resources = linux.and_then(|l| l.resources().clone()).unwrap_or_default();
        let resources = coracle_cgroup::resources(&resources, &layout);
        let resources = resources.map_err(|e| Error::new(Kind::InvalidConfig, format!("config.json {e}")))?;
        for warning in resources.warnings() {
            tracing::warn!("{warning}");
        }
        let (no_new_keyring, notify) = (opts.no_new_keyring, opts.notify_socket.is_some());
        let state = State { no_new_keyring, notify, ..record(id, bundle, rootfs, &plan, &cgroup) };
        let filled = prepare(&plan.sources, &claim.entry().gate())?;
        let mut steps =
            HostSteps { cgroup: &*cgroup, resources: Some(&resources), state, status: Status::Creating, rdt: None };
        let into = IntoCgroup::only(cgroup.dir());
        let ready = launch::to_ready(&plan, filled, into, &mut |step, child| steps.run(step, child));
        let HostSteps { state, rdt, .. } = steps;
        match ready {
            Ok(child) => Ok(Making { child, plan, state, cgroup, rdt, claim }),
            Err(error) => {
                hooks::run_all(HookKind::Poststop, &state.hooks.poststop, &state, Status::Stopped);
                Err(error)
            }
        }
    }

    /// Records the container and tells the caller its process; from here on `delete` removes it.
    pub fn commit(self, opts: &CreateOptions) -> Result<Made> {
        if let Some(path) = &opts.pid_file {
            write_pid_file(path, self.child.pid.as_raw())?;
        }
        let committed = self.claim.commit(&self.state);
        if let (Err(_), Some(path)) = (&committed, &opts.pid_file) {
            // What it names is about to be gone.
            let _ = std::fs::remove_file(path);
        }
        committed?;
        self.cgroup.keep();
        if let Some(groups) = self.rdt {
            groups.keep();
        }
        Ok(Made { child: self.child, plan: self.plan, state: self.state })
    }
}

fn cgroup(layout: &Layout, host: &Host, id: &ContainerId, spec: &Spec, opts: &CreateOptions) -> Result<Created> {
    let driver = if opts.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs };
    let rootless = opts.rootless.unwrap_or(host.euid != 0 || host.in_userns);
    let path = spec.linux().as_ref().and_then(|l| l.cgroups_path().as_deref());
    Ok(coracle_cgroup::create(layout, driver, id.as_ref(), path, rootless)?)
}

fn plan_options(
    id: &ContainerId,
    opts: &CreateOptions,
    bundle: &Bundle,
    rootfs: PathBuf,
    gate: bool,
    cgroup: &Created,
) -> coracle_plan::CreateOptions {
    coracle_plan::CreateOptions {
        id: id.to_string(),
        bundle: bundle.path().to_path_buf(),
        rootfs,
        console_socket: opts.console_socket.clone(),
        pidfd_socket: opts.pidfd_socket.clone(),
        no_pivot: opts.no_pivot,
        no_new_keyring: opts.no_new_keyring,
        preserve_fds: opts.listen_fds.saturating_add(opts.preserve_fds),
        extra_env: listen_env(opts.listen_fds),
        gate,
        needs_cgroup_join: cgroup.needs_add(),
        cgroups: cgroup.location().paths(),
        cgroups_made: !opts.systemd_cgroup,
    }
}

/// What tells the program, which is process 1 of its container, of the sockets it was activated for.
pub(super) fn listen_env(count: u32) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()] }
}

fn record(id: &ContainerId, bundle: &Bundle, rootfs: PathBuf, plan: &Plan, cgroup: &Created) -> State {
    let annotations: BTreeMap<_, _> =
        bundle.spec().annotations().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    let hooks = |kind| coracle_plan::hooks::of(bundle.spec(), kind).to_vec();
    let texts: Vec<String> = plan.after_gate().iter().map(ToString::to_string).collect();
    State {
        version: VERSION,
        id: id.to_string(),
        bundle: bundle.path().to_path_buf(),
        rootfs,
        init: ProcessRecord { pid: 0, start_time: 0 },
        created: crate::store::time::now(),
        annotations,
        cgroup: cgroup.location().clone(),
        namespaces: plan.namespaces,
        own_pid_namespace: plan.clone & libc::CLONE_NEWPID as u64 != 0,
        rdt: None,
        no_new_keyring: false,
        notify: false,
        hooks: Hooks {
            start_container: hooks(HookKind::StartContainer),
            poststart: hooks(HookKind::Poststart),
            poststop: hooks(HookKind::Poststop),
        },
        after_gate: (plan.init.len() - texts.len(), texts),
    }
}

/// Writes the process id, whole or not at all, in decimal without a newline.
pub(super) fn write_pid_file(path: &Path, pid: i32) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let what = || format!("write pid file {}", path.display());
    let name = path.file_name().ok_or_else(|| Error::new(Kind::InvalidConfig, what()))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    let temporary = path.with_file_name(hidden);
    let put = || {
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o666).open(&temporary)?;
        write!(file, "{pid}")?;
        std::fs::rename(&temporary, path)
    };
    put().context(what)
}
