//! `linux.resources` made definite: checked against the host once, so that applying it is only writing.

use oci_spec::runtime::LinuxResources;

use crate::device::{self, Rule};
use crate::error::Invalid;
use crate::layout::{Home, Layout, Mode};
use crate::v1;

mod cpu;
mod io;
mod memory;
mod other;

pub(crate) use cpu::Cpu;
#[cfg(test)]
pub(crate) use io::WeightDevice;
pub(crate) use io::{Io, Throttle};
pub(crate) use memory::Memory;
pub(crate) use other::{Rdma, page_size};

/// A limit that is set: to a number, or to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Max,
    To(u64),
}

impl Limit {
    /// A number of `field` where -1 means no limit.
    pub fn parse(field: &str, value: i64) -> Result<Limit, Invalid> {
        match value {
            -1 => Ok(Limit::Max),
            _ => u64::try_from(value)
                .map(Limit::To)
                .map_err(|_| Invalid::new(field, format!("{value} is neither -1 (no limit) nor a positive number"))),
        }
    }

    /// As v2 spells it.
    pub fn max(self) -> String {
        self.spelt("max")
    }

    /// As most files of v1 spell it.
    pub fn minus_one(self) -> String {
        self.spelt("-1")
    }

    fn spelt(self, none: &str) -> String {
        match self {
            Limit::Max => none.to_owned(),
            Limit::To(number) => number.to_string(),
        }
    }
}

/// What a container's processes may use, checked and in the host's terms. Only what was asked for is set; the
/// default value leaves every limit as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    pub(crate) memory: Memory,
    pub(crate) cpu: Cpu,
    pub(crate) cpus: Option<String>,
    pub(crate) mems: Option<String>,
    pub(crate) pids: Option<Limit>,
    pub(crate) io: Io,
    /// The page size as the kernel names it (`2MB`), and bytes.
    pub(crate) hugepages: Vec<(String, Limit)>,
    pub(crate) class_id: Option<u32>,
    pub(crate) priorities: Vec<(String, u32)>,
    pub(crate) rdma: Vec<Rdma>,
    /// File and value, as given.
    pub(crate) unified: Vec<(String, String)>,
    /// In their order; the last one that matches decides. `None` leaves access to devices as it is.
    pub(crate) devices: Option<Vec<Rule>>,
    pub(crate) warnings: Vec<String>,
}

impl Resources {
    /// What was ignored, for the log.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The same limits without a change to the access to devices, as for an update.
    pub fn without_devices(self) -> Resources {
        Resources { devices: None, ..self }
    }

    /// Whether no limit is set. Rules for devices are not counted.
    pub fn is_empty(&self) -> bool {
        self.first_limit().is_none()
    }

    /// Whether there are rules for devices.
    pub fn has_device_rules(&self) -> bool {
        self.devices.is_some()
    }

    /// The controller, in v1's words, of some limit that is set.
    pub(crate) fn first_limit(&self) -> Option<&'static str> {
        self.limited().next()
    }

    /// The controllers, in v1's words, of the limits that are set.
    pub(crate) fn limited(&self) -> impl Iterator<Item = &'static str> {
        [
            ("memory", self.memory != Memory::default()),
            ("cpu", self.cpu != Cpu::default()),
            ("cpuset", self.cpus.is_some() || self.mems.is_some()),
            ("pids", self.pids.is_some()),
            ("blkio", self.io != Io::default()),
            ("hugetlb", !self.hugepages.is_empty()),
            ("net_cls", self.class_id.is_some()),
            ("net_prio", !self.priorities.is_empty()),
            ("rdma", !self.rdma.is_empty()),
            ("unified", !self.unified.is_empty()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
    }
}

/// Checks `linux` against the host and brings it into the terms of its cgroups. Pure.
///
/// The rules for devices are the given ones in their order, from a state where nothing is allowed, followed by those
/// for what every container may use (config-linux.md, "Default Devices"). A number 0 is the same as none for memory,
/// cpu and block io, as in all clients.
///
/// # Errors
/// A value that is malformed, that contradicts another, that the host's version of cgroups has no equivalent of, or
/// whose controller the host lacks.
pub fn resources(linux: &LinuxResources, layout: &Layout) -> Result<Resources, Invalid> {
    let mut to = Resources::default();
    if let Some(memory) = linux.memory() {
        to.memory = memory::parse(memory, layout, &mut to.warnings)?;
    }
    if let Some(cpu) = linux.cpu() {
        to.cpu = cpu::parse(cpu, layout)?;
        to.cpus = other::set("cpu/cpus", cpu.cpus().as_deref(), layout)?;
        to.mems = other::set("cpu/mems", cpu.mems().as_deref(), layout)?;
    }
    if let Some(pids) = linux.pids() {
        to.pids = Some(other::pids(pids.limit(), layout)?);
    }
    if let Some(block) = linux.block_io() {
        to.io = io::parse(block, layout)?;
    }
    to.hugepages = other::hugepages(linux.hugepage_limits().as_deref().unwrap_or_default(), layout)?;
    if let Some(network) = linux.network() {
        (to.class_id, to.priorities) = other::network(network, layout)?;
    }
    if let Some(rdma) = linux.rdma() {
        to.rdma = other::rdma(rdma, layout)?;
    }
    if let Some(unified) = linux.unified() {
        to.unified = other::unified(unified, layout)?;
    }
    to.devices = devices(linux, layout)?;
    Ok(to)
}

fn devices(linux: &LinuxResources, layout: &Layout) -> Result<Option<Vec<Rule>>, Invalid> {
    let given = linux.devices().as_deref().unwrap_or_default();
    let rules = device::rules(given)?;
    match layout.home("devices") {
        Some(Home::V1) => {
            v1::devices::writes(&rules).map_err(|problem| Invalid::new("devices", problem))?;
        }
        Some(Home::V2) => {}
        None if given.is_empty() || layout.mode() == Mode::Absent => return Ok(None),
        None => return Err(unavailable("devices", "devices")),
    }
    Ok(Some(rules))
}

/// Where `controller` is, for the value of `field` that needs it.
fn home(layout: &Layout, controller: &str, field: &str) -> Result<Home, Invalid> {
    // One controller has another name on v2.
    let name = if controller == "blkio" && layout.mode() == Mode::V2 { "io" } else { controller };
    layout.home(controller).ok_or_else(|| unavailable(name, field))
}

fn unavailable(controller: &str, field: &str) -> Invalid {
    Invalid::new(field, format!("controller {controller:?} not available on this host"))
}

/// Zero is the same as nothing.
fn nonzero<T: PartialEq + Default>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

#[cfg(test)]
mod tests;
