//! Where the cgroups of a container are: computed when it is created, saved in its state, read back for every
//! later command.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::layout::{Layout, Mounted};
use crate::systemd::Unit;

/// Where each cgroup of a container is, and how much of it was made for this container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// In the v2 hierarchy, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unified: Option<Place>,
    /// In the v1 hierarchies, in the order they were joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hierarchies: Vec<Hierarchy>,
    /// The unit they belong to, if systemd made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
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
    /// 0, which none has, where the cgroup is still to be made.
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

impl Location {
    /// Where cgroups will be that are still to be made at `path` in each hierarchy.
    pub(crate) fn expected(layout: &Layout, path: &Path) -> Location {
        let place = |mount: &Path| Place { path: mount.join(path), inode: 0, made: 0 };
        let hierarchies = layout
            .hierarchies()
            .map(|(controllers, mount)| Hierarchy { controllers: controllers.to_vec(), place: place(mount) });
        Location { unified: layout.unified().map(place), hierarchies: hierarchies.collect(), unit: None }
    }

    /// Whether all limits are those of v2.
    pub(crate) fn is_v2(&self) -> bool {
        self.hierarchies.is_empty()
    }

    /// Whether one of the cgroups is still there.
    pub(crate) fn is_there(&self) -> bool {
        let mut places = self.unified.iter().chain(self.hierarchies.iter().map(|h| &h.place));
        places.any(|place| matches!(Dir::find(place), Ok(Some(_))))
    }

    /// Where the v2 cgroup is below that of its unit, `cgroup`.
    pub(crate) fn below_unit(&self, cgroup: &Path) -> Option<PathBuf> {
        let path = &self.unified.as_ref()?.path;
        let at = path.ancestors().find(|above| above.ends_with(cgroup))?;
        path.strip_prefix(at).ok().map(Path::to_path_buf)
    }

    /// The cgroups that process `pid` is in now. None of them was made for anybody here.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn of(pid: Pid) -> Result<Location> {
        let layout = Layout::seen_from(&format!("/proc/{pid}/cgroup"))?;
        let unified = layout.unified_of(pid)?.map(Place::at).transpose()?;
        let hierarchy =
            |h: &Mounted| Ok(Hierarchy { controllers: h.controllers.clone(), place: Place::at(h.mount.join(&h.own))? });
        let hierarchies = layout.hierarchies.iter().map(hierarchy).collect::<Result<_>>()?;
        Ok(Location { unified, hierarchies, unit: None })
    }

    /// The cgroups that `subs` name, each below the container's own in the same hierarchy; where none is named, that
    /// one itself.
    ///
    /// # Errors
    /// A path that leads out, a controller the container has no cgroup of, and a cgroup that is not there.
    pub fn below(&self, subs: &[SubCgroup]) -> Result<Location> {
        let mut location = self.clone();
        for sub in subs {
            let Some(name) = &sub.controller else {
                location.places().try_for_each(|place| place.descend(&sub.path))?;
                continue;
            };
            let at = self.hierarchies.iter().position(|h| h.controllers.contains(name));
            let unknown = || Error::refused(format!("enter cgroup: the container has none of controller {name:?}"));
            let at = at.ok_or_else(unknown)?;
            // From the container's own: another controller of the same hierarchy may have been named before.
            let place = &mut location.hierarchies[at].place;
            *place = self.hierarchies[at].place.clone();
            place.descend(&sub.path)?;
        }
        Ok(location)
    }

    fn places(&mut self) -> impl Iterator<Item = &mut Place> {
        self.unified.iter_mut().chain(self.hierarchies.iter_mut().map(|h| &mut h.place))
    }
}

impl Place {
    /// A cgroup that is there.
    fn at(path: PathBuf) -> Result<Place> {
        let opened = Dir::open(&path).and_then(|dir| dir.inode());
        let inode = opened.map_err(|errno| Error::kernel(format!("open cgroup {}", path.display()), errno))?;
        Ok(Place { path, inode, made: 0 })
    }

    fn descend(&mut self, sub: &Path) -> Result<()> {
        let below = contained(sub).ok_or_else(|| Error::refused(format!("bad sub cgroup path: {}", sub.display())))?;
        *self = Place::at(self.path.join(below))?;
        Ok(())
    }
}

/// `path` below a directory, `None` if it leads out of it on the way.
fn contained(path: &Path) -> Option<PathBuf> {
    let mut contained = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => contained.push(name),
            Component::ParentDir if !contained.pop() => return None,
            _ => {}
        }
    }
    Some(contained)
}

/// A cgroup below the container's own, as `exec --cgroup [CONTROLLER:]PATH` names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubCgroup {
    /// Whose hierarchy; `None` for all there are.
    controller: Option<String>,
    path: PathBuf,
}

impl SubCgroup {
    /// Reads the arguments of all `--cgroup` options of a command.
    ///
    /// # Errors
    /// A controller without a name or given twice; a path for all hierarchies beside another.
    pub fn parse_all(args: &[String]) -> Result<Vec<SubCgroup>> {
        let mut subs: Vec<SubCgroup> = Vec::new();
        for arg in args {
            let refuse = |why: &str| Err(Error::refused(format!("invalid --cgroup argument {arg:?}: {why}")));
            let Some((controllers, path)) = arg.split_once(':') else {
                if args.len() > 1 {
                    return refuse("one of several needs a controller in front, as in memory:PATH");
                }
                return Ok(vec![SubCgroup { controller: None, path: arg.into() }]);
            };
            for name in controllers.split(',') {
                if name.is_empty() {
                    return refuse("empty name of a controller");
                }
                if subs.iter().any(|sub| sub.controller.as_deref() == Some(name)) {
                    return refuse(&format!("controller {name} specified multiple times"));
                }
                subs.push(SubCgroup { controller: Some(name.to_owned()), path: path.into() });
            }
        }
        Ok(subs)
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
    fn paths_below_stay_below() {
        let cases = [
            ("a", Some("a")),
            ("/", Some("")),
            ("", Some("")),
            ("/a/./b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../..", None),
            ("a/../../a", None),
            ("/../a", None),
        ];
        for (given, want) in cases {
            assert_eq!(contained(Path::new(given)).as_deref(), want.map(Path::new), "{given}");
        }
    }

    #[test]
    fn arguments_name_controllers_once() {
        let parse = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            let subs = SubCgroup::parse_all(&args).ok()?;
            Some(subs.into_iter().map(|s| (s.controller.unwrap_or_default(), s.path)).collect::<Vec<_>>())
        };
        let sub = |name: &str, path: &str| (name.to_owned(), PathBuf::from(path));
        assert_eq!(parse(&[]), Some(vec![]));
        assert_eq!(parse(&["/a"]), Some(vec![sub("", "/a")]));
        assert_eq!(parse(&["cpu,cpuacct:a", "memory:b:c"]), {
            Some(vec![sub("cpu", "a"), sub("cpuacct", "a"), sub("memory", "b:c")])
        });
        for wrong in [&[":a"][..], &["cpu,:a"], &["cpu:a", "cpu:b"], &["cpu,cpu:a"], &["cpu:a", "b"], &["a", "b"]] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
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
            unit: Some(Unit { name: "c.scope".into(), user: true, cgroup: "a.slice/c.scope".into() }),
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
