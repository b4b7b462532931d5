//! What this machine is like, for the planner.

use std::path::{Path, PathBuf};

use coracle_cgroup::{Layout, Mode};
use coracle_plan::Host;
use coracle_plan::host::{CgroupMode, Hierarchy};
use nix::unistd::{getegid, geteuid};

use crate::error::{Context, Error, Kind, Result};
use crate::files;

/// CAP_CHECKPOINT_RESTORE, the last one that was added.
const LAST_OF_5_9: u32 = 40;

const SELINUX_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(libc::SELINUX_MAGIC);

/// Probes this process and the machine.
pub fn probe(layout: &Layout) -> Result<Host> {
    let own = Own::read()?;
    Ok(Host {
        euid: geteuid().as_raw(),
        egid: getegid().as_raw(),
        in_userns: in_userns()?,
        capabilities: held(caps::CapSet::Effective)? & held(caps::CapSet::Permitted)?,
        bounding: own.mask("CapBnd:")?,
        ignored_signals: own.mask("SigIgn:")?,
        may_set_groups: text("/proc/self/setgroups")?.is_some_and(|text| text.starts_with("allow")),
        hard_limits: std::array::from_fn(|i| coracle_sys::rlimit::own(i as u32).map_or(u64::MAX, |(_, hard)| hard)),
        open_files: files::callers(),
        last_capability: last_capability()?,
        cgroup: match layout.mode() {
            Mode::Absent => CgroupMode::None,
            Mode::V1 => CgroupMode::V1,
            Mode::V2 => CgroupMode::V2,
            Mode::Hybrid => CgroupMode::Hybrid,
        },
        apparmor: text("/sys/module/apparmor/parameters/enabled")?.is_some_and(|text| text.starts_with('Y')),
        selinux: nix::sys::statfs::statfs("/sys/fs/selinux").is_ok_and(|fs| fs.filesystem_type() == SELINUX_MAGIC),
        unified: layout.unified().map(Path::to_path_buf),
        hierarchies: layout.hierarchies().map(hierarchy).collect(),
        kernel_mounts: Vec::new(),
    })
}

fn hierarchy((controllers, mount_point): (&[String], &Path)) -> Hierarchy {
    Hierarchy { controllers: controllers.join(","), mount_point: mount_point.to_path_buf() }
}

/// Where procfs and sysfs are mounted, the deepest last.
///
/// # Errors
/// When the mount table cannot be read.
pub fn kernel_mounts() -> Result<Vec<PathBuf>> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")?;
    let point = |line: &str| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let fstype = filesystem.split(' ').next()?;
        let point = mount.split(' ').nth(4)?;
        matches!(fstype, "proc" | "sysfs").then(|| PathBuf::from(unescape(point)))
    };
    Ok(table.lines().filter_map(point).collect())
}

/// Undoes the octal escapes of mountinfo (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> String {
    let pairs = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    pairs.into_iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn held(set: caps::CapSet) -> Result<u64> {
    let own = caps::read(None, set);
    let own = own.map_err(|e| Error::new(Kind::InvalidState, format!("read own {set:?} capabilities: {e}")))?;
    Ok(own.iter().fold(0, |mask, cap| mask | cap.bitmask()))
}

/// What the kernel says of this process (proc_pid_status(5)). By `caps` the bounding set would take a call for each of
/// its capabilities.
struct Own(String);

impl Own {
    fn read() -> Result<Own> {
        const STATUS: &str = "/proc/self/status";
        Ok(Own(std::fs::read_to_string(STATUS).context(|| format!("read {STATUS}"))?))
    }

    /// The mask in the line that begins with `name`.
    fn mask(&self, name: &str) -> Result<u64> {
        let text = self.0.lines().find_map(|line| line.strip_prefix(name));
        let mask = text.and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
        mask.ok_or_else(|| Error::new(Kind::InvalidState, format!("read /proc/self/status: there is no {name}")))
    }
}

/// The highest capability of the kernel (capabilities(7)).
fn last_capability() -> Result<u32> {
    let text = text("/proc/sys/kernel/cap_last_cap")?.unwrap_or_default();
    Ok(text.trim().parse().unwrap_or(LAST_OF_5_9))
}

/// Whether the caller is a user other than root. One who calls from a user namespace of their own is root there, but by the
/// environment still who they were: podman does so.
///
/// # Errors
/// When the map of the user namespace cannot be read.
pub fn is_run_by_user() -> Result<bool> {
    let named_root = || std::env::var_os("USER").is_some_and(|name| name == "root");
    Ok(!geteuid().is_root() || in_userns()? && !named_root())
}

/// Whether this process is in a user namespace other than the initial one (user_namespaces(7)).
fn in_userns() -> Result<bool> {
    let map = text("/proc/self/uid_map")?.unwrap_or_default();
    Ok(!map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// A file of the kernel's, if it has that one. An error is not taken for its absence, which would mean something.
fn text(path: &str) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context(|| format!("read {path}")),
    }
}
