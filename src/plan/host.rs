//! Facts about this machine and this process that decide between plans.

use std::path::PathBuf;

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
    /// The signals this process ignores, bit n - 1 being signal n.
    pub ignored_signals: u64,
    /// Whether setgroups(2) is allowed in this process's user namespace.
    pub may_set_groups: bool,
    /// This process's hard limits, by number of the resource (getrlimit(2)).
    pub hard_limits: [u64; 16],
    /// The soft and hard limit of open files this process was called with, if it has raised its own.
    pub open_files: Option<(u64, u64)>,
    /// The highest capability the kernel knows.
    pub last_capability: u32,
    pub cgroup: CgroupMode,
    pub apparmor: bool,
    pub selinux: bool,
    /// Where the v2 hierarchy is mounted.
    pub unified: Option<PathBuf>,
    /// The v1 hierarchies that are mounted.
    pub hierarchies: Vec<Hierarchy>,
    /// Where procfs and sysfs are mounted; looked up only for a root that is not pivoted into.
    pub kernel_mounts: Vec<PathBuf>,
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
    pub mount_point: PathBuf,
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
            ignored_signals: 0,
            may_set_groups: true,
            hard_limits: [u64::MAX; 16],
            open_files: None,
            last_capability: 40,
            cgroup: CgroupMode::V2,
            apparmor: false,
            selinux: false,
            unified: Some("/sys/fs/cgroup".into()),
            hierarchies: Vec::new(),
            kernel_mounts: Vec::new(),
        }
    }

    /// The same with four cgroup v1 hierarchies and a v2 hierarchy without controllers.
    pub fn hybrid() -> Host {
        let hierarchy = |(controllers, name): (&str, &str)| {
            let mount_point = PathBuf::from("/sys/fs/cgroup").join(name);
            Hierarchy { controllers: controllers.to_owned(), mount_point }
        };
        let all =
            [("cpu,cpuacct", "cpu,cpuacct"), ("memory", "memory"), ("freezer", "freezer"), ("name=systemd", "systemd")];
        let unified = Some("/sys/fs/cgroup/unified".into());
        Host { cgroup: CgroupMode::Hybrid, unified, hierarchies: all.map(hierarchy).into(), ..Host::rootful() }
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
