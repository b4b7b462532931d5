//! cgroup v2: one directory, into which the container's first process is cloned (cgroup-v2.rst).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::libc::SIGKILL;
use nix::unistd::{Pid, Uid, fchown, fchownat};

use crate::dir::{self, Dir, Recorded};
use crate::error::{Error, Result};
use crate::layout::{Layout, lacks_privilege};
use crate::location::{Location, Place, Target};
use crate::resources::{Limit, Resources};
use crate::restore::Before;
use crate::write::{Refused, Write, apply};
use crate::{Cgroup, Oom, Stats, signal};

pub(crate) mod cpu;
pub(crate) mod cpuset;
pub(crate) mod devices;
mod hugetlb;
mod io;
pub(crate) mod memory;
pub(crate) mod pids;
pub(crate) mod rdma;
mod stats;
mod unified;

/// How long processes may take to freeze, or to be gone after they were killed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

type Writes = fn(&Resources) -> Vec<Write>;

/// The controllers by their names, in the order their limits are applied.
const CONTROLLERS: [(&str, Writes); 7] = [
    ("cpuset", cpuset::writes),
    ("cpu", cpu::writes),
    ("io", io::writes),
    ("memory", memory::writes),
    ("pids", pids::writes),
    ("hugetlb", hugetlb::writes),
    ("rdma", rdma::writes),
];

/// A container's cgroup in the v2 hierarchy.
#[derive(Debug)]
pub(crate) struct Unified(Recorded);

impl Unified {
    /// Makes the cgroup that `target` names, with every controller that the cgroups above it can hand down.
    ///
    /// # Errors
    /// Also for one that a container cannot be started in.
    pub fn create(layout: &Layout, target: &Target) -> Result<Unified> {
        let cgroup = Unified::make(layout, target)?;
        match cgroup.0.existing().and_then(fit) {
            Ok(()) => Ok(cgroup),
            Err(error) => {
                let _ = cgroup.remove();
                Err(error)
            }
        }
    }

    /// The cgroup that `target` names, which is to be removed with the container although it has been there before.
    pub fn adopt(layout: &Layout, target: &Target) -> Result<Unified> {
        let mut cgroup = Unified::make(layout, target)?;
        cgroup.0.place.made = cgroup.0.place.made.max(1);
        Ok(cgroup)
    }

    fn make(layout: &Layout, target: &Target) -> Result<Unified> {
        let Some(top) = &layout.unified else {
            return Err(Error::refused("create cgroup: no cgroup v2 hierarchy is mounted"));
        };
        let v1 = !layout.hierarchies.is_empty();
        let mut available = if v1 { Vec::new() } else { top.controllers.clone() };
        let (dir, place) = Dir::make(&top.mount, &place(layout, target)?, |parent, child| {
            hand_down(parent, &mut available);
            become_threaded(parent, child)
        })?;
        Ok(Unified(Recorded::opened(place, dir)))
    }

    /// The cgroup that was recorded, which may be gone.
    pub fn open(place: Place) -> Result<Unified> {
        let cgroup = Unified(Recorded::new(place));
        cgroup.0.dir()?;
        Ok(cgroup)
    }

    /// Applies the limits of those controllers that are not `elsewhere`.
    pub fn set_here(&self, resources: &Resources, elsewhere: impl Fn(&str) -> bool) -> Result<()> {
        let writes = writes(resources, &elsewhere);
        let rules = resources.devices.as_ref().filter(|_| !elsewhere("devices"));
        if writes.is_empty() && rules.is_none() {
            return Ok(());
        }
        let dir = self.0.existing()?;
        if resources.memory.check && !elsewhere("memory") {
            check_usage(dir, "memory.current", resources.memory.limit)?;
        }
        if let Err(refused) = apply(dir, &writes) {
            enable(dir, refused)?;
            apply(dir, &writes).map_err(Error::from)?;
        }
        rules.map_or(Ok(()), |rules| devices::apply(dir, rules))
    }
}

impl Unified {
    /// Remembers the limits that [`set_here`](Unified::set_here) is going to change.
    pub fn remember<'a>(&'a self, resources: &Resources, elsewhere: impl Fn(&str) -> bool, before: &mut Before<'a>) {
        if let Ok(Some(dir)) = self.0.dir() {
            before.remember(dir, &writes(resources, &elsewhere));
        }
    }

    /// Adds what this hierarchy knows of huge pages, where the others do not.
    pub fn add_hugetlb(&self, stats: &mut Stats) -> Result<()> {
        stats::hugetlb(stats, &crate::stats::files(self.0.existing()?))
    }
}

impl Cgroup for Unified {
    fn dir(&self) -> Option<BorrowedFd<'_>> {
        self.0.dir().ok().flatten().map(Dir::as_fd)
    }

    fn location(&self) -> Location {
        Location { unified: Some(self.0.place.clone()), ..Location::default() }
    }

    fn needs_add(&self) -> bool {
        false
    }

    fn add(&self, pid: Pid) -> Result<()> {
        let dir = self.0.existing()?;
        dir.write("cgroup.procs", &pid.to_string()).map_err(|e| dir.failed(&format!("add process {pid} to"), e))
    }

    fn set(&self, resources: &Resources) -> Result<()> {
        self.set_here(resources, |_| false)
    }

    fn update_with(&self, resources: &Resources, agree: &dyn Fn() -> Result<()>) -> Result<()> {
        let mut before = Before::default();
        self.remember(resources, |_| false, &mut before);
        before.unless(self.set(resources).and_then(|()| agree()))
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        let dir = self.0.existing()?;
        let what = if frozen { "freeze" } else { "thaw" };
        let write = |value| dir.write("cgroup.freeze", value).map_err(|e| dir.failed(what, e));
        if !frozen {
            return write("0");
        }
        write("1")?;
        match dir.wait_event("frozen", true, PATIENCE) {
            Ok(true) => Ok(()),
            waited => {
                write("0")?;
                Err(dir.failed(what, waited.err().unwrap_or(Errno::ETIMEDOUT)))
            }
        }
    }

    fn is_frozen(&self) -> Result<bool> {
        let Some(dir) = self.0.dir()? else { return Ok(false) };
        match dir.read("cgroup.freeze") {
            Ok(text) => Ok(text.trim_end() == "1"),
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
            Err(errno) => Err(dir.failed("read the state of", errno)),
        }
    }

    fn kill(&self, signal: i32) -> Result<()> {
        let Some(dir) = self.0.dir()? else { return Ok(()) };
        if signal == SIGKILL {
            // The kernel does it at once, frozen or forking, but not in a threaded cgroup.
            match dir.write("cgroup.kill", "1") {
                Ok(()) | Err(Errno::ENODEV) => return Ok(()),
                Err(_) if self.pids()?.is_empty() => return Ok(()),
                Err(_) => {}
            }
        }
        let paused = self.is_frozen()?;
        let frozen = paused || self.freeze(true).is_ok();
        let sent = signal::all(&|| self.pids(), signal, frozen);
        if frozen && (!paused || signal == SIGKILL) {
            self.freeze(false)?;
        }
        sent
    }

    fn pids(&self) -> Result<Vec<Pid>> {
        self.0.dir()?.map_or(Ok(Vec::new()), Dir::pids)
    }

    fn delegate(&self, owner: Uid) -> Result<()> {
        let dir = self.0.existing()?;
        if self.0.place.made == 0 {
            return Ok(());
        }
        let files = match std::fs::read_to_string("/sys/kernel/cgroup/delegate") {
            Ok(text) => text,
            Err(_) => "cgroup.procs\ncgroup.subtree_control\ncgroup.threads".to_owned(),
        };
        let owner = Some(owner);
        match fchown(dir, owner, None) {
            Err(Errno::EPERM) if lacks_privilege() => return Ok(()),
            changed => changed.map_err(|e| dir.failed("change the owner of", e))?,
        }
        for file in files.lines() {
            match fchownat(dir, file, owner, None, AtFlags::AT_SYMLINK_NOFOLLOW) {
                // Of a controller that the cgroup does not have.
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(dir.failed(&format!("change the owner of {file} in"), errno)),
            }
        }
        Ok(())
    }

    fn stats(&self) -> Result<Stats> {
        let dir = self.0.existing()?;
        let mut stats = stats::read(&crate::stats::files(dir))?;
        if matches!(dir.read("pids.current"), Err(Errno::ENOENT)) {
            stats.pids.current = dir.pids()?.len() as u64;
        }
        Ok(stats)
    }

    fn oom(&self) -> Result<Option<Oom>> {
        Oom::v2(self.0.existing()?)
    }

    fn remove(&self) -> Result<()> {
        let place = &self.0.place;
        let failed = |errno| Error::kernel(format!("remove cgroup {}", place.path.display()), errno);
        let Some(dir) = self.0.dir()?.filter(|_| place.made > 0) else { return Ok(()) };
        // Nothing to wait for in the common case.
        let mut gone = dir::remove(&place.path).map_err(failed)?;
        for wait in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map(Duration::from_millis) {
            if gone {
                break;
            }
            match dir.wait_event("populated", false, PATIENCE) {
                Ok(true) | Err(Errno::ENOENT | Errno::ENODEV) => {}
                Ok(false) => return Err(failed(Errno::EBUSY)),
                Err(errno) => return Err(failed(errno)),
            }
            dir.remove_below().map_err(failed)?;
            gone = dir::remove(&place.path).map_err(failed)?;
            // What has ended may be counted a moment longer than the event tells.
            if !gone {
                std::thread::sleep(wait);
            }
        }
        if !gone {
            return Err(failed(Errno::EBUSY));
        }
        if let Some(parent) = place.path.parent() {
            dir::remove_made(parent, place.made - 1);
        }
        Ok(())
    }
}

/// What the controllers that are not `elsewhere` are to be told, and then what the user says in the kernel's own words.
pub(crate) fn writes(resources: &Resources, elsewhere: impl Fn(&str) -> bool) -> Vec<Write> {
    let here = CONTROLLERS.iter().filter(|(name, _)| !elsewhere(name));
    here.flat_map(|(_, writes)| writes(resources)).chain(unified::writes(resources)).collect()
}

/// Where the cgroup that `target` names is, below the mount point.
pub(crate) fn place(layout: &Layout, target: &Target) -> Result<PathBuf> {
    let own = match target {
        Target::Absolute(_) => PathBuf::default(),
        Target::Relative(_) => layout.own_unified()?,
    };
    // A cgroup with processes has no controllers to hand down, so the container's goes beside its creator's.
    Ok(target.below(own.parent().unwrap_or(Path::new(""))))
}

/// Refuses a cgroup that a container cannot be started in: somebody else's, or one that would stop it at once.
pub(crate) fn fit(dir: &Dir) -> Result<()> {
    let events = dir.read("cgroup.events").map_err(|e| dir.failed("read the state of", e))?;
    if events.contains("populated 1") {
        let n = dir.pids()?.len();
        return Err(Error::refused(format!("container's cgroup is not empty: {n} process(es) found")));
    }
    if events.contains("frozen 1") {
        return Err(Error::refused("container's cgroup unexpectedly frozen"));
    }
    Ok(())
}

/// Refuses a memory limit below what is in use, which the kernel would enforce by killing.
pub(crate) fn check_usage(dir: &Dir, file: &str, limit: Option<Limit>) -> Result<()> {
    let usage = match dir.read(file) {
        Ok(text) => text.trim_end().parse().unwrap_or(0),
        Err(Errno::ENOENT) => 0,
        Err(errno) => return Err(Error::kernel(format!("read {file}"), errno)),
    };
    match limit {
        Some(Limit::To(limit)) if limit <= usage && usage > 0 => {
            Err(Error::refused(format!("rejecting memory limit {limit} <= usage {usage}")))
        }
        _ => Ok(()),
    }
}

/// Enables in `parent` what `available` says it has, and leaves there what the cgroups below it have then. What cannot
/// be enabled matters only to a container that asks for it, and is explained to that one by [`enable`].
fn hand_down(parent: &Dir, available: &mut Vec<String>) {
    if available.is_empty() {
        return;
    }
    let enabled = parent.read("cgroup.subtree_control").unwrap_or_default();
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let missing: Vec<String> =
        available.iter().filter(|c| !enabled.contains(&c.as_str())).map(|c| format!("+{c}")).collect();
    if missing.is_empty() {
        return;
    }
    match parent.write("cgroup.subtree_control", &missing.join(" ")) {
        Ok(()) => return,
        // It has processes. Those controllers that could be had nevertheless would make it a threaded one.
        Err(Errno::EBUSY) => return available.retain(|controller| enabled.contains(&controller.as_str())),
        Err(_) => {}
    }
    available.retain(|controller| {
        enabled.contains(&controller.as_str())
            || parent.write("cgroup.subtree_control", &format!("+{controller}")).is_ok()
    });
}

/// Makes `child` threaded if it cannot be anything else: below a cgroup that is threaded, or has both processes and
/// controllers to hand down (cgroup-v2.rst, "Threads").
fn become_threaded(parent: &Dir, child: &Dir) -> Result<()> {
    // At the top nothing has a type, and what is right below it is never invalid.
    if !matches!(parent.read("cgroup.type"), Ok(text) if text.trim_end() != "domain") {
        return Ok(());
    }
    match child.read("cgroup.type") {
        Ok(text) if text.trim_end() == "domain invalid" => {
            child.write("cgroup.type", "threaded").map_err(|e| child.failed("make threaded", e))
        }
        _ => Ok(()),
    }
}

/// Enables the controller that `refused` lacks its file for, from the top of the hierarchy down to `dir`.
///
/// # Errors
/// Another reason for the refusal, or why the controller cannot be enabled.
fn enable(dir: &Dir, refused: Refused<'_>) -> Result<()> {
    let controller = refused.write.file.split('.').next().unwrap_or_default();
    let has = |dir: &Dir| {
        let controllers = dir.read("cgroup.controllers").unwrap_or_default();
        controllers.split_whitespace().any(|c| c == controller)
    };
    if !matches!(refused.errno, Errno::ENOENT | Errno::EACCES | Errno::EPERM) || controller == "cgroup" || has(dir) {
        return Err(refused.into());
    }
    let mut above: Vec<Dir> = dir
        .path()
        .ancestors()
        .skip(1)
        .map_while(|path| Dir::open(path).ok().filter(|dir| dir.read("cgroup.controllers").is_ok()))
        .collect();
    above.reverse();
    if !above.first().is_some_and(has) {
        return Err(Error::refused(format!("{}: controller {controller:?} not available", refused.write)));
    }
    for parent in &above {
        let control = parent.path().join("cgroup.subtree_control");
        parent.write("cgroup.subtree_control", &format!("+{controller}")).map_err(|errno| {
            let text = format!("{}: enable controller {controller:?} in {}", refused.write, control.display());
            Error::kernel(text, errno)
        })?;
    }
    Ok(())
}
