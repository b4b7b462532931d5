//! `create`: everything but the program.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use coracle_plan::{HookKind, Plan};
use oci_spec::runtime::{Process, Spec};

use super::delete::undo;
use super::groundwork::Groundwork;
use super::taken::Taken;
use crate::bundle::Bundle;
use crate::error::{Error, Kind, Result};
use crate::hooks;
use crate::id::ContainerId;
use crate::launch::host_steps::HostSteps;
use crate::launch::{self, Child, IntoCgroup};
use crate::prepare::prepare;
use crate::seal;
use crate::store::Root;
use crate::store::record::State;
use crate::store::status::Status;
use crate::timings::timed;

/// Who makes the container's cgroup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Cgroups {
    /// This process, in the file system.
    #[default]
    Cgroupfs,
    Systemd,
    /// Nobody: the container stays in that of its creator, without limits.
    Disabled,
}

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
    pub cgroups: Cgroups,
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
    let bundle = timed("read the bundle", || Bundle::open(&opts.bundle, opts.config.as_deref()))?;
    check_terminal_of(bundle.spec(), opts, true)?;
    let Made { child, state, .. } = Making::begin(root, id, opts, &bundle, true)?.commit(opts)?;
    let Err(error) = child.leave_at_gate() else { return Ok(()) };
    match undo(root, id, &state) {
        // Since it could be found somebody has deleted it: it was created.
        Ok(false) => return Ok(()),
        Ok(true) => {}
        Err(error) => tracing::warn!("{error}"),
    }
    if let Some(path) = &opts.pid_file {
        let _ = std::fs::remove_file(path);
    }
    Err(error)
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
    taken: Taken,
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
        let Groundwork { plan, state, resources, mut taken, .. } = Groundwork::lay(root, id, opts, bundle, gate)?;
        let filled = prepare(&plan.sources, &taken.entry().gate())?;
        let mut steps = HostSteps {
            cgroup: &*taken.cgroup,
            resources: Some(&resources),
            state,
            status: Status::Creating,
            rdt: None,
        };
        let into = IntoCgroup::only(taken.cgroup.dir());
        let ready = launch::to_ready(&plan, filled, into, &mut |step, child| steps.run(step, child));
        let HostSteps { state, rdt, .. } = steps;
        taken.rdt = rdt;
        match ready {
            Ok(child) => Ok(Making { child, plan, state, taken }),
            Err(error) => {
                hooks::run_all(HookKind::Poststop, &state.hooks.poststop, &state, Status::Stopped);
                Err(error)
            }
        }
    }

    /// Records the container and tells the caller its process; from here on `delete` removes it.
    pub fn commit(self, opts: &CreateOptions) -> Result<Made> {
        let Making { child, plan, state, mut taken } = self;
        match taken.commit(&state, opts.pid_file.as_deref()) {
            Ok(()) => Ok(Made { child, plan, state }),
            Err(error) => {
                drop(child);
                drop(taken);
                hooks::run_all(HookKind::Poststop, &state.hooks.poststop, &state, Status::Stopped);
                Err(error)
            }
        }
    }
}
