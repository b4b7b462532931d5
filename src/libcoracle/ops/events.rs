//! `events`: what a container uses, once or again and again, and word of processes killed for want of memory.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use coracle_cgroup::{Cgroup, Oom, Stats};
use coracle_sys::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use crate::error::{Error, Kind, Result};
use crate::id::ContainerId;
use crate::rdt;
use crate::store::Root;
use crate::store::record::State;

/// Something that is told of a container, with the keys of runc's events.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// `stats` or `oom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
}

/// The statistics of an event: those of the cgroup, and what else its readers expect to find.
#[derive(Debug, Serialize)]
pub struct Data {
    pub cpu: coracle_cgroup::stats::Cpu,
    pub cpuset: coracle_cgroup::stats::CpuSet,
    pub memory: coracle_cgroup::stats::Memory,
    pub pids: coracle_cgroup::stats::Pids,
    pub blkio: coracle_cgroup::stats::BlockIo,
    pub hugetlb: std::collections::BTreeMap<String, coracle_cgroup::stats::Hugetlb>,
    pub intel_rdt: rdt::stats::Stats,
    /// Interfaces of the runtime's own making, of which there are none.
    pub network_interfaces: Option<()>,
}

impl Data {
    fn of(state: &State, cgroup: &dyn Cgroup) -> Result<Data> {
        let Stats { cpu, cpuset, memory, pids, blkio, hugetlb } = cgroup.stats()?;
        let groups = state.rdt.as_ref().and_then(|groups| Some((groups, rdt::root().ok()?)));
        let intel_rdt = groups.map(|(groups, root)| groups.stats(&root)).unwrap_or_default();
        Ok(Data { cpu, cpuset, memory, pids, blkio, hugetlb, intel_rdt, network_interfaces: None })
    }
}

/// Who is told.
pub type Each<'a> = &'a mut dyn FnMut(&Event<'_>) -> Result<ControlFlow<()>>;

/// What the container `id` uses now.
///
/// # Errors
/// [`Kind::InvalidState`] if it has stopped.
pub fn stats(root: &Root, id: &ContainerId) -> Result<Data> {
    let (state, cgroup, _) = running(root, id)?;
    Data::of(&state, &*cgroup)
}

/// Tells `each` what the container `id` uses after every `interval`, and at once when memory has run out, until the
/// container's first process ends or `each` has had enough.
///
/// # Errors
/// [`Kind::InvalidState`] if it has stopped already; those of `each`. Statistics that cannot be read are logged.
pub fn events(root: &Root, id: &ContainerId, interval: Duration, each: Each<'_>) -> Result<()> {
    let (state, cgroup, init) = running(root, id)?;
    let mut oom = cgroup.oom()?;
    if oom.is_none() {
        tracing::debug!("no word of memory running out: the cgroup has no memory controller");
    }
    let mut next = Instant::now() + interval;
    loop {
        let ended = wait(&init, oom.as_ref(), next)?;
        for _ in 0..oom.as_mut().map_or(Ok(0), Oom::take)? {
            if each(&Event { kind: "oom", id: &state.id, data: None })?.is_break() {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        if Instant::now() < next {
            continue;
        }
        match Data::of(&state, &*cgroup) {
            Ok(data) => {
                if each(&Event { kind: "stats", id: &state.id, data: Some(data) })?.is_break() {
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
        // A reader that is slow misses some.
        next = (next + interval).max(Instant::now());
    }
}

fn running(root: &Root, id: &ContainerId) -> Result<(State, Box<dyn Cgroup>, OwnedFd)> {
    let state = root.entry(id)?.existing()?;
    let init = state.init.alive()?;
    let init = init.ok_or_else(|| Error::new(Kind::InvalidState, format!("container with id {id} is not running")))?;
    let cgroup = coracle_cgroup::open(&state.cgroup)?;
    Ok((state, cgroup, init))
}

/// Waits for `until` at most; whether the process behind `init` has ended.
fn wait(init: &OwnedFd, oom: Option<&Oom>, until: Instant) -> Result<bool> {
    let mut fds = vec![PollFd::new(init.as_fd(), PollFlags::POLLIN)];
    fds.extend(oom.map(Oom::poll).map(|(fd, events)| PollFd::new(fd, events)));
    // A millisecond is the least that can be waited for.
    let left = until.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
    let timeout = i32::try_from(left).ok().and_then(|left| PollTimeout::try_from(left).ok());
    match poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(Error::system("wait for events", errno)),
    }
    Ok(fds[0].revents().is_some_and(|events| !events.is_empty()))
}
