//! What the parent does when the child has reached a point.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::AsFd;

use coracle_cgroup::{Cgroup, Resources};
use coracle_plan::{HostStep, Slot};
use coracle_sys::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::Uid;

use super::{Child, id_maps, listener};
use crate::error::{Context, Error, Kind, Result};
use crate::prepare::tree;
use crate::store::process::Process;
use crate::store::record::State;
use crate::store::status::Status;
use crate::{hooks, network, rdt};

/// The parent's means.
pub struct HostSteps<'a> {
    pub cgroup: &'a dyn Cgroup,
    pub resources: Option<&'a Resources>,
    /// The record to be; the process is filled in as soon as it is there.
    pub state: State,
    /// What the container is while the process is made: creating, or running when this is a further one.
    pub status: Status,
    pub rdt: Option<rdt::Created>,
}

impl HostSteps<'_> {
    /// Does `step` for `child`.
    pub fn run(&mut self, step: &HostStep, child: &Child) -> Result<()> {
        if self.status == Status::Creating && self.state.init.pid != child.pid.as_raw() {
            let gone = || Error::new(Kind::InvalidState, "the container's first process is gone");
            self.state.init = Process::of(child.pid)?.ok_or_else(gone)?;
        }
        match step {
            HostStep::JoinCgroup => {
                self.cgroup.add(child.pid)?;
                if self.status == Status::Creating {
                    // systemd has made it only now.
                    self.state.cgroup = self.cgroup.location();
                }
                Ok(())
            }
            HostStep::Limits => Ok(self.resources.map_or(Ok(()), |r| self.cgroup.set(r))?),
            HostStep::DelegateCgroup(uid) => Ok(self.cgroup.delegate(Uid::from_raw(*uid))?),
            HostStep::IdMaps(maps) => id_maps::write(child.pid, maps),
            HostStep::CheckIdMaps { uids, gids } => id_maps::check(child.pid, uids, gids),
            HostStep::NetDevices(devices) => network::move_devices(child.pid, devices),
            HostStep::Rdt(rdt) => {
                let created = rdt::apply(&rdt::root()?, &self.state.id, child.pid, rdt)?;
                self.state.rdt = Some(created.groups().clone());
                self.rdt = Some(created);
                Ok(())
            }
            HostStep::OomScoreAdj(value) => write(child, "oom_score_adj", &value.to_string()),
            HostStep::Hooks { kind, hooks } => hooks::run(*kind, hooks, &self.state, Status::Creating),
            HostStep::IdMapTree { slot, recursive } => map_tree(child, *slot, *recursive).context(|| step.to_string()),
            HostStep::Listener { path, metadata } => {
                let gone = || Error::new(Kind::InvalidState, "the seccomp listener is gone");
                let listener = child.listener.as_ref().ok_or_else(gone)?.as_fd();
                let pid = child.pid.as_raw();
                listener::send(path, metadata.as_deref(), listener, pid, &self.state, self.status)
            }
            HostStep::Rlimit { index, resource, soft, hard, .. } => {
                let raised = coracle_sys::rlimit::set(child.pid, *resource, *soft, *hard);
                let raised = raised.context(|| format!("config.json /process/rlimits/{index}: {step}"));
                raised.map_err(|e| e.with_hint("raising a limit above the caller's own takes CAP_SYS_RESOURCE"))
            }
        }
    }
}

/// The mount in the slot, still detached, is the child's as much as this process's.
fn map_tree(child: &Child, slot: Slot, recursive: bool) -> coracle_sys::Result<()> {
    let path = format!("/proc/{}/ns/user", child.pid);
    let userns = nix::fcntl::open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    tree::map_ids(child.slot(slot).ok_or(Errno::EBADF)?, recursive, userns.as_fd())
}

fn write(child: &Child, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{}/{file}", child.pid);
    let put = || OpenOptions::new().write(true).open(&path)?.write_all(text.as_bytes());
    put().context(|| format!("write {} to {path}", text.trim_end()))
}
