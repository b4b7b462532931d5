//! What CRIU is told (`criu_opts`): a function of the plan, of what the caller asked for, and of where things are.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use coracle_plan::namespaces::Kind;
use coracle_plan::{Plan, Slot, Source, Step};

use super::rpc::Message;
use crate::error::{Error, Kind as ErrorKind, Result};

/// The numbers of fields in `rpc.proto`.
mod field {
    pub const IMAGES_DIR_FD: u32 = 1;
    pub const PID: u32 = 2;
    pub const LEAVE_RUNNING: u32 = 3;
    pub const EXT_UNIX_SK: u32 = 4;
    pub const TCP_ESTABLISHED: u32 = 5;
    pub const EVASIVE_DEVICES: u32 = 6;
    pub const SHELL_JOB: u32 = 7;
    pub const FILE_LOCKS: u32 = 8;
    pub const LOG_LEVEL: u32 = 9;
    pub const LOG_FILE: u32 = 10;
    pub const PAGE_SERVER: u32 = 11;
    pub const NOTIFY_SCRIPTS: u32 = 12;
    pub const ROOT: u32 = 13;
    pub const PARENT_IMG: u32 = 14;
    pub const TRACK_MEM: u32 = 15;
    pub const AUTO_DEDUP: u32 = 16;
    pub const WORK_DIR_FD: u32 = 17;
    pub const LINK_REMAP: u32 = 18;
    pub const EXT_MNT: u32 = 23;
    pub const MANAGE_CGROUPS: u32 = 24;
    pub const CG_ROOT: u32 = 25;
    pub const RST_SIBLING: u32 = 26;
    pub const INHERIT_FD: u32 = 27;
    pub const MANAGE_CGROUPS_MODE: u32 = 34;
    pub const EXTERNAL: u32 = 37;
    pub const EMPTY_NS: u32 = 38;
    pub const JOIN_NS: u32 = 39;
    pub const FREEZE_CGROUP: u32 = 44;
    pub const TCP_SKIP_IN_FLIGHT: u32 = 46;
    pub const LAZY_PAGES: u32 = 48;
    pub const ORPHAN_PTS_MASTER: u32 = 50;
    pub const CONFIG_FILE: u32 = 51;
    pub const LSM_PROFILE: u32 = 53;
    pub const LSM_MOUNT_CONTEXT: u32 = 63;
}

/// Everything CRIU has to say: on a failure its log is all there is.
const LOG_LEVEL: u32 = 4;

/// What may be set for CRIU where the annotation `org.criu.config` does not name another file.
const CONFIG_FILE: &str = "/etc/criu/runc.conf";

/// How CRIU treats the cgroups of what it saves and restores (criu(8), `--manage-cgroups`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CgroupsMode {
    Ignore = 0,
    Soft = 3,
    Full = 4,
    Strict = 5,
    #[default]
    Default = 6,
}

/// What `checkpoint` and `restore` can both be told.
#[derive(Debug, Clone, Default)]
pub struct CriuOptions {
    /// The directory of the images.
    pub image_path: PathBuf,
    /// The directory of logs and the like; that of the images if there is none.
    pub work_path: Option<PathBuf>,
    pub tcp_established: bool,
    pub ext_unix_sk: bool,
    pub shell_job: bool,
    pub file_locks: bool,
    pub lazy_pages: bool,
    pub auto_dedup: bool,
    pub manage_cgroups_mode: CgroupsMode,
}

/// What a container shares with the host: CRIU neither saves nor makes it, and must be told what takes its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// Bind mounts, by mount point and by source. The first is below the root, whatever links are on the way.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// Masked paths, those that are not there included.
    pub masked: Vec<PathBuf>,
    /// Namespaces given by path.
    pub namespaces: Vec<(Kind, PathBuf, Slot)>,
    /// The root filesystem, if it is mounted.
    pub root: Option<Slot>,
    /// The socket that gets the terminal.
    pub console: Option<Slot>,
    /// Whether a mount has an id mapping of its own.
    pub mapped: bool,
}

impl Shared {
    /// What the start `plan` takes from the host. `cgroups` are the container's own.
    pub fn of(plan: &Plan, cgroups: &BTreeMap<String, PathBuf>) -> Shared {
        let mut shared = Shared::default();
        let path = |text: &std::ffi::CStr| PathBuf::from(OsStr::from_bytes(text.to_bytes()));
        // In a cgroup namespace CRIU takes them for mounts of its own making.
        let own_view = plan.namespaces & Kind::Cgroup.flag() != 0;
        for step in &plan.init {
            match step {
                Step::AttachTree { from, target, .. } => {
                    let from = path(from);
                    if !(own_view && cgroups.values().any(|cgroup| *cgroup == from)) {
                        shared.mounts.push((path(&target.path), from));
                    }
                }
                Step::AttachRootfs { slot, .. } => shared.root = Some(*slot),
                Step::SendPty(slot) => shared.console = *slot,
                Step::Mask(at) => shared.masked.push(path(at)),
                _ => {}
            }
        }
        shared.mapped = plan.sources.iter().any(|source| matches!(source, Source::Tree(tree) if tree.idmap.is_some()));
        shared.namespaces.extend(plan.sources.iter().enumerate().filter_map(|(i, source)| match source {
            Source::Namespace { kind, path, .. } => Some((*kind, path.clone(), Slot(i))),
            _ => None,
        }));
        shared
    }
}

impl Shared {
    /// Checks that there is nothing CRIU would make otherwise without a word.
    pub fn check(&self) -> Result<()> {
        let mapped = "criu cannot restore mounts with an id mapping of their own";
        if self.mapped { Err(Error::new(ErrorKind::Unsupported, mapped)) } else { Ok(()) }
    }
}

/// The name CRIU knows a namespace given by path by, where it is found by name (network and pid).
pub fn external_name(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Network => Some("extRootNetNS"),
        Kind::Pid => Some("extRootPidNS"),
        _ => None,
    }
}

/// Where CRIU finds things.
#[derive(Debug)]
pub struct Places<'a> {
    /// Descriptors of this process.
    pub images: i32,
    pub work: Option<i32>,
    pub log: &'a str,
    pub root: &'a Path,
    /// CRIU's configuration file, where the container has one of its own.
    pub config: Option<&'a str>,
    /// Mounts of the host's: on `checkpoint` where each is and its name in the images, on `restore` that name and where it
    /// comes from.
    pub mounts: &'a [(PathBuf, PathBuf)],
}

fn both(opts: &CriuOptions, places: &Places<'_>) -> Message {
    let config = places.config.unwrap_or(CONFIG_FILE);
    let mounts = places.mounts.iter().map(|(key, value)| pair(key.as_os_str(), value.as_os_str()));
    Message::default()
        .descriptor(field::IMAGES_DIR_FD, places.images)
        .descriptor(field::WORK_DIR_FD, places.work)
        .number(field::LOG_LEVEL, LOG_LEVEL)
        .bytes(field::LOG_FILE, places.log.as_bytes())
        .bytes(field::ROOT, places.root.as_os_str().as_bytes())
        .bytes(field::CONFIG_FILE, config.as_bytes())
        .flag(field::NOTIFY_SCRIPTS, true)
        .flag(field::ORPHAN_PTS_MASTER, true)
        .flag(field::MANAGE_CGROUPS, true)
        .number(field::MANAGE_CGROUPS_MODE, opts.manage_cgroups_mode as u32)
        // Interfaces and their addresses are the business of who made them.
        .number(field::EMPTY_NS, Kind::Network.flag() as u32)
        .flag(field::TCP_ESTABLISHED, opts.tcp_established)
        .flag(field::EXT_UNIX_SK, opts.ext_unix_sk)
        .flag(field::SHELL_JOB, opts.shell_job)
        .flag(field::FILE_LOCKS, opts.file_locks)
        .flag(field::LAZY_PAGES, opts.lazy_pages)
        .flag(field::AUTO_DEDUP, opts.auto_dedup)
        .messages(field::EXT_MNT, mounts)
}

fn pair(first: &OsStr, second: &OsStr) -> Message {
    Message::default().bytes(1, first.as_bytes()).bytes(2, second.as_bytes())
}

/// What `checkpoint` needs beyond [`CriuOptions`].
#[derive(Debug, Default)]
pub struct Dump<'a> {
    pub pid: i32,
    pub leave_running: bool,
    pub tcp_skip_in_flight: bool,
    pub link_remap: bool,
    pub parent: Option<&'a Path>,
    pub page_server: Option<&'a (String, u16)>,
    pub freezer: Option<&'a Path>,
    /// Namespaces that are found by name, with their inodes.
    pub namespaces: Vec<(Kind, u64)>,
    /// Standard streams that are saved by name alone.
    pub streams: Vec<String>,
}

/// The options of a dump.
pub fn dump(opts: &CriuOptions, places: &Places<'_>, dump: &Dump<'_>) -> Message {
    let server = dump
        .page_server
        .map(|(address, port)| Message::default().bytes(1, address.as_bytes()).number(2, u32::from(*port)));
    let path = |path: Option<&'_ Path>| path.map_or_else(Vec::new, |path| path.as_os_str().as_bytes().to_vec());
    let options = both(opts, places)
        .descriptor(field::PID, dump.pid)
        .flag(field::LEAVE_RUNNING, dump.leave_running)
        .flag(field::TCP_SKIP_IN_FLIGHT, dump.tcp_skip_in_flight)
        .flag(field::LINK_REMAP, dump.link_remap)
        .bytes(field::PARENT_IMG, &path(dump.parent))
        .flag(field::TRACK_MEM, dump.parent.is_some())
        .bytes(field::FREEZE_CGROUP, &path(dump.freezer))
        .messages(field::PAGE_SERVER, server);
    let options = dump.streams.iter().fold(options, |options, name| options.bytes(field::EXTERNAL, name.as_bytes()));
    dump.namespaces.iter().fold(options, |options, (kind, inode)| match external_name(*kind) {
        Some(name) => options.bytes(field::EXTERNAL, format!("{}[{inode}]:{name}", kind.file()).as_bytes()),
        None => options,
    })
}

/// What `restore` needs beyond [`CriuOptions`].
#[derive(Debug, Default)]
pub struct Restore<'a> {
    pub lsm_profile: Option<&'a str>,
    pub lsm_mount_context: Option<&'a str>,
    /// The cgroup CRIU is in, by controller.
    pub cgroups: Vec<(String, String)>,
    /// Namespaces to join by path.
    pub join: Vec<(Kind, &'a Path)>,
    /// Descriptors of CRIU's that take the place of what goes by these names.
    pub inherit: Vec<(String, i32)>,
}

/// The options of a restore.
pub fn restore(opts: &CriuOptions, places: &Places<'_>, restore: &Restore<'_>) -> Message {
    let text = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
    both(opts, places)
        .flag(field::EVASIVE_DEVICES, true)
        .flag(field::RST_SIBLING, true)
        .bytes(field::LSM_PROFILE, &text(restore.lsm_profile))
        .bytes(field::LSM_MOUNT_CONTEXT, &text(restore.lsm_mount_context))
        .messages(field::CG_ROOT, restore.cgroups.iter().map(|(name, path)| cgroup_root(name, path)))
        .messages(field::JOIN_NS, restore.join.iter().map(|(kind, path)| pair(kind.file().as_ref(), path.as_os_str())))
        .messages(
            field::INHERIT_FD,
            restore.inherit.iter().map(|(name, fd)| Message::default().bytes(1, name.as_bytes()).descriptor(2, *fd)),
        )
}

/// The v2 hierarchy goes by the empty name, which is not the same as none.
fn cgroup_root(name: &str, path: &str) -> Message {
    let root = if name.is_empty() { Message::default().empty(1) } else { Message::default().bytes(1, name.as_bytes()) };
    root.bytes(2, path.as_bytes())
}

#[cfg(test)]
mod tests {
    use coracle_plan::{CreateOptions, Host};
    use serde_json::{Value, json};

    use super::*;

    fn plan(change: impl FnOnce(&mut Value)) -> Plan {
        let mut config: Value = serde_json::from_str(include_str!("../../../config.json.example")).unwrap();
        change(&mut config);
        let cgroups = BTreeMap::from([(String::new(), PathBuf::from("/sys/fs/cgroup/web1"))]);
        let (bundle, rootfs) = ("/bundle".into(), "/bundle/rootfs".into());
        let options = CreateOptions { bundle, rootfs, cgroups, cgroups_made: true, ..CreateOptions::default() };
        Plan::create(&serde_json::from_value(config).unwrap(), &Host::rootful(), &options).unwrap()
    }

    fn cgroups() -> BTreeMap<String, PathBuf> {
        BTreeMap::from([(String::new(), PathBuf::from("/sys/fs/cgroup/web1"))])
    }

    #[test]
    fn what_is_shared_with_the_host() {
        let plan = plan(|config| {
            let bind = json!({"destination": "/data/", "source": "src", "options": ["bind"]});
            config["mounts"].as_array_mut().unwrap().push(bind);
            config["linux"]["maskedPaths"] = json!(["/proc/keys"]);
            config["linux"]["namespaces"]
                .as_array_mut()
                .unwrap()
                .retain(|n| n["type"] != "network" && n["type"] != "ipc");
            let joined = [json!({"type": "network", "path": "/ns/net"}), json!({"type": "ipc", "path": "/ns/ipc"})];
            config["linux"]["namespaces"].as_array_mut().unwrap().extend(joined);
        });
        let shared = Shared::of(&plan, &cgroups());
        // The container's own cgroup is not among them.
        assert_eq!(shared.mounts, [("data".into(), "/bundle/src".into())]);
        assert_eq!(shared.masked, [PathBuf::from("/proc/keys")]);
        let namespaces: Vec<_> =
            shared.namespaces.iter().map(|(kind, path, _)| (*kind, path.to_str().unwrap())).collect();
        assert_eq!(namespaces, [(Kind::Ipc, "/ns/ipc"), (Kind::Network, "/ns/net")]);
        assert!(shared.check().is_ok() && shared.root.is_some());
    }

    #[test]
    fn cgroups_are_the_hosts_without_a_namespace_of_their_own() {
        let plan = plan(|config| {
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
        });
        let shared = Shared::of(&plan, &cgroups());
        assert_eq!(shared.mounts.len(), 1, "{plan}");
        assert_eq!(shared.mounts[0].0, Path::new("sys/fs/cgroup"));
    }

    #[test]
    fn id_mappings_are_refused() {
        let plan = plan(|config| {
            let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
            let bind = json!({"destination": "/m", "source": "/src", "options": ["bind"], "uidMappings": map, "gidMappings": map});
            config["mounts"].as_array_mut().unwrap().push(bind);
        });
        assert!(Shared::of(&plan, &cgroups()).check().is_err());
    }

    #[test]
    fn options_follow_the_annotation() {
        let said = |config: Option<&str>| {
            let places = Places { images: 3, work: None, log: "x.log", root: Path::new("/r"), config, mounts: &[] };
            let bytes = dump(&CriuOptions::default(), &places, &Dump::default()).as_bytes().to_vec();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        assert!(said(None).contains("/etc/criu/runc.conf"));
        assert!(said(Some("/my.conf")).contains("/my.conf"));
        assert!(!said(Some("")).contains(".conf"));
    }
}
