//! A container in the foreground: signals handed on, the terminal copied, orphans reaped, until it ends.
//!
//! Signals are blocked before the container's process exists and read from a descriptor: none can be lost between
//! its end and the first wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_sys::clone::pidfd_send_signal;
use coracle_sys::{Errno, creds};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::console::{Console, Wanted};
use crate::error::{Context, Error, Result};

/// Signals caught for a container that is about to be made.
pub struct Signals {
    fd: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks every signal that can be handed on, and with `subreaper` becomes the parent of the container's orphans.
    pub fn catch(subreaper: bool) -> Result<Signals> {
        if subreaper {
            creds::set_child_subreaper().context(|| "become the parent of the container's orphans")?;
        }
        let mut set = SigSet::all();
        // These say what this process did wrong itself.
        for own in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGABRT] {
            set.remove(own);
        }
        let before = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK).context(|| "block signals")?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
        Ok(Signals { fd: fd.context(|| "read signals from a descriptor")?, before })
    }

    /// Stays with the process `pid` behind `pidfd` until it ends; returns its exit code, or 128 and the number of the
    /// signal that ended it.
    pub fn stay(&mut self, pid: Pid, pidfd: &OwnedFd, mut console: Option<&mut Console>) -> Result<i32> {
        loop {
            if let Some(code) = self.handle(pid, pidfd.as_fd(), console.as_deref_mut())? {
                if let Some(console) = console {
                    console.drain();
                }
                return Ok(code);
            }
            wait_for_any(self.fd.as_fd(), pidfd.as_fd(), console.as_deref_mut())?;
        }
    }

    /// Hands on what has arrived; the exit status once `pid` has ended.
    fn handle(&mut self, pid: Pid, pidfd: BorrowedFd<'_>, console: Option<&mut Console>) -> Result<Option<i32>> {
        while let Some(info) = self.fd.read_signal().context(|| "read a signal")? {
            match Signal::try_from(info.ssi_signo as i32) {
                Ok(Signal::SIGCHLD | Signal::SIGURG) => {}
                Ok(Signal::SIGWINCH) => {
                    if let Some(console) = &console {
                        console.resize();
                    }
                }
                _ => match pidfd_send_signal(pidfd, info.ssi_signo as i32) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => {
                        tracing::warn!("{}", Error::system(format!("hand signal {} on", info.ssi_signo), errno))
                    }
                },
            }
        }
        let status = waitid(Id::PIDFd(pidfd), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        let code = match status.context(|| format!("wait for process {pid}"))? {
            WaitStatus::Exited(_, code) => Some(code),
            WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
            _ => None,
        };
        if code.is_none() {
            reap_others(pid);
        }
        Ok(code)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        let _ = self.before.thread_set_mask();
    }
}

/// Reaps the container's orphans, which are this process's children; the container's own process is left alone.
fn reap_others(pid: Pid) {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Ok(status) = waitid(Id::All, flags) {
        match status.pid() {
            Some(other) if other != pid => drop(waitpid(other, Some(WaitPidFlag::WNOHANG))),
            _ => return,
        }
    }
}

fn wait_for_any(signals: BorrowedFd<'_>, pidfd: BorrowedFd<'_>, console: Option<&mut Console>) -> Result<()> {
    let mut fds = vec![PollFd::new(signals, PollFlags::POLLIN), PollFd::new(pidfd, PollFlags::POLLIN)];
    let (polled, ready) = {
        let (names, more): (Vec<Wanted>, Vec<PollFd<'_>>) =
            console.as_deref().map(Console::wanted).unwrap_or_default().into_iter().unzip();
        fds.extend(more);
        let polled = poll(&mut fds, PollTimeout::NONE);
        let happened = |fd: &PollFd<'_>| fd.revents().is_some_and(|events| !events.is_empty());
        let ready: Vec<Wanted> =
            names.into_iter().zip(&fds[2..]).filter(|(_, fd)| happened(fd)).map(|(name, _)| name).collect();
        (polled, ready)
    };
    if let Some(console) = console {
        console.copy(&ready);
    }
    match polled {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(Error::system("wait for the container", errno)),
    }
}
