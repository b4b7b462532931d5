//! Signals to all processes of a cgroup, and to nobody else.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use coracle_sys::clone::{pidfd_open, pidfd_send_signal};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{Error, Result};

/// How often the processes are listed again to find those forked meanwhile. A frozen cgroup needs two rounds.
const ROUNDS: usize = 64;

/// How many processes are held by descriptor at a time.
const BATCH: usize = 256;

/// Sends `signal` to each process that `list` names, until no new ones turn up.
///
/// A number that was listed may be another process's a moment later. So each is opened first, and signalled only if
/// it is listed still after that.
///
/// # Errors
/// When the processes cannot be listed or signalled, or when new ones keep turning up.
pub(crate) fn all(list: &dyn Fn() -> Result<Vec<Pid>>, signal: i32) -> Result<()> {
    let mut done: BTreeSet<Pid> = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut new = list()?;
        new.retain(|pid| !done.contains(pid));
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
    let open: Vec<_> = pids.iter().filter_map(|&pid| Some((pid, pidfd_open(pid).ok()?))).collect();
    let listed: BTreeSet<Pid> = list()?.into_iter().collect();
    for (pid, pidfd) in open.iter().filter(|(pid, _)| listed.contains(pid)) {
        match pidfd_send_signal(pidfd.as_fd(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => return Err(Error::kernel(format!("send signal {signal} to process {pid}"), errno)),
        }
    }
    Ok(())
}
