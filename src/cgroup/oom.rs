//! Word of processes that were killed because their cgroup ran out of memory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::stats::value;

/// Something to poll, and how often the cgroup ran out of memory since the last look.
#[derive(Debug)]
pub struct Oom(Kind);

#[derive(Debug)]
enum Kind {
    /// Counts up with every time, and once more when the cgroup is removed.
    V1 { counter: EventFd, control: OwnedFd },
    /// `memory.events`, and the `oom_kill` of it that was seen last.
    V2 { events: OwnedFd, seen: u64 },
}

impl Oom {
    /// From the memory hierarchy of v1 (memory.rst, "OOM Control").
    pub(crate) fn v1(dir: &Dir) -> Result<Oom> {
        let watch = || -> Result<Oom, Errno> {
            let counter = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            let control = dir.open_to_read("memory.oom_control")?;
            let line = format!("{} {}", counter.as_fd().as_raw_fd(), control.as_raw_fd());
            dir.write("cgroup.event_control", &line)?;
            Ok(Oom(Kind::V1 { counter, control }))
        };
        watch().map_err(|errno| dir.failed("watch the memory of", errno))
    }

    /// From `memory.events` of v2; `None` where the cgroup has no memory controller.
    pub(crate) fn v2(dir: &Dir) -> Result<Option<Oom>> {
        let failed = |errno| dir.failed("watch the memory of", errno);
        let events = match dir.open_to_read("memory.events") {
            Ok(events) => events,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let seen = killed(events.as_fd()).map_err(failed)?;
        Ok(Some(Oom(Kind::V2 { events, seen })))
    }

    /// What says that there may be something new, and by which events of poll(2).
    pub fn poll(&self) -> (BorrowedFd<'_>, PollFlags) {
        match &self.0 {
            Kind::V1 { counter, .. } => (counter.as_fd(), PollFlags::POLLIN),
            Kind::V2 { events, .. } => (events.as_fd(), PollFlags::POLLPRI),
        }
    }

    /// How often it happened since this was last asked; never because the cgroup is gone.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn take(&mut self) -> Result<u64> {
        let failed = |errno| Error::kernel("read how often memory ran out", errno);
        match &mut self.0 {
            Kind::V1 { counter, control } => {
                let count = match counter.read() {
                    Ok(count) => count,
                    Err(Errno::EAGAIN) => return Ok(0),
                    Err(errno) => return Err(failed(errno)),
                };
                // Removal counts too, and nothing can be read after it.
                Ok(if nix::sys::uio::pread(&*control, &mut [0; 1], 0).is_ok() { count } else { 0 })
            }
            Kind::V2 { events, seen } => {
                let now = match killed(events.as_fd()) {
                    Ok(now) => now,
                    Err(Errno::ENODEV) => *seen,
                    Err(errno) => return Err(failed(errno)),
                };
                Ok(now.saturating_sub(std::mem::replace(seen, now)))
            }
        }
    }
}

fn killed(events: BorrowedFd<'_>) -> Result<u64, Errno> {
    let mut buffer = [0; 512];
    let n = nix::sys::uio::pread(events, &mut buffer, 0)?;
    Ok(value(&String::from_utf8_lossy(&buffer[..n]), "oom_kill"))
}
