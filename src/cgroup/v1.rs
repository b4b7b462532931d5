//! cgroup v1: a directory in each hierarchy, and the one of v2 where that is mounted too.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::unistd::{Pid, Uid};

use crate::dir::{self, Dir, Recorded};
use crate::error::{Error, Result};
use crate::layout::{Layout, Mounted, lacks_privilege};
use crate::location::{self, Location, Place, Target};
use crate::resources::Resources;
use crate::restore::Before;
use crate::v2::{self, PATIENCE, Unified};
use crate::write::{Write, apply};
use crate::{Cgroup, Oom, Stats, signal};

mod blkio;
mod cpu;
mod cpuset;
pub(crate) mod devices;
mod freezer;
mod hugetlb;
mod memory;
mod net;
mod pids;
mod stats;

/// A container's cgroups in the v1 hierarchies, and in the v2 one if there is one beside them.
#[derive(Debug, Default)]
pub(crate) struct Hierarchies {
    all: Vec<Hierarchy>,
    unified: Option<Unified>,
}

/// A container's cgroup in one hierarchy.
#[derive(Debug)]
struct Hierarchy {
    controllers: Vec<String>,
    cgroup: Recorded,
}

impl Hierarchies {
    /// Makes the cgroup that `target` names in every hierarchy. With `tolerant`, hierarchies that the caller may not
    /// change are left out.
    pub fn create(layout: &Layout, target: &Target, tolerant: bool) -> Result<Hierarchies> {
        let mut made = Hierarchies::default();
        match made.fill(layout, target, tolerant) {
            Ok(()) => Ok(made),
            Err(error) => {
                let _ = made.remove();
                Err(error)
            }
        }
    }

    /// The cgroups that `target` names, which are to be removed with the container although some have been there before.
    pub fn adopt(layout: &Layout, target: &Target) -> Result<Hierarchies> {
        let all = layout.hierarchies.iter().map(|mounted| Hierarchy::create(mounted, target));
        let mut adopted = Hierarchies { all: all.collect::<Result<_>>()?, unified: None };
        for hierarchy in &mut adopted.all {
            hierarchy.cgroup.place.made = hierarchy.cgroup.place.made.max(1);
        }
        if layout.unified.is_some() {
            adopted.unified = Some(Unified::adopt(layout, target)?);
        }
        Ok(adopted)
    }

    /// Moves process `pid` here, in the v2 hierarchy too.
    pub fn add_everywhere(&self, pid: Pid) -> Result<()> {
        self.unified.as_ref().map_or(Ok(()), |unified| unified.add(pid))?;
        self.add(pid)
    }

    fn fill(&mut self, layout: &Layout, target: &Target, tolerant: bool) -> Result<()> {
        let mut denied = None;
        let mut pass = |error: Error| {
            if !tolerant || !error.is_permission() {
                return Err(error);
            }
            denied = Some(error);
            Ok(())
        };
        for mounted in &layout.hierarchies {
            match Hierarchy::create(mounted, target) {
                Ok(hierarchy) => {
                    let fit = hierarchy.fit();
                    self.all.push(hierarchy);
                    fit?;
                }
                Err(error) => pass(error)?,
            }
        }
        if layout.unified.is_some() {
            match Unified::create(layout, target) {
                Ok(unified) => self.unified = Some(unified),
                Err(error) => pass(error)?,
            }
        }
        match denied {
            Some(error) if self.all.is_empty() && self.unified.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// The cgroups that were recorded, each of which may be gone.
    pub fn open(location: &Location) -> Result<Hierarchies> {
        let all = location.hierarchies.iter().cloned();
        let all = all.map(|h| Hierarchy { controllers: h.controllers, cgroup: Recorded::new(h.place) }).collect();
        Ok(Hierarchies { all, unified: location.unified.clone().map(Unified::open).transpose()? })
    }

    /// Lets no process begin, where the freezer cannot hold them still: the cgroup's directory and the limit until now.
    fn forbid_forks(&self) -> Result<Option<(&Dir, String)>> {
        let Some(dir) = self.with("pids").map(|h| h.cgroup.dir()).transpose()?.flatten() else { return Ok(None) };
        let limit = dir.read("pids.max").map_err(|e| dir.failed("read the limit of", e))?;
        dir.write("pids.max", "0").map_err(|e| dir.failed("forbid forks in", e))?;
        Ok(Some((dir, limit.trim_end().to_owned())))
    }

    fn with(&self, controller: &str) -> Option<&Hierarchy> {
        self.all.iter().find(|hierarchy| hierarchy.has(controller))
    }

    /// Whether some hierarchy has the controller that v2 or v1 calls `name`.
    fn holds(&self, name: &str) -> bool {
        self.with(if name == "io" { "blkio" } else { name }).is_some()
    }

    /// The hierarchy to list processes by: one whose cgroup exists, best the one that can freeze them.
    fn listing(&self) -> Result<Option<&Dir>> {
        let freezer = self.with("freezer").into_iter().chain(&self.all);
        for hierarchy in freezer {
            if let Some(dir) = hierarchy.cgroup.dir()? {
                return Ok(Some(dir));
            }
        }
        Ok(None)
    }
}

impl Cgroup for Hierarchies {
    fn dir(&self) -> Option<BorrowedFd<'_>> {
        self.unified.as_ref()?.dir()
    }

    fn location(&self) -> Location {
        let recorded =
            |h: &Hierarchy| location::Hierarchy { controllers: h.controllers.clone(), place: h.cgroup.place.clone() };
        Location {
            unified: self.unified.as_ref().and_then(|unified| unified.location().unified),
            hierarchies: self.all.iter().map(recorded).collect(),
            unit: None,
        }
    }

    fn needs_add(&self) -> bool {
        !self.all.is_empty()
    }

    fn add(&self, pid: Pid) -> Result<()> {
        self.all.iter().try_for_each(|hierarchy| {
            let dir = hierarchy.cgroup.existing()?;
            dir.write("cgroup.procs", &pid.to_string()).map_err(|e| dir.failed(&format!("add process {pid} to"), e))
        })
    }

    fn adopt(&self, pid: Pid) -> Result<()> {
        self.add(pid)?;
        self.unified.as_ref().map_or(Ok(()), |unified| unified.add(pid))
    }

    fn set(&self, resources: &Resources) -> Result<()> {
        let missing = |name: &&str| !self.holds(name) && (self.unified.is_none() || name.starts_with("net_"));
        if let Some(name) = resources.limited().find(missing) {
            let text = format!("set {name} limit: not permitted to create a cgroup in the {name} hierarchy");
            return Err(Error::refused(text));
        }
        self.all.iter().try_for_each(|hierarchy| hierarchy.set(resources))?;
        self.unified.as_ref().map_or(Ok(()), |unified| unified.set_here(resources, |name| self.holds(name)))
    }

    fn update_with(&self, resources: &Resources, agree: &dyn Fn() -> Result<()>) -> Result<()> {
        let mut before = Before::default();
        self.all.iter().try_for_each(|hierarchy| hierarchy.remember(resources, &mut before))?;
        if let Some(unified) = &self.unified {
            unified.remember(resources, |name| self.holds(name), &mut before);
        }
        before.unless(self.set(resources).and_then(|()| agree()))
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        match (self.with("freezer"), &self.unified) {
            (Some(hierarchy), _) => freezer::set(hierarchy.cgroup.existing()?, frozen),
            (None, Some(unified)) => unified.freeze(frozen),
            (None, None) => Err(Error::refused("freeze the container: controller \"freezer\" not available")),
        }
    }

    fn is_frozen(&self) -> Result<bool> {
        match (self.with("freezer"), &self.unified) {
            (Some(hierarchy), _) => hierarchy.cgroup.dir()?.map_or(Ok(false), freezer::is_frozen),
            (None, Some(unified)) => unified.is_frozen(),
            (None, None) => Ok(false),
        }
    }

    fn kill(&self, signal: i32) -> Result<()> {
        // Processes that were put into the v1 hierarchies only are found below.
        if let Some(unified) = self.unified.as_ref().filter(|_| signal == SIGKILL) {
            unified.kill(SIGKILL)?;
        }
        let paused = self.is_frozen()?;
        if self.pids()?.is_empty() {
            return if paused && signal == SIGKILL { self.freeze(false) } else { Ok(()) };
        }
        let frozen = paused || self.freeze(true).is_ok();
        let forks = if frozen || signal != SIGKILL { None } else { self.forbid_forks()? };
        let sent = signal::all(&|| self.pids(), signal, frozen);
        if let Some((dir, limit)) = forks {
            dir.write("pids.max", &limit).map_err(|e| dir.failed("allow forks in", e))?;
        }
        // The killed die when they run again.
        if frozen && (!paused || signal == SIGKILL) {
            self.freeze(false)?;
        }
        sent
    }

    fn pids(&self) -> Result<Vec<Pid>> {
        match (self.listing()?, &self.unified) {
            (Some(dir), _) => dir.pids(),
            (None, Some(unified)) => unified.pids(),
            (None, None) => Ok(Vec::new()),
        }
    }

    fn delegate(&self, _: Uid) -> Result<()> {
        Ok(())
    }

    fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        for hierarchy in &self.all {
            let files = crate::stats::files(hierarchy.cgroup.existing()?);
            hierarchy.controllers.iter().try_for_each(|controller| stats::read(&mut stats, controller, &files))?;
        }
        if let Some(unified) = self.unified.as_ref().filter(|_| self.with("hugetlb").is_none()) {
            unified.add_hugetlb(&mut stats)?;
        }
        if self.with("pids").is_none() {
            stats.pids.current = self.pids()?.len() as u64;
        }
        Ok(stats)
    }

    fn oom(&self) -> Result<Option<Oom>> {
        match (self.with("memory"), &self.unified) {
            (Some(hierarchy), _) => Oom::v1(hierarchy.cgroup.existing()?).map(Some),
            (None, Some(unified)) => unified.oom(),
            (None, None) => Ok(None),
        }
    }

    fn remove(&self) -> Result<()> {
        // Waits for the last process by event, so that the others need not.
        let unified = self.unified.as_ref().map_or(Ok(()), Cgroup::remove);
        let rest = self.all.iter().map(Hierarchy::remove).fold(Ok(()), Result::and);
        unified.and(rest)
    }
}

/// Whether the cgroup `dir` in the hierarchy `mounted`, which is there already, is fit for a container.
pub(crate) fn fit(mounted: &Mounted, dir: Dir) -> Result<()> {
    let place = Place { path: dir.path().to_owned(), inode: 0, made: 0 };
    Hierarchy { controllers: mounted.controllers.clone(), cgroup: Recorded::opened(place, dir) }.fit()
}

impl Hierarchy {
    fn create(mounted: &Mounted, target: &Target) -> Result<Hierarchy> {
        let cpuset = mounted.controllers.iter().any(|c| c == "cpuset");
        let (dir, place) = Dir::make(&mounted.mount, &target.below(&mounted.own), |parent, child| {
            if cpuset { cpuset::inherit(parent, child) } else { Ok(()) }
        })?;
        Ok(Hierarchy { controllers: mounted.controllers.clone(), cgroup: Recorded::opened(place, dir) })
    }

    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|c| c == controller)
    }

    /// Refuses a cgroup that a container cannot be started in: somebody else's, or one that would stop it at once.
    fn fit(&self) -> Result<()> {
        let dir = self.cgroup.existing()?;
        if self.cgroup.place.made == 0 {
            let n = dir.pids()?.len();
            if n > 0 {
                return Err(Error::refused(format!("container's cgroup is not empty: {n} process(es) found")));
            }
        }
        if self.has("freezer") && freezer::is_frozen(dir)? {
            return Err(Error::refused("container's cgroup unexpectedly frozen"));
        }
        Ok(())
    }

    /// Remembers the limits that [`set`](Hierarchy::set) is going to change.
    fn remember<'a>(&'a self, resources: &Resources, before: &mut Before<'a>) -> Result<()> {
        for controller in self.controllers.iter().filter(|controller| *controller != "devices") {
            let writes = writes(controller, resources)?;
            if !writes.is_empty() {
                before.remember(self.cgroup.existing()?, &writes);
            }
        }
        Ok(())
    }

    fn set(&self, resources: &Resources) -> Result<()> {
        for controller in &self.controllers {
            let writes = writes(controller, resources)?;
            if writes.is_empty() {
                continue;
            }
            let dir = self.cgroup.existing()?;
            if controller == "memory" && resources.memory.check {
                v2::check_usage(dir, "memory.usage_in_bytes", resources.memory.limit)?;
            }
            match apply(dir, &writes).map_err(|refused| memory::explain(dir, refused)) {
                // Without the privilege there are no device nodes to be made either: the kernel denies mknod.
                Err(error) if controller == "devices" && error.is_permission() && lacks_privilege() => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// Waits for the processes that are about to be gone. The kernel lets go of a process a moment after its end is known,
    /// and has no event for that: tries again after 1, 2, 4, … 512 ms.
    fn remove(&self) -> Result<()> {
        let place: &Place = &self.cgroup.place;
        let failed = |errno| Error::kernel(format!("remove cgroup {}", place.path.display()), errno);
        let Some(dir) = self.cgroup.dir()?.filter(|_| place.made > 0) else { return Ok(()) };
        let mut waits = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512].into_iter().map(Duration::from_millis);
        let end = Instant::now() + PATIENCE;
        while !dir::remove(&place.path).map_err(failed)? {
            signal::wait(&dir.pids()?, end.saturating_duration_since(Instant::now()));
            dir.remove_below().map_err(failed)?;
            if dir::remove(&place.path).map_err(failed)? {
                break;
            }
            std::thread::sleep(waits.next().ok_or_else(|| failed(Errno::EBUSY))?);
        }
        if let Some(parent) = place.path.parent() {
            dir::remove_made(parent, place.made - 1);
        }
        Ok(())
    }
}

/// What `controller` is to be told.
pub(crate) fn writes(controller: &str, r: &Resources) -> Result<Vec<Write>> {
    Ok(match controller {
        "blkio" => blkio::writes(r),
        "cpu" => cpu::writes(r),
        "cpuset" => cpuset::writes(r),
        "devices" => match &r.devices {
            Some(rules) => {
                devices::writes(rules).map_err(|problem| Error::refused(format!("set devices: {problem}")))?
            }
            None => Vec::new(),
        },
        "hugetlb" => hugetlb::writes(r),
        "memory" => memory::writes(r),
        "net_cls" => net::class_id(r),
        "net_prio" => net::priorities(r),
        "pids" => pids::writes(r),
        "rdma" => v2::rdma::writes(r),
        _ => Vec::new(),
    })
}
