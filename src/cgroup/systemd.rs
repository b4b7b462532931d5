//! The cgroup of a container that systemd makes: a scope, which is a unit for processes that others start.
//!
//! systemd makes and removes the directories and knows the limits; beneath it the files are those of any other cgroup,
//! and what can be done with them is left to [`Unified`] or [`Hierarchies`].

use std::cell::{Cell, OnceCell, RefCell};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, Uid};

use crate::error::{Error, Result};
use crate::layout::{Layout, Mode};
use crate::location::{Location, Target, clean};
use crate::resources::Resources;
use crate::v1::Hierarchies;
use crate::v2::Unified;
use crate::{Cgroup, Oom, Stats};

mod bus;
mod host;
mod options;
mod properties;
mod text;
mod unit;
mod value;
mod wire;

pub use options::Options;
pub(crate) use unit::Unit;

use bus::{Bus, Failure};
use host::{driver, is_for_user, number_in, top_of_system};
use properties::Property;
use unit::Wanted;
use value::Value;

/// The first version that takes a weight of 0 for idle.
const KNOWS_IDLE: u32 = 252;

/// A container's scope and the cgroup that belongs to it.
#[derive(Debug)]
pub(crate) struct Scope {
    unit: Unit,
    /// What to start when the container's process is there. A scope cannot be without one.
    start: Option<Start>,
    started: Cell<bool>,
    inner: OnceCell<Box<dyn Cgroup>>,
    /// The connection, once there is need of one.
    bus: RefCell<Option<Bus>>,
}

#[derive(Debug)]
struct Start {
    layout: Layout,
    wanted: Wanted,
    options: Options,
}

impl Scope {
    /// A scope for the container `id`, which is started when a process is [added](Cgroup::add).
    ///
    /// # Errors
    /// Without systemd, and for a `cgroups_path` that names no scope.
    pub fn create(layout: &Layout, id: &str, cgroups_path: Option<&Path>, options: Options) -> Result<Scope> {
        if !std::fs::symlink_metadata("/run/systemd/system").is_ok_and(|found| found.is_dir()) {
            return Err(Error::refused(
                "systemd not running on this host, cannot use systemd cgroups: leave out --systemd-cgroup, \
                 or set the engine's cgroup driver to cgroupfs",
            ));
        }
        let user = is_for_user();
        if user && layout.mode() != Mode::V2 {
            return Err(Error::refused("systemd cgroups for users other than root need a host with cgroup v2 alone"));
        }
        let wanted = Wanted::parse(cgroups_path, id, user).map_err(Error::refused)?;
        let mut scope = Scope {
            unit: Unit { name: wanted.name.clone(), user, cgroup: PathBuf::new() },
            start: None,
            started: Cell::new(false),
            inner: OnceCell::new(),
            bus: RefCell::new(None),
        };
        let top = if user { scope.top_of_user()? } else { top_of_system() };
        scope.unit.cgroup = top.join(wanted.cgroup().map_err(Error::refused)?);
        scope.start = Some(Start { layout: layout.clone(), wanted, options });
        Ok(scope)
    }

    /// The scope that was recorded, and the cgroup in it, `inner`.
    pub fn open(unit: Unit, inner: Box<dyn Cgroup>) -> Scope {
        let started = Cell::new(true);
        Scope { unit, start: None, started, inner: OnceCell::from(inner), bus: RefCell::new(None) }
    }

    fn inner(&self) -> Option<&dyn Cgroup> {
        self.inner.get().map(AsRef::as_ref)
    }

    fn existing(&self) -> Result<&dyn Cgroup> {
        self.inner().ok_or_else(|| Error::refused(format!("unit {} is not started", self.unit.name)))
    }

    /// Asks the service manager, on the one connection there is.
    fn ask<T>(&self, what: &str, call: impl FnOnce(&mut Bus) -> Result<T, Failure>) -> Result<T> {
        let mut bus = self.bus.borrow_mut();
        let bus = match &mut *bus {
            Some(bus) => bus,
            none => none.insert(self.connect()?),
        };
        call(bus).map_err(|failure| match failure {
            Failure::Kernel(errno) => Error::kernel(format!("{what} by systemd"), errno),
            failure => Error::refused(format!("{what}: {failure}")),
        })
    }

    fn connect(&self) -> Result<Bus> {
        Bus::connect(self.unit.user).map_err(|tried| {
            let whose = if self.unit.user {
                "the user's systemd: log in with a session of its own or set XDG_RUNTIME_DIR and DBUS_SESSION_BUS_ADDRESS"
            } else {
                "systemd"
            };
            Error::refused(format!("connect to {whose} ({tried})"))
        })
    }

    /// The cgroup of the caller's service manager, below which its units are.
    fn top_of_user(&self) -> Result<PathBuf> {
        let top = self.ask("find the cgroup of the user's systemd", |bus| bus.property("ControlGroup"))?;
        Ok(clean(Path::new(top.text().unwrap_or_default())))
    }

    /// Starts the unit with process `pid` in it.
    fn start(&self, start: &Start, pid: Pid) -> Result<()> {
        let name = &self.unit.name;
        let what = format!("start unit {name}");
        let body = || {
            let properties = start.properties(pid).into_iter().map(pair).collect();
            vec![
                Value::str(name),
                Value::str("replace"),
                Value::Array("(sv)".into(), properties),
                Value::Array("(sa(sv))".into(), Vec::new()),
            ]
        };
        let result = self.ask(&what, |bus| match bus.job("StartTransientUnit", body()) {
            // One that has failed keeps its name until somebody has taken note.
            Err(Failure::Refused { name: error, .. }) if error.ends_with(".UnitExists") => {
                bus.ask("ResetFailedUnit", vec![Value::str(name)])?;
                bus.job("StartTransientUnit", body())
            }
            result => result,
        })?;
        if result != "done" {
            self.forget_failure();
            return Err(Error::refused(format!("{what}: its job ended as {result:?}, see systemctl status {name}")));
        }
        self.started.set(true);
        Ok(())
    }

    /// Finds the cgroup that systemd made, and makes what it leaves to others.
    fn enter(&self, start: &Start, pid: Pid) -> Result<Box<dyn Cgroup>> {
        let unit = Target::Absolute(self.unit.cgroup.clone());
        let at = Target::Absolute(self.unit.cgroup.join(&start.options.subgroup));
        if start.layout.mode() != Mode::V2 {
            let cgroup = Hierarchies::adopt(&start.layout, &unit)?;
            cgroup.add_everywhere(pid)?;
            return Ok(Box::new(cgroup));
        }
        let mut cgroup = Unified::adopt(&start.layout, &unit)?;
        if !cgroup.pids()?.contains(&pid) {
            let path = self.unit.cgroup.display();
            return Err(Error::refused(format!("systemd has not put the process into its cgroup, {path}")));
        }
        if at != unit {
            Unified::adopt(&start.layout, &at)?.add(pid)?;
            // Now that the unit's own is empty it can hand controllers down.
            cgroup = Unified::adopt(&start.layout, &at)?;
        }
        Ok(Box::new(cgroup))
    }

    fn properties(&self, resources: &Resources) -> Result<Vec<Property>> {
        let knows_idle = resources.cpu.idle == Some(true) && self.version()? >= KNOWS_IDLE;
        let v2 = self.existing()?.location().is_v2();
        let drivers = std::fs::read_to_string("/proc/devices").unwrap_or_default();
        let driver = |kind, major| driver(&drivers, kind, major);
        properties::all(resources, &properties::Host { v2, knows_idle, driver: &driver }).map_err(Error::refused)
    }

    /// Tells systemd the limits. Until the next boot: the unit is gone then.
    fn tell(&self, properties: &[Property]) -> Result<()> {
        if properties.is_empty() {
            return Ok(());
        }
        let list = Value::Array("(sv)".into(), properties.iter().cloned().map(pair).collect());
        let body = vec![Value::str(&self.unit.name), Value::Bool(true), list];
        self.ask(&format!("set properties of unit {}", self.unit.name), |bus| bus.ask("SetUnitProperties", body))?;
        Ok(())
    }

    fn version(&self) -> Result<u32> {
        let version = self.ask("find the version of systemd", |bus| bus.property("Version"))?;
        Ok(number_in(version.text().unwrap_or_default()))
    }

    /// Moves `pid` to where the container's processes are, which takes more permission than a user has.
    fn attach(&self, pid: Pid) -> Result<()> {
        let inner = self.existing()?.location();
        let below = inner.below_unit(&self.unit.cgroup).unwrap_or_default();
        let below = if below.as_os_str().is_empty() { String::new() } else { format!("/{}", below.display()) };
        let pids = Value::Array("u".into(), vec![Value::U32(pid.as_raw().unsigned_abs())]);
        let body = vec![Value::str(&self.unit.name), Value::Str(below), pids];
        let what = format!("add process {pid} to unit {}", self.unit.name);
        self.ask(&what, |bus| bus.ask("AttachProcessesToUnit", body)).map(drop)
    }

    /// Has systemd forget the unit, should it have failed.
    fn forget_failure(&self) {
        let reset = |bus: &mut Bus| bus.ask("ResetFailedUnit", vec![Value::str(&self.unit.name)]);
        // Usually there is no such unit any more.
        let _ = self.ask("reset", reset);
    }

    /// Stops the unit and waits until it is.
    fn stop(&self) -> Result<()> {
        let name = &self.unit.name;
        let body = vec![Value::str(name), Value::str("replace")];
        self.ask(&format!("stop unit {name}"), |bus| match bus.job("StopUnit", body) {
            // It stops by itself with its last process.
            Err(Failure::Refused { name, .. }) if name.ends_with(".NoSuchUnit") => Ok(()),
            // Whatever came of it shows when the cgroup is removed.
            result => result.map(drop),
        })
    }
}

impl Start {
    fn properties(&self, pid: Pid) -> Vec<Property> {
        let property = |name: &str, value| (name.to_owned(), value);
        let v2 = self.layout.mode() == Mode::V2;
        let mut properties = vec![
            property("Description", Value::Str(format!("coracle container {}", self.wanted.container))),
            property("Slice", Value::str(&self.wanted.slice)),
            property("Delegate", Value::Bool(true)),
            property("PIDs", Value::Array("u".into(), vec![Value::U32(pid.as_raw().unsigned_abs())])),
            property("DefaultDependencies", Value::Bool(false)),
        ];
        let io = if v2 { "IOAccounting" } else { "BlockIOAccounting" };
        let accounting = ["MemoryAccounting", "CPUAccounting", "TasksAccounting", io];
        properties.extend(accounting.map(|name| property(name, Value::Bool(true))));
        properties.extend(self.options.properties.iter().cloned());
        properties
    }
}

impl Cgroup for Scope {
    /// A user's processes come here by way of systemd only: the cgroups above both are not the user's.
    fn dir(&self) -> Option<BorrowedFd<'_>> {
        if self.unit.user { None } else { self.inner()?.dir() }
    }

    fn location(&self) -> Location {
        let at = match (self.inner(), &self.start) {
            (Some(inner), _) => inner.location(),
            (None, Some(start)) => Location::expected(&start.layout, &self.unit.cgroup.join(&start.options.subgroup)),
            (None, None) => Location::default(),
        };
        Location { unit: Some(self.unit.clone()), ..at }
    }

    fn needs_add(&self) -> bool {
        self.unit.user || self.inner().is_none_or(Cgroup::needs_add)
    }

    fn add(&self, pid: Pid) -> Result<()> {
        match (self.inner(), &self.start) {
            (None, Some(start)) => {
                self.start(start, pid)?;
                let inner = self.enter(start, pid)?;
                let _ = self.inner.set(inner);
                Ok(())
            }
            _ if self.unit.user => self.attach(pid),
            _ => self.existing()?.add(pid),
        }
    }

    fn adopt(&self, pid: Pid) -> Result<()> {
        self.add(pid)?;
        if self.unit.user { Ok(()) } else { self.existing()?.adopt(pid) }
    }

    fn set(&self, resources: &Resources) -> Result<()> {
        self.tell(&self.properties(resources)?)?;
        self.existing()?.set(resources)
    }

    /// The files first, as they can be put back; and again at the end, as systemd is not as exact.
    fn update_with(&self, resources: &Resources, agree: &dyn Fn() -> Result<()>) -> Result<()> {
        let inner = self.existing()?;
        let properties = self.properties(resources)?;
        inner.update_with(resources, &|| {
            self.tell(&properties)?;
            inner.set(resources)?;
            agree()
        })
    }

    fn freeze(&self, frozen: bool) -> Result<()> {
        self.existing()?.freeze(frozen)
    }

    fn is_frozen(&self) -> Result<bool> {
        self.inner().map_or(Ok(false), Cgroup::is_frozen)
    }

    fn kill(&self, signal: i32) -> Result<()> {
        self.inner().map_or(Ok(()), |inner| inner.kill(signal))
    }

    fn pids(&self) -> Result<Vec<Pid>> {
        self.inner().map_or(Ok(Vec::new()), Cgroup::pids)
    }

    fn delegate(&self, owner: Uid) -> Result<()> {
        self.existing()?.delegate(owner)
    }

    fn stats(&self) -> Result<Stats> {
        self.existing()?.stats()
    }

    fn oom(&self) -> Result<Option<Oom>> {
        self.existing()?.oom()
    }

    fn remove(&self) -> Result<()> {
        if !self.started.get() {
            return Ok(());
        }
        // A unit whose cgroup is gone has stopped, and one of its name that runs is somebody else's.
        let there = self.inner().is_none_or(|inner| inner.location().is_there());
        // Without a connection the cgroup can still be removed, which systemd takes for the end of the unit.
        if self.bus.borrow().is_some() || self.connect().map(|bus| self.bus.replace(Some(bus))).is_ok() {
            if there {
                self.stop()?;
            }
            self.forget_failure();
        }
        self.inner().map_or(Ok(()), Cgroup::remove)
    }
}

fn pair((name, value): Property) -> Value {
    Value::Struct(vec![Value::Str(name), value.variant()])
}
