//! The cgroup of a process, whichever version the host has, read by the names of its files.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the host keeps its cgroups.
const MOUNT: &str = "/sys/fs/cgroup";

fn is_v2(mount: &Path) -> bool {
    fs::symlink_metadata(mount.join("cgroup.controllers")).is_ok()
}

/// The directories of one cgroup: one in each v1 hierarchy, one in v2, or both.
#[derive(Clone, Debug)]
pub struct Cgroup {
    v1: Vec<(String, PathBuf)>,
    v2: Option<PathBuf>,
}

impl Cgroup {
    /// Whether the host has v2 alone.
    pub fn is_v2() -> bool {
        is_v2(Path::new(MOUNT))
    }

    /// The controllers the host has, by version: `v1:blkio,cpu…` and then those of v2, `v2:` alone where that is all.
    pub fn controllers() -> String {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let names = text.lines().filter_map(|line| line.split(':').nth(1)).filter(|names| !names.is_empty());
        let mut v1: Vec<&str> = names.collect();
        v1.sort_unstable();
        if Cgroup::is_v2() { Cgroup::unified_controllers() } else { format!("v1:{}", v1.join(",")) }
    }

    /// Those of the v2 tree.
    pub fn unified_controllers() -> String {
        let lists = [format!("{MOUNT}/cgroup.controllers"), format!("{MOUNT}/unified/cgroup.controllers")];
        let text = lists.iter().find_map(|list| fs::read_to_string(list).ok()).unwrap_or_default();
        format!("v2:{}", text.split_whitespace().collect::<Vec<_>>().join(","))
    }

    /// The one that process `pid` is in now. It may be asked for when the process is gone.
    #[track_caller]
    pub fn of(pid: i32) -> Cgroup {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let mut found = Cgroup { v1: Vec::new(), v2: None };
        for line in text.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (names, path) = (fields.next().unwrap(), fields.next().unwrap().trim_start_matches('/'));
            for name in names.split(',').filter(|name| !name.is_empty()) {
                let directory = name.trim_start_matches("name=");
                found.v1.push((directory.to_owned(), Path::new(MOUNT).join(directory).join(path)));
            }
            if names.is_empty() {
                let mounts = [MOUNT.to_owned(), format!("{MOUNT}/unified")];
                let directory = mounts.iter().find(|mount| is_v2(Path::new(mount)));
                found.v2 = directory.map(|mount| Path::new(mount).join(path));
            }
        }
        found
    }

    /// Its directory for a controller, by v1's name of it. With v1 the one of that hierarchy.
    #[track_caller]
    pub fn directory(&self, controller: &str) -> PathBuf {
        let v1 = self.v1.iter().find(|(name, _)| name == controller).map(|(_, path)| path);
        v1.filter(|_| !Cgroup::is_v2()).or(self.v2.as_ref()).expect("a controller's directory").clone()
    }

    /// What a file holds, without white space around it. On v1, the first word of its name is the controller.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let path = self.directory(file.split('.').next().unwrap_or(file)).join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
    }

    /// The number behind `key` in a file of keys and values.
    #[track_caller]
    pub fn number(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file);
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{file} has no {key}: {text}")).parse().unwrap()
    }

    /// Fails unless the files of this host's version hold these values.
    #[track_caller]
    pub fn holds(&self, v1: &[(&str, &str)], v2: &[(&str, &str)]) {
        for (file, value) in if Cgroup::is_v2() { v2 } else { v1 } {
            assert_eq!(&self.read(file), value, "{file}");
        }
    }
}
