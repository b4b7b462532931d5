//! What is due while CRIU restores a container.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use coracle_plan::namespaces::Kind as Namespace;
use coracle_plan::{HookKind, Plan, Step};
use coracle_sys::clone::{pidfd_open, pidfd_send_signal};
use coracle_sys::fds::send_with_fd;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::criu::rpc::Reply;
use crate::error::{Context, Error, Kind, Result};
use crate::hooks;
use crate::launch::{self, IntoCgroup};
use crate::prepare::prepare;
use crate::store::process::Process;
use crate::store::record::{Hooks, State};
use crate::store::status::Status;

/// A restored process that is not yet a container's: dropped, it is killed and reaped.
pub struct Restored {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub terminal: Option<OwnedFd>,
    pub armed: bool,
}

impl Drop for Restored {
    fn drop(&mut self) {
        if self.armed {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
    }
}

/// What is known of a container while CRIU restores it.
pub struct Restoring<'a> {
    pub state: &'a mut State,
    pub plan: &'a Plan,
    pub console: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    pub restored: Option<Restored>,
}

impl Restoring<'_> {
    /// Does what is due at a point of the restore.
    pub fn notified(&mut self, reply: &Reply, fd: Option<OwnedFd>) -> Result<()> {
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
        if !self.plan.init.iter().any(|step| matches!(step, Step::SendPty(_))) {
            let text = "config.json /process/terminal: is not set, but what was saved has a terminal";
            return Err(Error::new(Kind::InvalidConfig, text));
        }
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
