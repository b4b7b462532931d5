//! Which cgroup hierarchies the host has, and where.

use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::location::clean;

/// Where every distribution mounts its cgroups, of either version (cgroups(7)).
const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// The spelling a host's cgroups have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// No hierarchy is mounted.
    Absent,
    /// One hierarchy for each controller, or for a few of them.
    V1,
    /// One hierarchy for all.
    V2,
    /// Controllers in v1 hierarchies, and a v2 hierarchy beside them.
    Hybrid,
}

/// The mounted cgroup hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub(crate) unified: Option<Unified>,
    pub(crate) hierarchies: Vec<Mounted>,
}

/// The v2 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unified {
    pub mount: PathBuf,
    /// What the topmost cgroup offers.
    pub controllers: Vec<String>,
    /// The caller's own cgroup, once it was asked for.
    pub own: Option<PathBuf>,
}

/// A v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// Its controllers, or its name as `name=systemd`.
    pub controllers: Vec<String>,
    pub mount: PathBuf,
    /// The caller's own cgroup, below the mount point.
    pub own: PathBuf,
}

/// Which hierarchy holds a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    V1,
    V2,
}

/// Whether a file system of this kind is seen at `path`: there may be nothing, or nothing for this user.
fn is(path: &Path, wanted: FsType) -> Result<bool> {
    match statfs(path) {
        Ok(fs) => Ok(fs.filesystem_type() == wanted),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(false),
        Err(errno) => Err(Error::kernel(format!("look at {}", path.display()), errno)),
    }
}

impl Layout {
    /// Looks at what is mounted on `/sys/fs/cgroup`, and only where that is not cgroup v2 at the mount table.
    ///
    /// # Errors
    /// When a file of procfs or of the hierarchy cannot be read. No hierarchy at all is not an error here.
    pub fn detect() -> Result<Layout> {
        Layout::seen_from("/proc/self/cgroup")
    }

    /// The same, with the cgroups of the process whose file this is as the caller's own.
    pub(crate) fn seen_from(own: &str) -> Result<Layout> {
        let mut layout = if is(Path::new(MOUNT_POINT), CGROUP2_SUPER_MAGIC)? {
            let unified = Unified { mount: MOUNT_POINT.into(), controllers: Vec::new(), own: None };
            Layout { unified: Some(unified), hierarchies: Vec::new() }
        } else {
            Layout::parse(&read("/proc/self/mountinfo")?, &read(own)?)
        };
        // The mount table names those too that something else is mounted over.
        if let Some(unified) = &layout.unified
            && !is(&unified.mount, CGROUP2_SUPER_MAGIC)?
        {
            layout.unified = None;
        }
        let mut seen = Vec::new();
        for hierarchy in std::mem::take(&mut layout.hierarchies) {
            if is(&hierarchy.mount, CGROUP_SUPER_MAGIC)? {
                seen.push(hierarchy);
            }
        }
        layout.hierarchies = seen;
        if let Some(unified) = &mut layout.unified {
            let controllers = read(unified.mount.join("cgroup.controllers"))?;
            unified.controllers = controllers.split_whitespace().map(String::from).collect();
        }
        Ok(layout)
    }

    /// Reads the contents of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    fn parse(mountinfo: &str, own: &str) -> Layout {
        let mut layout = Layout { unified: None, hierarchies: Vec::new() };
        let mut mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
        // The same tree may be mounted elsewhere too, in part or read-only.
        mounts.sort_by_key(|mount| !mount.point.starts_with(MOUNT_POINT));
        for (controllers, own) in own.lines().filter_map(own_cgroup) {
            if controllers.is_empty() {
                // One that somebody mounted elsewhere is for a purpose of their own.
                let mount = mounts.iter().find(|mount| mount.v2 && mount.point.starts_with(MOUNT_POINT));
                layout.unified = mount.map(|mount| Unified {
                    mount: mount.point.clone(),
                    controllers: Vec::new(),
                    own: Some(clean(Path::new(own))),
                });
                continue;
            }
            let controllers: Vec<String> = controllers.split(',').map(String::from).collect();
            let mount = mounts.iter().find(|mount| !mount.v2 && controllers.iter().all(|c| mount.has(c)));
            if let Some(mount) = mount {
                // Inside a container without a cgroup namespace the mount shows a part of the tree only, while
                // /proc/self/cgroup counts from the top of it.
                let own = Path::new(own);
                let own = clean(own.strip_prefix(&mount.root).unwrap_or(own));
                layout.hierarchies.push(Mounted { controllers, mount: mount.point.clone(), own });
            }
        }
        layout
    }

    /// Which spelling the host uses.
    pub fn mode(&self) -> Mode {
        match (&self.unified, self.hierarchies.is_empty()) {
            (None, true) => Mode::Absent,
            (None, false) => Mode::V1,
            (Some(_), true) => Mode::V2,
            (Some(_), false) => Mode::Hybrid,
        }
    }

    /// Where the v2 hierarchy is mounted, if it is.
    pub fn unified(&self) -> Option<&Path> {
        self.unified.as_ref().map(|unified| unified.mount.as_path())
    }

    /// The v1 hierarchies: the controllers of each, or its name as `name=systemd`, and where it is mounted.
    pub fn hierarchies(&self) -> impl Iterator<Item = (&[String], &Path)> {
        self.hierarchies.iter().map(|h| (h.controllers.as_slice(), h.mount.as_path()))
    }

    /// Whether `controller`, by its name on v1, can be used at all.
    pub fn has(&self, controller: &str) -> bool {
        self.home(controller).is_some()
    }

    /// Where `controller` can be used, if anywhere. Its name is the one of v1, `blkio` rather than `io`.
    pub(crate) fn home(&self, controller: &str) -> Option<Home> {
        if self.hierarchies.iter().any(|h| h.controllers.iter().any(|c| c == controller)) {
            return Some(Home::V1);
        }
        let unified = self.unified.as_ref()?;
        let name = if controller == "blkio" { "io" } else { controller };
        // Devices are no controller of v2, but programs attached to the cgroup.
        (name == "devices" || unified.controllers.iter().any(|c| c == name)).then_some(Home::V2)
    }

    /// The caller's own cgroup in the v2 hierarchy.
    pub(crate) fn own_unified(&self) -> Result<PathBuf> {
        if let Some(own) = self.unified.as_ref().and_then(|unified| unified.own.as_ref()) {
            return Ok(own.clone());
        }
        Ok(unified_in(&read("/proc/self/cgroup")?).unwrap_or_default())
    }

    /// The directory in the v2 hierarchy of the cgroup that process `pid` is in, if the hierarchy is mounted.
    pub(crate) fn unified_of(&self, pid: Pid) -> Result<Option<PathBuf>> {
        let Some(unified) = &self.unified else { return Ok(None) };
        let below = unified_in(&read(format!("/proc/{pid}/cgroup"))?);
        Ok(below.map(|below| unified.mount.join(below)))
    }
}

/// Whether the caller can never load a program or change device rules: without root, or root in a user namespace only.
pub(crate) fn lacks_privilege() -> bool {
    if !nix::unistd::geteuid().is_root() {
        return true;
    }
    let whole = ["0", "0", "4294967295"];
    read("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(whole))
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    std::fs::read_to_string(path).map_err(|error| {
        let errno = error.raw_os_error().map_or(nix::errno::Errno::EIO, nix::errno::Errno::from_raw);
        Error::kernel(format!("read {}", path.display()), errno)
    })
}

/// The cgroup v2 path in the content of a `/proc/PID/cgroup`.
fn unified_in(text: &str) -> Option<PathBuf> {
    let (_, path) = text.lines().filter_map(own_cgroup).find(|(controllers, _)| controllers.is_empty())?;
    Some(clean(Path::new(path)))
}

/// Splits a line of `/proc/self/cgroup`, `4:cpu,cpuacct:/path` (cgroups(7)).
fn own_cgroup(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.splitn(3, ':').skip(1);
    Some((fields.next()?, fields.next()?))
}

/// A mounted cgroup filesystem.
struct Mount {
    v2: bool,
    /// The cgroup that is at the mount point.
    root: PathBuf,
    point: PathBuf,
    options: String,
}

impl Mount {
    /// Reads a line of mountinfo (proc_pid_mountinfo(5)), if it is about a cgroup filesystem.
    fn parse(line: &str) -> Option<Mount> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let v2 = match after.next()? {
            "cgroup2" => true,
            "cgroup" => false,
            _ => return None,
        };
        let mut before = before.split(' ').skip(3);
        let root = unescape(before.next()?).into();
        let point = unescape(before.next()?).into();
        Some(Mount { v2, root, point, options: after.nth(1)?.to_owned() })
    }

    fn has(&self, controller: &str) -> bool {
        self.options.split(',').any(|option| option == controller)
    }
}

/// Undoes the `\040` spelling of blanks and backslashes in mountinfo.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
impl Layout {
    /// A host with every controller, in v2.
    pub fn all_v2() -> Layout {
        let names = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"];
        let controllers = names.map(String::from).to_vec();
        Layout {
            unified: Some(Unified { mount: MOUNT_POINT.into(), controllers, own: Some("own".into()) }),
            hierarchies: Vec::new(),
        }
    }

    /// A host with these controllers in v1 hierarchies.
    pub fn v1_with(controllers: &[&str]) -> Layout {
        let mounted = |name: &&str| Mounted {
            controllers: vec![(*name).to_owned()],
            mount: Path::new(MOUNT_POINT).join(name),
            own: PathBuf::new(),
        };
        Layout { unified: None, hierarchies: controllers.iter().map(mounted).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 1 0:5 / /proc rw - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
33 23 0:32 / /host/memory ro,relatime - cgroup cgroup rw,memory
34 23 0:39 / /run/other/cgroupv2 rw - cgroup2 none rw
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 31 0:32 /inner /mnt/with\\040blank rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn hybrid_is_read_from_the_mount_table() {
        let layout =
            Layout::parse(HYBRID, "9:name=systemd:/user\n4:memory:/a/b\n1:cpu,cpuacct:/\n7:pids:/\n0::/user\n");
        assert_eq!(layout.mode(), Mode::Hybrid);
        let found: Vec<_> = layout
            .hierarchies
            .iter()
            .map(|h| format!("{} {} {}", h.controllers.join("+"), h.mount.display(), h.own.display()))
            .collect();
        assert_eq!(
            found,
            [
                "name=systemd /sys/fs/cgroup/systemd user",
                "memory /sys/fs/cgroup/memory a/b",
                "cpu+cpuacct /sys/fs/cgroup/cpu,cpuacct ",
            ],
            "pids is not mounted"
        );
        let unified = layout.unified.as_ref().unwrap();
        assert_eq!(
            (unified.mount.as_path(), unified.own.as_deref()),
            ("/sys/fs/cgroup/unified".as_ref(), Some("user".as_ref()))
        );
        assert_eq!(layout.home("cpu"), Some(Home::V1));
        assert_eq!(layout.home("hugetlb"), None);
        assert_eq!(layout.home("devices"), Some(Home::V2));
    }

    #[test]
    fn a_part_of_the_tree_may_be_all_there_is_to_see() {
        let mounts = "35 31 0:32 /docker/c1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        let layout = Layout::parse(mounts, "4:memory:/docker/c1/sub\n");
        assert_eq!((layout.mode(), layout.hierarchies[0].own.as_path()), (Mode::V1, "sub".as_ref()));
    }

    #[test]
    fn a_v2_tree_elsewhere_is_not_for_containers() {
        let mounts = HYBRID.lines().filter(|line| !line.contains("unified")).collect::<Vec<_>>().join("\n");
        assert_eq!(Layout::parse(&mounts, "4:memory:/\n0::/\n").mode(), Mode::V1);
    }

    #[test]
    fn nothing_mounted() {
        assert_eq!(Layout::parse("23 1 0:5 / /proc rw - proc proc rw\n", "0::/\n").mode(), Mode::Absent);
    }

    #[test]
    fn mount_points_are_unescaped() {
        for (text, plain) in [("/a\\040b", "/a b"), ("/a\\134b", "/a\\b"), ("/plain", "/plain"), ("/odd\\9", "/odd\\9")]
        {
            assert_eq!(unescape(text), plain);
        }
    }
}
