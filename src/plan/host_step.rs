//! What the parent owes the child, and when.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, LinuxIdMapping};

use crate::id_maps::{IdMaps, lines};
use crate::net_devices::NetDevice;
use crate::rdt::Rdt;
use crate::source::Slot;

/// Which hooks, in the order of the lifecycle (config.md, POSIX-platform Hooks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookKind {
    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            HookKind::Prestart => "prestart",
            HookKind::CreateRuntime => "createRuntime",
            HookKind::CreateContainer => "createContainer",
            HookKind::StartContainer => "startContainer",
            HookKind::Poststart => "poststart",
            HookKind::Poststop => "poststop",
        }
    }
}

/// A step of the parent, done when the child has reached a point.
#[derive(Debug, Clone, PartialEq)]
pub enum HostStep {
    /// Write the user namespace's id maps.
    IdMaps(IdMaps),
    /// Compare the maps of a joined user namespace with those of the configuration.
    CheckIdMaps {
        uids: Vec<LinuxIdMapping>,
        gids: Vec<LinuxIdMapping>,
    },
    /// Move interfaces of the host into the network namespace.
    NetDevices(Vec<NetDevice>),
    /// Put the process into a class of the resctrl filesystem.
    Rdt(Rdt),
    /// Give the tree in the slot the mapping of the child's user namespace.
    IdMapTree {
        slot: Slot,
        recursive: bool,
    },
    /// Put the process into its cgroup, where the clone could not.
    JoinCgroup,
    /// Set the cgroup's limits.
    Limits,
    /// Give the cgroup to this user, by the host's number.
    DelegateCgroup(u32),
    OomScoreAdj(i32),
    /// Soft and hard limit in the resource's own unit (prlimit(2)).
    Rlimit {
        /// Its place in `process.rlimits`.
        index: usize,
        name: String,
        resource: u32,
        soft: u64,
        hard: u64,
    },
    /// Send the listener of the seccomp filter to a socket.
    Listener {
        path: PathBuf,
        metadata: Option<String>,
    },
    Hooks {
        kind: HookKind,
        hooks: Vec<Hook>,
    },
}

impl fmt::Display for HostStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostStep::IdMaps(maps) => write!(f, "write id maps {maps}"),
            HostStep::CheckIdMaps { uids, gids } => {
                write!(f, "check id maps uid[{}] gid[{}]", lines(uids, ","), lines(gids, ","))
            }
            HostStep::NetDevices(devices) => {
                let names: Vec<String> = devices.iter().map(|d| format!("{} as {}", d.host, d.container)).collect();
                write!(f, "move network devices {}", names.join(", "))
            }
            HostStep::Rdt(rdt) => write!(f, "join {rdt} of resctrl"),
            HostStep::IdMapTree { slot, .. } => write!(f, "map the ids of {slot}"),
            HostStep::JoinCgroup => f.write_str("join the cgroup"),
            HostStep::Limits => f.write_str("set cgroup limits"),
            HostStep::DelegateCgroup(uid) => write!(f, "give the cgroup to user {uid}"),
            HostStep::OomScoreAdj(value) => write!(f, "set oom_score_adj {value}"),
            HostStep::Rlimit { name, soft, hard, .. } => write!(f, "set {name} {soft}:{hard}"),
            HostStep::Listener { path, .. } => write!(f, "send the seccomp listener to {}", path.display()),
            HostStep::Hooks { kind, hooks } => write!(f, "run {} {} hook(s)", hooks.len(), kind.name()),
        }
    }
}
