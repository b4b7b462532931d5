//! What [`create`](crate::create) would come to, found out without making anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::layout::{Layout, Mode};
use crate::location::Target;
use crate::nowhere::Nowhere;
use crate::resources::Resources;
use crate::systemd::Scope;
use crate::{Cgroup, Driver, v1, v2};

/// The cgroups that a container would get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Foreseen {
    /// As [`Location::paths`](crate::Location::paths).
    pub paths: BTreeMap<String, PathBuf>,
    /// As [`Cgroup::needs_add`].
    pub needs_add: bool,
    /// Whether there is to be none.
    unwanted: bool,
    /// The controllers below the top of a v2 hierarchy that would reach it.
    reaching: Option<Vec<String>>,
}

/// Foresees [`create`](crate::create) with the same arguments.
///
/// # Errors
/// Those of `create`, as far as they show before anything is made.
pub fn foresee(
    layout: &Layout,
    driver: Driver,
    id: &str,
    cgroups_path: Option<&Path>,
    rootless: bool,
) -> Result<Foreseen> {
    if let Driver::Systemd(options) = &driver {
        // Nothing is made of it before a process is added.
        let scope = Scope::create(layout, id, cgroups_path, options.clone())?;
        return Ok(Foreseen { paths: scope.location().paths(), needs_add: scope.needs_add(), ..Foreseen::default() });
    }
    if driver == Driver::Nobody {
        return Ok(Foreseen { unwanted: true, ..Foreseen::default() });
    }
    let target = Target::parse(cgroups_path, id).map_err(Error::refused)?;
    let optional = rootless && cgroups_path.is_none();
    let mut foreseen = Foreseen::default();
    let mut denied = match layout.mode() {
        Mode::Absent if optional => return Ok(foreseen),
        Mode::Absent => return Err(Error::refused("create cgroup: nothing is mounted on /sys/fs/cgroup")),
        _ => None,
    };
    let mut permitted = |outcome: Result<()>| match outcome {
        Err(error) if optional && error.is_permission() => {
            denied = Some(error);
            Ok(false)
        }
        outcome => outcome.map(|()| true),
    };
    for mounted in &layout.hierarchies {
        let path = mounted.mount.join(target.below(&mounted.own));
        if permitted(look(&path, |dir| v1::fit(mounted, dir)))? {
            foreseen.needs_add = true;
            foreseen.paths.extend(mounted.controllers.iter().map(|name| (name.clone(), path.clone())));
        }
    }
    if let Some(top) = &layout.unified {
        let path = top.mount.join(v2::place(layout, &target)?);
        if permitted(look(&path, |dir| v2::fit(&dir)))? {
            foreseen.reaching = layout.hierarchies.is_empty().then(|| reaching(&path)).flatten();
            foreseen.paths.insert(String::new(), path);
        }
    }
    Ok(foreseen)
}

impl Foreseen {
    /// Whether the container would be left in the cgroup of its creator.
    pub fn is_none(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether `resources` can be set there, as far as that shows.
    ///
    /// # Errors
    /// A limit without a cgroup, or whose controller is not handed down to where the cgroup would be.
    pub fn check(&self, resources: &Resources) -> Result<()> {
        if self.is_none() {
            let nowhere = if self.unwanted { Nowhere::NotWanted } else { Nowhere::NotPermitted };
            return nowhere.set(resources);
        }
        let Some(reaching) = &self.reaching else { return Ok(()) };
        // Single files of any controller are the kernel's to judge.
        let mut limited = resources.limited().filter(|name| *name != "unified");
        let missing = limited.find(|name| {
            let name = if *name == "blkio" { "io" } else { name };
            !reaching.iter().any(|reaching| reaching == name)
        });
        match missing {
            Some(name) => Err(Error::refused(format!("set {name} limit: the controller is not handed down to there"))),
            None => Ok(()),
        }
    }
}

/// What `create` finds at `path`: a cgroup that is fit for a container, or room to make one.
fn look(path: &Path, fit: impl FnOnce(Dir) -> Result<()>) -> Result<()> {
    match Dir::open(path) {
        Ok(dir) => return fit(dir),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(Error::kernel(format!("create cgroup {}", path.display()), errno)),
    }
    let there = path.ancestors().find(|path| path.is_dir()).unwrap_or(path);
    let rights = AccessFlags::W_OK | AccessFlags::X_OK;
    let may = faccessat(AT_FDCWD, there, rights, AtFlags::AT_EACCESS);
    may.map_err(|errno| Error::kernel(format!("create cgroup {}", path.display()), errno))
}

/// The controllers of the lowest cgroup above `path` that is there.
fn reaching(path: &Path) -> Option<Vec<String>> {
    let lists = path.ancestors().skip(1).find_map(|path| std::fs::read_to_string(path.join("cgroup.controllers")).ok());
    Some(lists?.split_whitespace().map(str::to_owned).collect())
}
