//! Where a container's processes are kept, and held to their limits.
//!
//! [`Layout::detect`] finds out which cgroups the host has, [`resources`] checks `linux.resources` against them,
//! [`create`] makes a container's cgroup, and [`open`] finds it again from the [`Location`] in the container's state.
//! All of them are a [`Cgroup`] from then on: one directory in the v2 hierarchy, one in each v1 hierarchy (with or
//! without one in v2 beside them), or none at all; and a scope of systemd around one of the first two.
//!
//! A controller is a pure function from [`Resources`] to a list of writes; the modules below `v1` and `v2` are those.

#![forbid(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use nix::libc::SIGKILL;
use nix::unistd::{Pid, Uid};

mod device;
mod dir;
mod error;
mod foresee;
mod layout;
mod location;
mod nowhere;
mod oom;
mod parents;
mod resources;
mod restore;
mod signal;
pub mod stats;
mod systemd;
mod v1;
mod v2;
mod visit;
mod write;

pub use error::{Error, Invalid, Result};
pub use foresee::{Foreseen, foresee};
pub use layout::{Layout, Mode};
pub use location::{Location, SubCgroup};
pub use oom::Oom;
pub use parents::missing_parents;
pub use resources::{Resources, resources};
pub use stats::Stats;
pub use systemd::Options;
#[cfg(fuzzing)]
pub use v2::devices::check_device_program;
pub use visit::Visit;

use location::Target;
use nowhere::Nowhere;
use systemd::Scope;
use v1::Hierarchies;
use v2::Unified;

/// A container's cgroup, whoever made it and however its files are spelt.
///
/// One that is gone, after a reboot say, has no processes: asking for them, signalling or removing them works, and only
/// what needs it to be there fails with `ENOENT`.
pub trait Cgroup: fmt::Debug + Send {
    /// The cgroup v2 directory to clone into (`CLONE_INTO_CGROUP`); `None` where there is no v2 hierarchy.
    fn dir(&self) -> Option<BorrowedFd<'_>>;

    /// What to save, for [`open`]. Of a cgroup that is made when a process is added, where it will be until then.
    fn location(&self) -> Location;

    /// Whether [`add`](Cgroup::add) must be called after a clone into [`dir`](Cgroup::dir), if any.
    fn needs_add(&self) -> bool;

    /// Moves process `pid` here. With v1 hierarchies beside a v2 one, into the v1 ones only.
    fn add(&self, pid: Pid) -> Result<()>;

    /// Moves process `pid` here in every hierarchy: one that was not cloned into [`dir`](Cgroup::dir).
    fn adopt(&self, pid: Pid) -> Result<()> {
        self.add(pid)
    }

    /// Sets the limits that `resources` has, and leaves the others.
    ///
    /// # Errors
    /// The first one that cannot be set. Those before it stay set.
    fn set(&self, resources: &Resources) -> Result<()>;

    /// Sets the limits that `resources` has, all of them or none.
    ///
    /// # Errors
    /// The first one that cannot be set, once those before it are what they were.
    fn update(&self, resources: &Resources) -> Result<()> {
        self.update_with(resources, &|| Ok(()))
    }

    /// The same, and `agree` has to agree once they are set.
    fn update_with(&self, resources: &Resources, agree: &dyn Fn() -> Result<()>) -> Result<()>;

    /// Stops all processes where they are and waits until that is done, or lets them go on.
    fn freeze(&self, frozen: bool) -> Result<()>;

    /// Whether the processes were stopped by [`freeze`](Cgroup::freeze).
    fn is_frozen(&self) -> Result<bool>;

    /// Sends `signal` to all processes, those too that are forked meanwhile. SIGKILL also ends stopped ones.
    fn kill(&self, signal: i32) -> Result<()>;

    /// All processes, those of nested cgroups included.
    fn pids(&self) -> Result<Vec<Pid>>;

    /// Gives the cgroup to `owner`, who may then move processes below it and hand down controllers, but not lift its
    /// limits (config-linux.md, "Cgroup ownership"). Only on v2, as v1 knows no safe delegation, and only of a cgroup that
    /// goes with the container. A caller without the privilege has made it as a user, who keeps it.
    fn delegate(&self, owner: Uid) -> Result<()>;

    /// What the processes use now, and have used.
    ///
    /// # Errors
    /// When there is no cgroup to ask.
    fn stats(&self) -> Result<Stats>;

    /// Word of processes that are killed for want of memory; `None` where the kernel does not give it.
    fn oom(&self) -> Result<Option<Oom>>;

    /// Removes the cgroup with those below it, as far as it was made for the container, and waits for processes that
    /// are about to be gone.
    ///
    /// # Errors
    /// `EBUSY` when there still are processes after some seconds.
    fn remove(&self) -> Result<()>;
}

/// Who makes the cgroups.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Driver {
    /// This process, in the filesystem.
    #[default]
    Cgroupfs,
    /// systemd, on request: the host's, or for users their own.
    Systemd(Options),
    /// Nobody: there is to be none.
    Nobody,
}

/// A new cgroup, with nothing in it. Dropped, it is removed again with all that came to be in it, unless it was
/// [kept](Created::keep).
#[derive(Debug)]
pub struct Created {
    cgroup: Box<dyn Cgroup>,
}

impl Created {
    /// Makes it permanent.
    pub fn keep(&mut self) -> Box<dyn Cgroup> {
        std::mem::replace(&mut self.cgroup, Box::new(Nowhere::NotPermitted))
    }

    /// Removes it again, as it is when it is dropped.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn undo(&mut self) -> Result<()> {
        let cgroup = self.keep();
        // What could not be killed shows when it is removed.
        let _ = cgroup.kill(SIGKILL);
        cgroup.remove()
    }
}

impl Deref for Created {
    type Target = dyn Cgroup;

    fn deref(&self) -> &Self::Target {
        self.cgroup.as_ref()
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}

/// Makes the cgroup of container `id`: the one `cgroups_path` names (`linux.cgroupsPath`), else one called `id` below
/// the caller's own (v1) or beside it (v2). With `rootless`, and without a path, a caller who is not permitted to make
/// one gets none: the container runs without limits.
///
/// # Errors
/// A cgroup that has processes or is frozen, a path that names none, what the kernel refuses; no systemd to ask.
pub fn create(
    layout: &Layout,
    driver: Driver,
    id: &str,
    cgroups_path: Option<&Path>,
    rootless: bool,
) -> Result<Created> {
    if let Driver::Systemd(options) = driver {
        let scope = Scope::create(layout, id, cgroups_path, options)?;
        return Ok(Created { cgroup: Box::new(scope) });
    }
    if driver == Driver::Nobody {
        return Ok(Created { cgroup: Box::new(Nowhere::NotWanted) });
    }
    let target = Target::parse(cgroups_path, id).map_err(Error::refused)?;
    let optional = rootless && cgroups_path.is_none();
    let created = match layout.mode() {
        Mode::Absent if optional => return Ok(none()),
        Mode::Absent => return Err(Error::refused("create cgroup: nothing is mounted on /sys/fs/cgroup")),
        Mode::V2 => Unified::create(layout, &target).map(|cgroup| Created { cgroup: Box::new(cgroup) }),
        Mode::V1 | Mode::Hybrid => {
            Hierarchies::create(layout, &target, optional).map(|cgroup| Created { cgroup: Box::new(cgroup) })
        }
    };
    match created {
        Err(error) if optional && error.is_permission() => Ok(none()),
        created => created,
    }
}

fn none() -> Created {
    Created { cgroup: Box::new(Nowhere::NotPermitted) }
}

/// The cgroup v2 directory that process `pid` is in now; `None` where there is no v2 hierarchy.
///
/// # Errors
/// When the process is gone or its cgroup cannot be opened.
pub fn current(layout: &Layout, pid: Pid) -> Result<Option<OwnedFd>> {
    let Some(path) = layout.unified_of(pid)? else { return Ok(None) };
    let dir = dir::Dir::open(&path).map_err(|errno| Error::kernel(format!("open cgroup {}", path.display()), errno))?;
    Ok(Some(dir.into()))
}

/// The cgroup that process `pid` is in now, whoever made it.
///
/// # Errors
/// When the process is gone.
pub fn of(pid: Pid) -> Result<Box<dyn Cgroup>> {
    open(&Location::of(pid)?)
}

/// Moves process `pid` to the cgroup `path`, which somebody has made, in each hierarchy that has it.
///
/// # Errors
/// When none has, or the kernel refuses.
pub fn join(path: &Path, pid: Pid) -> Result<()> {
    let layout = Layout::detect()?;
    let path = location::clean(path);
    let mounts = layout.unified().into_iter().chain(layout.hierarchies().map(|(_, mount)| mount));
    let found: Vec<_> = mounts.filter_map(|mount| dir::Dir::open(&mount.join(&path)).ok()).collect();
    if found.is_empty() {
        return Err(Error::refused(format!("find cgroup /{}: there is none", path.display())));
    }
    let add = |dir: &dir::Dir| {
        dir.write("cgroup.procs", &pid.to_string()).map_err(|errno| dir.failed(&format!("add process {pid} to"), errno))
    };
    found.iter().try_for_each(add)
}

/// Finds the cgroup at `location` again. It may be gone.
///
/// # Errors
/// When it is there and cannot be opened.
pub fn open(location: &Location) -> Result<Box<dyn Cgroup>> {
    let cgroup: Box<dyn Cgroup> = match (&location.unified, location.hierarchies.is_empty()) {
        (None, true) => Box::new(Nowhere::NotPermitted),
        (Some(place), true) => Box::new(Unified::open(place.clone())?),
        (_, false) => Box::new(Hierarchies::open(location)?),
    };
    Ok(match &location.unit {
        Some(unit) => Box::new(Scope::open(unit.clone(), cgroup)),
        None => cgroup,
    })
}
