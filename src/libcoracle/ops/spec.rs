//! The configuration a new bundle starts from.

use serde::Serialize;

use super::OCI_VERSION;

/// A whole `config.json` with the defaults of this runtime. It has types of its own and not those of `oci-spec`,
/// which keep capabilities in an unordered set: the same call must give the same text.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    oci_version: &'static str,
    process: Process,
    root: Root,
    hostname: &'static str,
    mounts: Vec<Mount>,
    linux: Linux,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: bool,
    user: User,
    args: &'static [&'static str],
    env: &'static [&'static str],
    cwd: &'static str,
    capabilities: Capabilities,
    rlimits: [Rlimit; 1],
    no_new_privileges: bool,
}

#[derive(Debug, Serialize)]
struct User {
    uid: u32,
    gid: u32,
}

#[derive(Debug, Serialize)]
struct Capabilities {
    bounding: &'static [&'static str],
    effective: &'static [&'static str],
    permitted: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct Rlimit {
    #[serde(rename = "type")]
    kind: &'static str,
    hard: u64,
    soft: u64,
}

#[derive(Debug, Serialize)]
struct Root {
    path: &'static str,
    readonly: bool,
}

#[derive(Debug, Serialize)]
struct Mount {
    destination: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    options: &'static [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    #[serde(skip_serializing_if = "Option::is_none")]
    uid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid_mappings: Option<[IdMapping; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Resources>,
    namespaces: Vec<Namespace>,
    masked_paths: &'static [&'static str],
    readonly_paths: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct IdMapping {
    #[serde(rename = "containerID")]
    container_id: u32,
    #[serde(rename = "hostID")]
    host_id: u32,
    size: u32,
}

#[derive(Debug, Serialize)]
struct Resources {
    devices: [DeviceRule; 1],
}

#[derive(Debug, Serialize)]
struct DeviceRule {
    allow: bool,
    access: &'static str,
}

#[derive(Debug, Serialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: &'static str,
}

/// A default configuration: a shell on a terminal, with few privileges, in namespaces of its own.
///
/// `rootless` holds the caller's user and group id; the container is then one that they can start without
/// privileges: its root is the caller, it has the host's network, and nothing that needs a cgroup. `cgroup_v2`
/// tells that the host has only the unified hierarchy, of which a cgroup namespace shows a container its own part.
pub fn spec(rootless: Option<(u32, u32)>, cgroup_v2: bool) -> Config {
    Config {
        oci_version: OCI_VERSION,
        process: Process {
            terminal: true,
            user: User { uid: 0, gid: 0 },
            args: &["sh"],
            env: &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            cwd: "/",
            capabilities: Capabilities { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
            rlimits: [Rlimit { kind: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
            no_new_privileges: true,
        },
        root: Root { path: "rootfs", readonly: true },
        hostname: "coracle",
        mounts: mounts(rootless.is_some()),
        linux: linux(rootless, cgroup_v2),
    }
}

impl Config {
    /// The text of the file: indented by tabs, with a final newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = Vec::with_capacity(4096);
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
        text.push(b'\n');
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

fn mounts(rootless: bool) -> Vec<Mount> {
    // Group 5 is not mapped in a user namespace of one id, and a sysfs of one's own needs a network namespace of
    // one's own.
    let (pts, sys): (&[_], _) = if rootless {
        (&PTS[..PTS.len() - 1], mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]))
    } else {
        (PTS, mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]))
    };
    let shm = &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount("/dev/pts", "devpts", "devpts", pts),
        mount("/dev/shm", "tmpfs", "shm", shm),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        sys,
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
    ]
}

fn mount(
    destination: &'static str,
    kind: &'static str,
    source: &'static str,
    options: &'static [&'static str],
) -> Mount {
    Mount { destination, kind, source, options }
}

fn linux(rootless: Option<(u32, u32)>, cgroup_v2: bool) -> Linux {
    let only = |host_id| [IdMapping { container_id: 0, host_id, size: 1 }];
    let private: &[_] =
        if rootless.is_some() { &["pid", "ipc", "uts", "mount"] } else { &["pid", "network", "ipc", "uts", "mount"] };
    let mut namespaces: Vec<_> = private.iter().map(|kind| Namespace { kind }).collect();
    if cgroup_v2 {
        namespaces.push(Namespace { kind: "cgroup" });
    }
    if rootless.is_some() {
        namespaces.push(Namespace { kind: "user" });
    }
    Linux {
        uid_mappings: rootless.map(|(uid, _)| only(uid)),
        gid_mappings: rootless.map(|(_, gid)| only(gid)),
        resources: rootless.is_none().then_some(Resources { devices: [DeviceRule { allow: false, access: "rwm" }] }),
        namespaces,
        masked_paths: MASKED_PATHS,
        readonly_paths: &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
}

const CAPABILITIES: &[&str] = &["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// The group comes last: a rootless configuration leaves it out.
const PTS: &[&str] = &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];

const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{LinuxNamespaceType, Spec};

    fn read(config: &Config) -> Spec {
        serde_json::from_str(&config.to_json().unwrap()).unwrap()
    }

    fn namespaces(spec: &Spec) -> Vec<LinuxNamespaceType> {
        let linux = spec.linux().as_ref().unwrap();
        linux.namespaces().as_ref().unwrap().iter().map(|namespace| namespace.typ()).collect()
    }

    #[test]
    fn the_example_is_what_this_makes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.json.example");
        let made = spec(None, true).to_json().unwrap();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &made).unwrap();
        }
        assert_eq!(
            made,
            std::fs::read_to_string(path).unwrap(),
            "run this test with UPDATE=1 and look at the difference"
        );
    }

    #[test]
    fn root_gets_its_own_network_and_no_devices() {
        let spec = read(&spec(None, false));
        assert!(namespaces(&spec).contains(&LinuxNamespaceType::Network));
        assert!(!namespaces(&spec).contains(&LinuxNamespaceType::User));
        assert!(!namespaces(&spec).contains(&LinuxNamespaceType::Cgroup));
        let resources = spec.linux().as_ref().unwrap().resources().as_ref().unwrap();
        assert!(!resources.devices().as_ref().unwrap()[0].allow());
    }

    #[test]
    fn a_user_gets_themselves_as_root() {
        let config = spec(Some((1000, 1001)), true);
        let text = config.to_json().unwrap();
        assert!(!text.contains("gid=") && !text.contains("uid=") && !text.contains("resources"), "{text}");
        let spec = read(&config);
        assert!(namespaces(&spec).contains(&LinuxNamespaceType::User));
        assert!(!namespaces(&spec).contains(&LinuxNamespaceType::Network));
        let linux = spec.linux().as_ref().unwrap();
        let uid = linux.uid_mappings().as_ref().unwrap();
        let gid = linux.gid_mappings().as_ref().unwrap();
        assert_eq!((uid[0].container_id(), uid[0].host_id(), uid[0].size()), (0, 1000, 1));
        assert_eq!((gid[0].container_id(), gid[0].host_id(), gid[0].size()), (0, 1001, 1));
    }

    #[test]
    fn keeps_no_capability_over_an_exec_of_another_program() {
        let text = spec(None, true).to_json().unwrap();
        assert!(!text.contains("inheritable") && !text.contains("ambient"));
    }
}
