//! What a caller wants otherwise than the image.

use serde_json::Value;

use super::{Network, Volume};

/// The system calls a container may make.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Filter {
    #[default]
    Default,
    Unconfined,
    /// A profile in the form of `linux.seccomp`.
    Given(Value),
}

/// Settings over those of the image; empty ones leave the image's.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Arguments instead of the image's command.
    pub args: Vec<String>,
    /// Instead of the image's entrypoint; empty for none.
    pub entrypoint: Option<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub hostname: String,
    pub terminal: bool,
    pub read_only: bool,
    pub no_new_privileges: bool,
    /// Bytes.
    pub memory: Option<i64>,
    /// Thousandths of a processor.
    pub cpus: Option<i64>,
    pub pids_limit: Option<i64>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub volumes: Vec<Volume>,
    /// Destinations of file systems in memory, perhaps with `:OPTIONS`.
    pub tmpfs: Vec<String>,
    pub network: Network,
    pub annotations: Vec<(String, String)>,
    pub trust_image_annotations: bool,
    pub seccomp: Filter,
    /// Files of the bundle that stand for those of the same name in /etc: hosts, hostname, resolv.conf.
    pub etc: Vec<String>,
}

/// All capabilities there are (capabilities(7)).
pub const ALL_CAPABILITIES: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];
