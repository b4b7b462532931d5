//! Signals to all processes of a cgroup, and to nobody else.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use coracle_sys::clone::{pidfd_open, pidfd_send_signal};
use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// How long processes may be listed again to find those forked meanwhile. A frozen cgroup needs two rounds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many processes are held by descriptor at a time.
const BATCH: usize = 256;

/// Sends `signal` to each process that `list` names, until no new ones turn up; SIGKILL, to processes that are not
/// `frozen`, until there are none at all.
///
/// A number that was listed may be another process's a moment later. So each is opened first, and signalled only if
/// it is listed still after that.
///
/// # Errors
/// When the processes cannot be listed or signalled, or when new ones keep turning up for some seconds.
pub(crate) fn all(list: &dyn Fn() -> Result<Vec<Pid>>, signal: i32, frozen: bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    // The number of a killed process may be that of a new one already.
    let again = signal == SIGKILL && !frozen;
    let mut done: BTreeSet<Pid> = BTreeSet::new();
    while Instant::now() < end {
        let mut new = list()?;
        new.retain(|pid| again || !done.contains(pid));
        if new.is_empty() {
            return Ok(());
        }
        for batch in new.chunks(BATCH) {
            some(batch, list, signal)?;
            done.extend(batch);
        }
    }
    Err(Error::refused(format!("send signal {signal} to the container's processes: they fork faster than that")))
}

fn some(pids: &[Pid], list: &dyn Fn() -> Result<Vec<Pid>>, signal: i32) -> Result<()> {
    let open = opened(pids);
    let listed: BTreeSet<Pid> = list()?.into_iter().collect();
    for (pid, pidfd) in open.iter().filter(|(pid, _)| listed.contains(pid)) {
        match pidfd_send_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Error::kernel(format!("send signal {signal} to process {pid}"), errno)),
        }
    }
    Ok(())
}

/// Waits until these processes have ended, at most for `limit`.
pub(crate) fn wait(pids: &[Pid], limit: Duration) {
    let end = Instant::now() + limit;
    for batch in pids.chunks(BATCH) {
        for (_, pidfd) in opened(batch) {
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            // Cut short by a signal it is the next round's.
            let _ = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }
}

fn opened(pids: &[Pid]) -> Vec<(Pid, OwnedFd)> {
    pids.iter().filter_map(|&pid| Some((pid, pidfd_open(pid).ok()?))).collect()
}
