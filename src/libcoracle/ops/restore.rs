//! `restore`: a container from what `checkpoint` has saved. As `create` and `run`, but that CRIU makes the processes.

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use coracle_plan::namespaces::Kind as Namespace;
use coracle_plan::{HookKind, Plan, Slot, Step};
use coracle_sys::clone::{pidfd_open, pidfd_send_signal};
use coracle_sys::fds::send_with_fd;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::create::{CreateOptions, check_terminal_of};
use super::delete::delete;
use super::groundwork::{Groundwork, commit};
use super::run::{RunOptions, connect_terminal};
use crate::bundle::Bundle;
use crate::console::Terminal;
use crate::criu::images::{Images, resolve};
use crate::criu::options::{self, CriuOptions, Places, Shared, external_name};
use crate::criu::rpc::{Kind as Request, Reply};
use crate::criu::{Criu, Failure};
use crate::error::{Context, Error, Kind, Result};
use crate::foreground::Signals;
use crate::hooks;
use crate::id::ContainerId;
use crate::launch::host_steps::HostSteps;
use crate::launch::{self, IntoCgroup};
use crate::notify::Notify;
use crate::prepare::{Filled, prepare};
use crate::seal;
use crate::store::Root;
use crate::store::process::Process;
use crate::store::record::{Hooks, State};
use crate::store::status::Status;

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
    commit(work.claim, work.cgroup, None, &work.state, opts.pid_file.as_deref())?;
    restored.armed = false;
    if let Some(manager) = &opts.notify_socket {
        Notify::listen(root.entry(id)?.path(), manager)?.ready(restored.pid)?;
    }
    let ended = connect_terminal(terminal, restored.terminal.take()).and_then(|mut console| match &mut signals {
        Some(signals) => signals.stay(restored.pid, &restored.pidfd, console.as_mut()),
        None => Ok(0),
    });
    if !run.detach {
        delete(root, id, true)?;
    }
    ended
}

/// A restored process that is not yet a container's: dropped, it is killed and reaped.
struct Restored {
    pid: Pid,
    pidfd: OwnedFd,
    terminal: Option<OwnedFd>,
    armed: bool,
}

impl Drop for Restored {
    fn drop(&mut self) {
        if self.armed {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
    }
}

/// Has CRIU make the processes, and brings the record up to what is then.
fn revive(work: &mut Groundwork<'_>, images: &Images, restore: &RestoreOptions) -> Result<Restored> {
    let shared = Shared::of(&work.plan, &work.options.cgroups);
    shared.check()?;
    let mut filled = prepare(&work.plan.sources, &work.claim.entry().gate())?;
    let console = shared.console.and_then(|slot| take(&mut filled, slot));
    let mut streams = inherited(images)?;
    let (kept, join) = namespaces(&shared, &mut filled, &mut streams)?;
    let unmounted = || Error::new(Kind::Unsupported, "criu restores only with privilege, and into a mount namespace");
    let tree = shared.root.and_then(|slot| take(&mut filled, slot)).ok_or_else(unmounted)?;
    let root = RootPoint::make(work.claim.entry().criu_root())?;
    let mut criu = Criu::for_restore(kept, tree, &root.0)?;
    criu.check_version()?;
    work.cgroup.adopt(criu.pid())?;
    // Some are made only now, by systemd.
    work.state.cgroup = work.cgroup.location();
    work.cgroup.set(&work.resources)?;
    make_mount_points(work)?;

    let seen = images.seen_by(criu.pid())?;
    let (images_fd, work_fd) = seen.descriptors();
    let annotations = &work.state.annotations;
    let mounts = mounts(&shared, &work.state)?;
    let places = Places { images: images_fd, work: work_fd, log: LOG, root: &root.0, annotations, mounts: &mounts };
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
    done.map_err(|failure| match failure {
        Failure::Criu(problem) => images.explain(problem, LOG),
        Failure::Own(error) => error,
    })?;
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

/// What is known of a container while CRIU restores it.
struct Restoring<'a> {
    state: &'a mut State,
    plan: &'a Plan,
    console: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
    restored: Option<Restored>,
}

impl Restoring<'_> {
    /// Does what is due at a point of the restore.
    fn notified(&mut self, reply: &Reply, fd: Option<OwnedFd>) -> Result<()> {
        match (reply.script.as_str(), fd) {
            ("setup-namespaces", _) => self.set_up_namespaces(reply.pid),
            ("orphan-pts-master", Some(master)) => self.hand_over(master),
            ("post-restore", _) => self.take_process(reply.pid),
            _ => Ok(()),
        }
    }

    /// The first process is there, in namespaces that are still as they were made.
    fn set_up_namespaces(&mut self, pid: i32) -> Result<()> {
        if self.plan.init.iter().any(|step| matches!(step, Step::LoopbackUp)) {
            loopback_up(pid).context(|| Step::LoopbackUp)?;
        }
        let state = State { init: process(pid)?, ..self.state.clone() };
        self.plan
            .hooks()
            .filter(|(kind, _)| matches!(kind, HookKind::Prestart | HookKind::CreateRuntime))
            .try_for_each(|(kind, list)| hooks::run(kind, list, &state, Status::Creating))
    }

    fn hand_over(&mut self, master: OwnedFd) -> Result<()> {
        match &self.console {
            Some(socket) => send_with_fd(socket.as_fd(), b"/dev/pts/ptmx", Some(master.as_fd()))
                .context(|| "send the terminal to the console socket"),
            None => {
                self.terminal = Some(master);
                Ok(())
            }
        }
    }

    /// All processes are there and wait to go on.
    fn take_process(&mut self, pid: i32) -> Result<()> {
        let pidfd = pidfd_open(Pid::from_raw(pid)).context(|| "open the restored process")?;
        self.restored = Some(Restored { pid: Pid::from_raw(pid), pidfd, terminal: None, armed: true });
        self.state.init = process(pid)?;
        self.state.created = crate::store::time::now();
        // The hooks of the start belong to a life before this one.
        self.state.hooks = Hooks { poststop: std::mem::take(&mut self.state.hooks.poststop), ..Hooks::default() };
        // So that its clocks go on where they stopped, CRIU puts it into a time namespace.
        let time = |pid: &str| std::fs::metadata(format!("/proc/{pid}/ns/time")).ok().map(|found| found.ino());
        if time("self") != time(&pid.to_string()) {
            self.state.namespaces |= Namespace::Time.flag();
        }
        self.set_attributes()
    }

    /// CRIU does not always give a mount of the host's the flags it had: a read-only one would be writable.
    fn set_attributes(&mut self) -> Result<()> {
        let plan = self.plan.mount_attributes((self.state.init.pid, self.state.init.start_time));
        tracing::debug!("plan of the mounts of {}:\n{plan}", self.state.id);
        let filled = prepare(&plan.sources, Path::new(""))?;
        launch::to_ready(&plan, filled, IntoCgroup::only(None), &mut |_, _| Ok(())).map(drop)
    }
}

/// Brings up the loopback interface that process `pid` has.
fn loopback_up(pid: i32) -> coracle_sys::Result<()> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let own = open("/proc/self/ns/net", flags, Mode::empty())?;
    let other = open(format!("/proc/{pid}/ns/net").as_str(), flags, Mode::empty())?;
    setns(other, CloneFlags::CLONE_NEWNET)?;
    let up = coracle_sys::net::loopback_up();
    setns(own, CloneFlags::CLONE_NEWNET)?;
    up
}

fn process(pid: i32) -> Result<Process> {
    let gone = || Error::new(Kind::InvalidState, "the restored process is gone");
    Process::of(Pid::from_raw(pid))?.ok_or_else(gone)
}

/// CRIU mounts upon what is there. The root filesystem may be a new one, without what `create` has made in the other.
fn make_mount_points(work: &Groundwork<'_>) -> Result<()> {
    let plan = Plan::mount_points(&work.spec, &work.host, &work.options)?;
    tracing::debug!("plan of the mount points of {}:\n{plan}", work.state.id);
    let filled = prepare(&plan.sources, &work.claim.entry().gate())?;
    let state = work.state.clone();
    let mut steps = HostSteps { cgroup: &*work.cgroup, resources: None, state, status: Status::Creating, rdt: None };
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

/// Pipes that were standard input, output or error: this process's own take their place.
fn inherited(images: &Images) -> Result<Vec<(String, i32)>> {
    let streams = images.streams()?;
    Ok(streams.into_iter().zip(0..).filter(|(name, _)| name.contains("pipe:")).collect())
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
