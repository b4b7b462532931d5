//! What every way to a container begins and ends with: the claim to the id, the cgroup, the plan, and the commit.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coracle_cgroup::{Created, Driver, Layout, Options, Resources};
use coracle_plan::extras;
use coracle_plan::{CreateOptions as PlanOptions, Extras, HookKind, Host, Plan};
use oci_spec::runtime::Spec;

use super::create::{Cgroups, CreateOptions};
use super::delete;
use super::taken::Taken;
use crate::bundle::Bundle;
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::host;
use crate::id::ContainerId;
use crate::notify;
use crate::store::process::Process as ProcessRecord;
use crate::store::record::{CRIU_CONFIG, Hooks, State, VERSION};
use crate::store::{Claim, Root};
use crate::timings::timed;

/// A container without a process: it is planned, and what it takes is taken.
pub(super) struct Groundwork<'a> {
    pub spec: Cow<'a, Spec>,
    pub host: Host,
    /// What it was planned with.
    pub options: coracle_plan::CreateOptions,
    pub plan: Plan,
    pub state: State,
    pub resources: Resources,
    pub taken: Taken,
}

impl<'a> Groundwork<'a> {
    /// Takes the id, makes the cgroup and plans the start of the container in `bundle`.
    pub fn lay(
        root: &Root,
        id: &ContainerId,
        opts: &CreateOptions,
        bundle: &'a Bundle,
        gate: bool,
    ) -> Result<Groundwork<'a>> {
        let rootfs = bundle.rootfs()?;
        files::raise()?;
        let (layout, host) = timed("look at the host", || look(opts))?;
        let claim = timed("claim the id", || claim(root, id))?;
        let spec = match &opts.notify_socket {
            Some(_) => Cow::Owned(notify::amend(bundle.spec(), claim.entry().path())?),
            None => Cow::Borrowed(bundle.spec()),
        };
        claim.keep_config(bundle.config())?;
        let cgroup = timed("make the cgroup", || cgroup(&layout, &host, &claim, id, (bundle, &spec), opts))?;
        // Without delay: from here to the commit this record is all a `delete` has, should this process be killed.
        let begun = record(id, bundle, rootfs.clone(), &Plan::default(), &cgroup);
        let taken = Taken::of(claim, cgroup);
        taken.begin(&begun)?;
        let extras = begun.extras()?;
        let options = PlanOptions { extras, ..plan_options(id, opts, bundle, rootfs.clone(), gate, &taken.cgroup) };
        let plan = timed("plan", || Plan::create(&spec, &host, &options))?;
        if let Some(key) = disobeyed(&begun) {
            tracing::warn!("annotation {key} is not obeyed: config.json is not the caller's or root's alone");
        }
        for warning in bundle.warnings().iter().chain(&plan.warnings) {
            tracing::warn!("{warning}");
        }
        if opts.debug {
            tracing::debug!("plan of {id}:\n{plan}");
        }
        // Without any the rules for devices still hold.
        let resources = spec.linux().as_ref().and_then(|l| l.resources().clone()).unwrap_or_default();
        let resources = coracle_cgroup::resources(&resources, &layout);
        let resources = resources.map_err(|e| Error::new(Kind::InvalidConfig, format!("config.json {e}")))?;
        if opts.cgroups == Cgroups::Disabled && resources.has_device_rules() {
            tracing::warn!("config.json /linux/resources/devices: without a cgroup the rules do not hold");
        }
        for warning in resources.warnings() {
            tracing::warn!("{warning}");
        }
        let (no_new_keyring, notify) = (opts.no_new_keyring, opts.notify_socket.is_some());
        let streams = streams(spec.process().as_ref().and_then(|p| p.terminal()).unwrap_or(false));
        let state = State { no_new_keyring, notify, streams, ..record(id, bundle, rootfs, &plan, &taken.cgroup) };
        Ok(Groundwork { spec, host, options, plan, state, resources, taken })
    }
}

/// Takes the id, also where the one who had taken it was killed before there was a container.
fn claim(root: &Root, id: &ContainerId) -> Result<Claim> {
    match root.claim(id) {
        Err(error) if error.kind() == Kind::AlreadyExists && delete::clear(root, id)? => root.claim(id),
        claim => claim,
    }
}

/// An annotation for the runtime that came from somebody who may not give it orders.
fn disobeyed(state: &State) -> Option<&str> {
    let mut keys = state.annotations.keys().map(String::as_str);
    let orders =
        |key: &str| key.starts_with(extras::PREFIX) || key.starts_with("org.systemd.property.") || key == CRIU_CONFIG;
    keys.find(|key| !state.obeys_annotations && orders(key))
}

/// What the machine is like, as far as it decides about the plan.
pub(super) fn look(opts: &CreateOptions) -> Result<(Layout, Host)> {
    let layout = Layout::detect()?;
    let mut host = host::probe(&layout)?;
    if opts.no_pivot {
        host.kernel_mounts = host::kernel_mounts()?;
    }
    Ok((layout, host))
}

fn cgroup(
    layout: &Layout,
    host: &Host,
    claim: &Claim,
    id: &ContainerId,
    (bundle, spec): (&Bundle, &Spec),
    opts: &CreateOptions,
) -> Result<Created> {
    let driver = driver(bundle.is_trusted(), spec, opts)?;
    let rootless = opts.rootless.unwrap_or(host.euid != 0 || host.in_userns);
    let path = spec.linux().as_ref().and_then(|l| l.cgroups_path().as_deref());
    if driver == Driver::Cgroupfs {
        let parents = coracle_cgroup::missing_parents(layout, id.as_ref(), path)?;
        if !parents.is_empty() {
            claim.keep_parents(&parents)?;
        }
    }
    Ok(coracle_cgroup::create(layout, driver, id.as_ref(), path, rootless)?)
}

/// Who is to make the cgroup. Annotations about it are obeyed only if the configuration is `trusted`.
pub(super) fn driver(trusted: bool, spec: &Spec, opts: &CreateOptions) -> Result<Driver> {
    Ok(match opts.cgroups {
        Cgroups::Cgroupfs => Driver::Cgroupfs,
        Cgroups::Systemd if trusted => Driver::Systemd(unit_options(spec)?),
        Cgroups::Systemd => Driver::Systemd(Options::default()),
        Cgroups::Disabled => Driver::Nobody,
    })
}

/// What the annotations say about the container's unit.
fn unit_options(spec: &Spec) -> Result<Options> {
    let annotations = spec.annotations().clone().unwrap_or_default();
    Options::parse(&annotations).map_err(|e| Error::new(Kind::InvalidConfig, format!("config.json {e}")))
}

fn plan_options(
    id: &ContainerId,
    opts: &CreateOptions,
    bundle: &Bundle,
    rootfs: PathBuf,
    gate: bool,
    cgroup: &Created,
) -> PlanOptions {
    PlanOptions {
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
        cgroups_made: opts.cgroups != Cgroups::Systemd,
        extras: Extras::default(),
    }
}

/// What tells the program, which is process 1 of its container, of the sockets it was activated for.
pub(super) fn listen_env(count: u32) -> Vec<String> {
    if count == 0 { Vec::new() } else { vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()] }
}

/// The kernel's names of what the program has as standard input, output and error.
fn streams(terminal: bool) -> Vec<String> {
    if terminal {
        return Vec::new();
    }
    let name = |number| std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    (0..3).map(|number| name(number).to_string_lossy().into_owned()).collect()
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
        cgroup: cgroup.location(),
        namespaces: plan.namespaces,
        own_pid_namespace: plan.clone & libc::CLONE_NEWPID as u64 != 0,
        obeys_annotations: bundle.is_trusted(),
        rdt: None,
        no_new_keyring: false,
        notify: false,
        streams: Vec::new(),
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
