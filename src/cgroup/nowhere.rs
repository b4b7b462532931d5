//! The cgroup of a container that has none of its own.

use std::os::fd::BorrowedFd;

use nix::unistd::{Pid, Uid};

use crate::error::{Error, Result};
use crate::{Cgroup, Location, Oom, Resources, Stats};

/// A container that stays in the cgroup of its creator, who may not make another, or does not want to.
#[derive(Debug)]
pub(crate) enum Nowhere {
    NotPermitted,
    NotWanted,
}

impl Cgroup for Nowhere {
    fn dir(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn location(&self) -> Location {
        Location::default()
    }

    fn needs_add(&self) -> bool {
        false
    }

    fn add(&self, _: Pid) -> Result<()> {
        Ok(())
    }

    /// Rules for devices pass: whoever may not make a cgroup may not make device nodes either.
    fn set(&self, resources: &Resources) -> Result<()> {
        match resources.first_limit() {
            None => Ok(()),
            Some(limit) => Err(Error::refused(match self {
                Nowhere::NotPermitted => format!(
                    "set {limit} limit: not permitted to create a cgroup; have systemd make it (--systemd-cgroup), start \
                     from a delegated one (systemd-run --user --scope -p Delegate=yes) or take the limit out of \
                     linux.resources"
                ),
                Nowhere::NotWanted => {
                    format!(
                        "set {limit} limit: --cgroup-manager=disabled makes no cgroup; take it out of linux.resources"
                    )
                }
            })),
        }
    }

    fn update_with(&self, resources: &Resources, agree: &dyn Fn() -> Result<()>) -> Result<()> {
        self.set(resources).and_then(|()| agree())
    }

    fn freeze(&self, _: bool) -> Result<()> {
        Err(Error::refused("freeze the container: it has no cgroup of its own"))
    }

    fn is_frozen(&self) -> Result<bool> {
        Ok(false)
    }

    /// There is nothing to tell the container's processes by; those of its init are signalled through that.
    fn kill(&self, _: i32) -> Result<()> {
        Ok(())
    }

    fn pids(&self) -> Result<Vec<Pid>> {
        Ok(Vec::new())
    }

    fn delegate(&self, _: Uid) -> Result<()> {
        Ok(())
    }

    fn stats(&self) -> Result<Stats> {
        Err(Error::refused("read statistics: the container has no cgroup of its own"))
    }

    fn oom(&self) -> Result<Option<Oom>> {
        Ok(None)
    }

    fn remove(&self) -> Result<()> {
        Ok(())
    }
}
