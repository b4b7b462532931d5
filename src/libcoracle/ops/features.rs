//! What this build can do, whatever host it runs on (runtime-spec `features.md`).

use std::collections::BTreeMap;

use coracle_plan::extras::KEYS;
use coracle_plan::mount_options::{Effect, OWN, TABLE};
use serde::Serialize;

use super::OCI_VERSION;
use crate::bundle::words;
use crate::prepare::seccomp;

/// The oldest `ociVersion` that is understood.
pub const OCI_VERSION_MIN: &str = "1.0.0";

/// The document `coracle features` prints. Lists are in the order they are declared, so that two builds can be
/// compared as text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: &'static [&'static str],
    mount_options: Vec<&'static str>,
    linux: Linux,
    annotations: BTreeMap<&'static str, String>,
    potentially_unsafe_config_annotations: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: &'static [&'static str],
    capabilities: &'static [&'static str],
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Debug, Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: &'static [&'static str],
    operators: &'static [&'static str],
    archs: Vec<&'static str>,
    known_flags: &'static [&'static str],
    supported_flags: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Debug, Serialize)]
struct MemoryPolicy {
    modes: &'static [&'static str],
    flags: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

/// The features of this build.
pub fn features() -> Features {
    Features {
        oci_version_min: OCI_VERSION_MIN,
        oci_version_max: OCI_VERSION,
        hooks: &["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        mount_options: mount_options(),
        linux: Linux {
            namespaces: words::NAMESPACES,
            capabilities: CAPABILITIES,
            cgroup: Cgroup { v1: true, v2: true, systemd: true, systemd_user: true, rdma: true },
            seccomp: Seccomp {
                enabled: true,
                actions: words::ACTIONS,
                operators: words::OPERATORS,
                archs: architectures(),
                known_flags: words::FILTER_FLAGS,
                supported_flags: words::FILTER_FLAGS,
            },
            apparmor: Enabled { enabled: true },
            selinux: Enabled { enabled: true },
            intel_rdt: IntelRdt { enabled: true, schemata: true, monitoring: true },
            memory_policy: MemoryPolicy { modes: words::MEMORY_MODES, flags: words::MEMORY_FLAGS },
            mount_extensions: MountExtensions { idmap: Enabled { enabled: true } },
            net_devices: Enabled { enabled: true },
        },
        annotations: annotations(),
        potentially_unsafe_config_annotations: [&["bundle", "org.criu.config", "org.systemd.property."][..], &KEYS]
            .concat(),
    }
}

/// Those the planner knows. The id mapping ones are announced as an extension instead.
fn mount_options() -> Vec<&'static str> {
    let listed = TABLE.iter().filter(|(_, effect)| !matches!(effect, Effect::IdMap(_)));
    listed.map(|(name, _)| *name).collect()
}

/// Those this libseccomp makes filters for; `SCMP_ARCH_NATIVE` is a name for one of them.
fn architectures() -> Vec<&'static str> {
    let names = words::ARCHITECTURES.iter().filter(|name| **name != "SCMP_ARCH_NATIVE" && seccomp::knows(name));
    names.copied().collect()
}

/// Tools that test for abilities of runc look at its annotations; its specification lets others give the version
/// they stand in for, and asks them not to give a commit.
fn annotations() -> BTreeMap<&'static str, String> {
    let mut map = BTreeMap::from([
        ("org.opencontainers.runc.checkpoint.enabled", "true".to_owned()),
        ("org.opencontainers.runc.version", "1.5.1".to_owned()),
    ]);
    // What is beyond the specification and runc: nothing else says which of it there is.
    map.insert("coracle.annotations", KEYS.join(","));
    map.insert("coracle.mountOptions", OWN.join(","));
    if let Some(version) = libseccomp_version() {
        map.insert("io.github.seccomp.libseccomp.version", version);
    }
    map
}

/// The version of the libseccomp this binary was linked with, as `2.5.4`.
pub fn libseccomp_version() -> Option<String> {
    let version = libseccomp::ScmpVersion::current().ok()?;
    Some(format!("{}.{}.{}", version.major, version.minor, version.micro))
}

/// In the order of their numbers (capabilities(7)).
pub(super) const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_and_unique(list: &[&str]) -> bool {
        list.windows(2).all(|pair| pair[0] < pair[1])
    }

    #[test]
    fn reads_back_as_the_specification_types_it() {
        let text = serde_json::to_string(&features()).unwrap();
        let read: oci_spec::runtime::Features = serde_json::from_str(&text).unwrap();
        assert_eq!(read.oci_version_min(), OCI_VERSION_MIN);
        assert_eq!(read.oci_version_max(), OCI_VERSION);
        let linux = read.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 8);
        assert_eq!(linux.mount_extensions().as_ref().unwrap().idmap().as_ref().unwrap().enabled(), &Some(true));
        assert!(!text.contains("null"), "a key that is not known is left out: {text}");
    }

    #[test]
    fn every_name_is_one_the_configuration_may_contain() {
        for name in CAPABILITIES {
            serde_json::from_str::<oci_spec::runtime::Capability>(&format!("{name:?}")).unwrap();
        }
        for name in words::OPERATORS {
            serde_json::from_str::<oci_spec::runtime::LinuxSeccompOperator>(&format!("{name:?}")).unwrap();
        }
        for name in words::FILTER_FLAGS {
            serde_json::from_str::<oci_spec::runtime::LinuxSeccompFilterFlag>(&format!("{name:?}")).unwrap();
        }
        for name in words::MEMORY_MODES {
            serde_json::from_str::<oci_spec::runtime::MemoryPolicyModeType>(&format!("{name:?}")).unwrap();
        }
        for name in words::MEMORY_FLAGS {
            serde_json::from_str::<oci_spec::runtime::MemoryPolicyFlagType>(&format!("{name:?}")).unwrap();
        }
    }

    #[test]
    fn architectures_are_those_of_the_library() {
        let listed = architectures();
        for name in ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_S390X"] {
            assert!(listed.contains(&name), "either byte order: {listed:?}");
        }
        assert!(!listed.contains(&"SCMP_ARCH_NATIVE"));
        assert!(!seccomp::knows("SCMP_ARCH_VAX"));
    }

    #[test]
    fn lists_are_complete_and_ordered() {
        assert_eq!(CAPABILITIES.len(), 41);
        for list in [
            words::ACTIONS,
            words::OPERATORS,
            words::ARCHITECTURES,
            words::FILTER_FLAGS,
            words::MEMORY_MODES,
            words::MEMORY_FLAGS,
        ] {
            assert!(sorted_and_unique(list), "{list:?}");
        }
        assert!(sorted_and_unique(&features().mount_options));
        assert_eq!(features().mount_options.len(), 60 + OWN.len());
        assert!(OWN.iter().all(|own| features().mount_options.contains(own)));
    }
}
