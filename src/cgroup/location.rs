//! Where the cgroups of a container are: computed when it is created, saved in its state, read back for every
//! later command.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where each cgroup of a container is, and how much of it was made for this container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// In the v2 hierarchy, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unified: Option<Place>,
    /// In the v1 hierarchies, in the order they were joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hierarchies: Vec<Hierarchy>,
}

/// A container's cgroup in one v1 hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchy {
    /// The controllers of the hierarchy, or its name as `name=systemd`.
    pub controllers: Vec<String>,
    #[serde(flatten)]
    pub place: Place,
}

/// One cgroup directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Absolute, without `.`, `..` or symbolic links.
    pub path: PathBuf,
    /// Its inode. Another cgroup that has come to be at the same path, after a reboot say, is not this container's.
    pub inode: u64,
    /// How many of the last components of `path` did not exist before. 0: the cgroup was there and outlives the
    /// container.
    pub made: usize,
}

impl Location {
    /// The absolute path of each cgroup: by the name of its controller on v1 (`memory`, `name=systemd`), under the
    /// empty name on v2. Empty for a container without a cgroup of its own.
    pub fn paths(&self) -> BTreeMap<String, PathBuf> {
        let unified = self.unified.iter().map(|place| (String::new(), place.path.clone()));
        let hierarchies = self
            .hierarchies
            .iter()
            .flat_map(|h| h.controllers.iter().map(|controller| (controller.clone(), h.place.path.clone())));
        unified.chain(hierarchies).collect()
    }
}

/// How `linux.cgroupsPath` names a cgroup (config-linux.md, "Cgroups Path").
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Below the mount point.
    Absolute(PathBuf),
    /// Below the runtime's own cgroup, or next to it on v2.
    Relative(PathBuf),
}

impl Target {
    /// Reads `cgroups_path`; without one the container's `id` is its name. A text like `slice:prefix:name` is an
    /// ordinary relative path here: only the systemd driver gives the colons a meaning.
    ///
    /// # Errors
    /// A path that comes down to nothing, which would be the root or the runtime's own cgroup.
    pub fn parse(cgroups_path: Option<&Path>, id: &str) -> Result<Target, String> {
        let Some(path) = cgroups_path.filter(|path| !path.as_os_str().is_empty()) else {
            return Ok(Target::Relative(clean(Path::new(id))));
        };
        let cleaned = clean(path);
        if cleaned.as_os_str().is_empty() {
            return Err(format!("cgroupsPath {}: names no cgroup below the one that holds everything", path.display()));
        }
        Ok(if path.is_absolute() { Target::Absolute(cleaned) } else { Target::Relative(cleaned) })
    }

    /// The path below the mount point of a hierarchy, where relative ones start at `base`.
    pub fn below(&self, base: &Path) -> PathBuf {
        match self {
            Target::Absolute(path) => path.clone(),
            Target::Relative(path) => clean(base).join(path),
        }
    }
}

/// `path` without root, `.` and empty components; `..` takes back the component before it and stops at the top, so
/// that the result never leaves the directory it is put below.
pub(crate) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_path_table() {
        // cgroupsPath, own cgroup → path below the mount point
        let cases = [
            (None, "/", "web1"),
            (None, "/user.slice/a.scope", "user.slice/a.scope/web1"),
            (Some(""), "/own", "own/web1"),
            (Some("/kube/pod/web1"), "/own", "kube/pod/web1"),
            (Some("/../../etc"), "/own", "etc"),
            (Some("/a/../../b/./c//d"), "/own", "b/c/d"),
            (Some("rel"), "/own", "own/rel"),
            (Some("../../rel"), "/own/deep", "own/deep/rel"),
            (Some("./rel/"), "/../own", "own/rel"),
            (Some("system.slice:runc:web1"), "/", "system.slice:runc:web1"),
        ];
        for (given, own, want) in cases {
            let target = Target::parse(given.map(Path::new), "web1").unwrap();
            assert_eq!(target.below(Path::new(own)), Path::new(want), "{given:?} in {own}");
        }
    }

    #[test]
    fn paths_that_name_no_cgroup_are_refused() {
        for given in ["/", "//", "/..", ".", "..", "a/..", "/a/../.."] {
            assert!(Target::parse(Some(Path::new(given)), "web1").is_err(), "{given}");
        }
    }

    #[test]
    fn state_keeps_every_place() {
        let place = |path: &str| Place { path: path.into(), inode: 7, made: 1 };
        let location = Location {
            unified: Some(place("/sys/fs/cgroup/unified/c")),
            hierarchies: vec![
                Hierarchy { controllers: vec!["cpu".into(), "cpuacct".into()], place: place("/sys/fs/cgroup/cpu/c") },
                Hierarchy { controllers: vec!["name=systemd".into()], place: place("/sys/fs/cgroup/systemd/c") },
            ],
        };
        let text = serde_json::to_string(&location).unwrap();
        assert_eq!(serde_json::from_str::<Location>(&text).unwrap(), location);
        let names: Vec<_> =
            location.paths().into_iter().map(|(name, path)| format!("{name} {}", path.display())).collect();
        assert_eq!(
            names,
            [
                " /sys/fs/cgroup/unified/c",
                "cpu /sys/fs/cgroup/cpu/c",
                "cpuacct /sys/fs/cgroup/cpu/c",
                "name=systemd /sys/fs/cgroup/systemd/c"
            ]
        );
        assert_eq!(serde_json::from_str::<Location>("{}").unwrap(), Location::default());
    }
}
