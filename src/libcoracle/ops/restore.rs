//! `restore`: a container from what `checkpoint` has saved. As `create` and `run`, but that CRIU makes the processes.

mod restoring;

use std::fs::{DirBuilder, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use coracle_plan::namespaces::Kind as Namespace;
use coracle_plan::{HookKind, HostStep, Plan, Slot};
use nix::unistd::Pid;

use super::create::{CreateOptions, check_terminal_of};
use super::delete::undo;
use super::groundwork::Groundwork;
use super::run::{RunOptions, connect_terminal};
use crate::bundle::Bundle;
use crate::console::Terminal;
use crate::criu::Criu;
use crate::criu::images::{Images, resolve};
use crate::criu::options::{self, CriuOptions, Places, Shared, external_name};
use crate::criu::rpc::Kind as Request;
use crate::error::{Context, Error, Kind, Result};
use crate::foreground::Signals;
use crate::hooks;
use crate::id::ContainerId;
use crate::launch::host_steps::HostSteps;
use crate::launch::{self, IntoCgroup};
use crate::notify::Notify;
use crate::prepare::{Filled, prepare};
use crate::rdt;
use crate::seal;
use crate::store::Root;
use crate::store::record::State;
use crate::store::status::Status;
use restoring::{Restored, Restoring};

/// How a container is to be restored, beside what it shares with one that is created.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    pub criu: CriuOptions,
    pub run: RunOptions,
    /// `TYPE:NAME` of a security module's profile to restore with instead of the saved one.
    pub lsm_profile: Option<String>,
    /// The SELinux context of mounts, instead of the saved one.
    pub lsm_mount_context: Option<String>,
}

const LOG: &str = "restore.log";

/// Restores the container `id` from its images and returns its program's status as `run` does.
///
/// # Errors
/// Whatever of the configuration cannot be made, and what CRIU cannot restore; nothing of the container is left then.
pub fn restore(root: &Root, id: &ContainerId, opts: &CreateOptions, restore: &RestoreOptions) -> Result<i32> {
    seal::ensure()?;
    let run = &restore.run;
    let bundle = Bundle::open(&opts.bundle, opts.config.as_deref())?;
    check_terminal_of(bundle.spec(), opts, run.detach)?;
    let terminal = bundle.spec().process().as_ref().and_then(|p| p.terminal()).unwrap_or(false);
    let terminal = if terminal && !run.detach { Some(Terminal::find()?) } else { None };
    let mut signals = if run.detach { None } else { Some(Signals::catch(!run.no_subreaper)?) };
    let images = Images::open(&restore.criu)?;
    let mut work = Groundwork::lay(root, id, opts, &bundle, false)?;
    let revived = revive(&mut work, &images, restore);
    let mut restored = revived.inspect_err(|_| {
        hooks::run_all(HookKind::Poststop, &work.state.hooks.poststop, &work.state, Status::Stopped);
    })?;
    work.taken.commit(&work.state, opts.pid_file.as_deref())?;
    restored.armed = false;
    let attend = || {
        if let Some(manager) = &opts.notify_socket {
            Notify::listen(root.entry(id)?.path(), manager)?.ready(restored.pid)?;
        }
        let mut console = connect_terminal(terminal, restored.terminal.take())?;
        match &mut signals {
            Some(signals) => signals.stay(restored.pid, &restored.pidfd, console.as_mut()),
            None => Ok(0),
        }
    };
    let ended = attend();
    if ended.is_err() || !run.detach {
        undo(root, id, &work.state)?;
    }
    ended
}

/// Has CRIU make the processes, and brings the record up to what is then.
fn revive(work: &mut Groundwork<'_>, images: &Images, restore: &RestoreOptions) -> Result<Restored> {
    let shared = Shared::of(&work.plan, &work.options.cgroups);
    shared.check()?;
    let mut filled = prepare(&work.plan.sources, &work.taken.entry().gate())?;
    let console = shared.console.and_then(|slot| take(&mut filled, slot));
    let mut streams = inherited(images)?;
    let (kept, join) = namespaces(&shared, &mut filled, &mut streams)?;
    let unmounted = || Error::new(Kind::Unsupported, "criu restores only with privilege, and into a mount namespace");
    let tree = shared.root.and_then(|slot| take(&mut filled, slot)).ok_or_else(unmounted)?;
    let root = RootPoint::make(work.taken.entry().criu_root())?;
    let mut criu = Criu::for_restore(kept, tree, &root.0)?;
    criu.check_version()?;
    work.taken.cgroup.adopt(criu.pid())?;
    // Some are made only now, by systemd.
    work.state.cgroup = work.taken.cgroup.location();
    work.taken.cgroup.set(&work.resources)?;
    join_rdt(work, criu.pid())?;
    make_mount_points(work)?;

    let seen = images.seen_by(criu.pid())?;
    let (images_fd, work_fd) = seen.descriptors();
    let config = work.state.criu_config();
    let mounts = mounts(&shared, &work.state)?;
    let places = Places { images: images_fd, work: work_fd, log: LOG, root: &root.0, config, mounts: &mounts };
    let told = options::Restore {
        lsm_profile: restore.lsm_profile.as_deref(),
        lsm_mount_context: restore.lsm_mount_context.as_deref(),
        cgroups: cgroups_of(criu.pid())?,
        join,
        inherit: streams,
    };
    let request = options::restore(&restore.criu, &places, &told);
    let mut restoring = Restoring { state: &mut work.state, plan: &work.plan, console, terminal: None, restored: None };
    let done = criu.work(Request::Restore, &request, &mut |reply, fd| restoring.notified(reply, fd));
    done.map_err(|failure| failure.explained(images, LOG))?;
    let gone = || Error::new(Kind::InvalidState, "criu does not say what it has restored");
    let mut restored = restoring.restored.take().ok_or_else(gone)?;
    restored.terminal = restoring.terminal.take();
    Ok(restored)
}

/// The descriptor that fills a slot.
fn take(filled: &mut [Filled], Slot(i): Slot) -> Option<OwnedFd> {
    match std::mem::replace(filled.get_mut(i)?, Filled::Empty) {
        Filled::Fd(fd) => Some(fd),
        _ => None,
    }
}

/// What CRIU makes is in its class of the resctrl filesystem.
fn join_rdt(work: &mut Groundwork<'_>, criu: Pid) -> Result<()> {
    let wanted = work.plan.host.iter().find_map(|(_, step)| match step {
        HostStep::Rdt(rdt) => Some(rdt),
        _ => None,
    });
    let Some(wanted) = wanted else { return Ok(()) };
    let created = rdt::apply(&rdt::root()?, &work.state.id, criu, wanted)?;
    work.state.rdt = Some(created.groups().clone());
    work.taken.rdt = Some(created);
    Ok(())
}

/// CRIU mounts upon what is there. The root filesystem may be a new one, without what `create` has made in the other.
fn make_mount_points(work: &Groundwork<'_>) -> Result<()> {
    let plan = Plan::mount_points(&work.spec, &work.host, &work.options)?;
    tracing::debug!("plan of the mount points of {}:\n{plan}", work.state.id);
    let filled = prepare(&plan.sources, &work.taken.entry().gate())?;
    let state = work.state.clone();
    let mut steps =
        HostSteps { cgroup: &*work.taken.cgroup, resources: None, state, status: Status::Creating, rdt: None };
    // Its end is all that is wanted of the process: its mounts go with it, what they were mounted on stays.
    launch::to_ready(&plan, filled, IntoCgroup::only(None), &mut |step, child| steps.run(step, child)).map(drop)
}

/// The mounts of the host's: the name of each in the images, and where it comes from.
fn mounts(shared: &Shared, state: &State) -> Result<Vec<(PathBuf, PathBuf)>> {
    let rootfs = File::open(&state.rootfs).context(|| format!("open {}", state.rootfs.display()))?;
    let mounts = shared.mounts.iter().map(|(target, source)| Ok((resolve(&rootfs, target)?, source.clone())));
    let null = (!shared.masked.is_empty()).then(|| Ok(("/dev/null".into(), "/dev/null".into())));
    mounts.chain(null).collect()
}

/// What was standard input, output or error and CRIU knows by name only: this process's own take their place.
fn inherited(images: &Images) -> Result<Vec<(String, i32)>> {
    let streams = images.streams()?;
    Ok(streams.into_iter().zip(0..).filter(|(name, _)| name.contains("pipe:") || name.starts_with("file[")).collect())
}

/// Descriptors of the namespaces that are found by name, which are added to `inherit`; and the paths of the others.
#[expect(clippy::type_complexity, reason = "two lists")]
fn namespaces<'a>(
    shared: &'a Shared,
    filled: &mut [Filled],
    inherit: &mut Vec<(String, i32)>,
) -> Result<(Vec<OwnedFd>, Vec<(Namespace, &'a Path)>)> {
    let (mut kept, mut join) = (Vec::new(), Vec::new());
    for (kind, path, slot) in &shared.namespaces {
        match (external_name(*kind), kind) {
            (Some(name), _) => {
                let open = take(filled, *slot);
                let open =
                    open.ok_or_else(|| Error::new(Kind::InvalidState, format!("{kind} namespace is not open")))?;
                inherit.push((name.to_owned(), open.as_raw_fd()));
                kept.push(open);
            }
            (None, Namespace::Cgroup) => {
                let text = "criu cannot restore into a cgroup namespace given by path";
                return Err(Error::new(Kind::Unsupported, text));
            }
            _ => join.push((*kind, path.as_path())),
        }
    }
    Ok((kept, join))
}

/// The cgroups of a process by controller (cgroups(7), /proc/PID/cgroup).
fn cgroups_of(pid: Pid) -> Result<Vec<(String, String)>> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let line = |line: &str| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        Some((controllers.to_owned(), path.to_owned()))
    };
    let lines = text.lines().filter_map(line);
    Ok(lines
        .flat_map(|(all, path)| all.split(',').map(|one| (one.to_owned(), path.clone())).collect::<Vec<_>>())
        .collect())
}

/// The directory CRIU finds the root filesystem on. Dropped, it is removed.
struct RootPoint(PathBuf);

impl RootPoint {
    fn make(path: PathBuf) -> Result<RootPoint> {
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.context(|| format!("create {}", path.display()))?;
        Ok(RootPoint(path))
    }
}

impl Drop for RootPoint {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir(&self.0) {
            tracing::warn!("remove {}: {error}", self.0.display());
        }
    }
}
