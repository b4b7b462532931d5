//! Facts about this machine and this process that decide between plans.

/// What the planner may know of the host. Probed once by the caller; tests use the constructors.
#[derive(Debug, Clone)]
pub struct Host {
    pub euid: u32,
    pub egid: u32,
    /// Whether this process is in a user namespace other than the initial one.
    pub in_userns: bool,
    /// This process's own effective and permitted capabilities, bit n being capability n.
    pub capabilities: u64,
    /// This process's bounding set.
    pub bounding: u64,
    /// The highest capability the kernel knows.
    pub last_capability: u32,
    pub cgroup: CgroupMode,
    pub apparmor: bool,
    pub selinux: bool,
    /// v1 controllers that are mounted, with the directory names below /sys/fs/cgroup and this process's path in each.
    pub hierarchies: Vec<Hierarchy>,
}

/// How cgroups are mounted on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    V1,
    Hybrid,
    V2,
    None,
}

/// A cgroup v1 hierarchy of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Mount options that name it: `cpu,cpuacct` or `name=systemd`.
    pub controllers: String,
    /// Where it is mounted.
    pub mount_point: std::path::PathBuf,
}

impl Host {
    /// Root on a machine with nothing missing.
    pub fn rootful() -> Host {
        Host {
            euid: 0,
            egid: 0,
            in_userns: false,
            capabilities: (1 << 41) - 1,
            bounding: (1 << 41) - 1,
            last_capability: 40,
            cgroup: CgroupMode::V2,
            apparmor: false,
            selinux: false,
            hierarchies: Vec::new(),
        }
    }

    /// An ordinary user, id 1000.
    pub fn rootless() -> Host {
        Host { euid: 1000, egid: 1000, capabilities: 0, ..Host::rootful() }
    }

    /// Whether `capability` (by number) is ours.
    pub fn capable(&self, capability: u32) -> bool {
        self.capabilities & 1 << capability != 0
    }
}
