//! `memory`: how much, of what, and what happens then.

use oci_spec::runtime::LinuxMemory;

use super::{Limit, home, nonzero};
use crate::error::Invalid;
use crate::layout::{Home, Layout};

/// Limits on memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub limit: Option<Limit>,
    pub reservation: Option<Limit>,
    /// Memory and swap together; not below `limit`, and not a number without one on v2.
    pub swap: Option<Limit>,
    /// The swap limit follows from the other one, and may be missing on hosts that do not account for swap.
    pub swap_implied: bool,
    /// 0 to 100; v1 only.
    pub swappiness: Option<u64>,
    /// v1 only.
    pub disable_oom_killer: Option<bool>,
    /// Refuse a limit that is below what is in use.
    pub check: bool,
}

pub(super) fn parse(from: &LinuxMemory, layout: &Layout, warnings: &mut Vec<String>) -> Result<Memory, Invalid> {
    let number = |field, value| nonzero(value).map(|value| Limit::parse(field, value)).transpose();
    let mut to = Memory {
        limit: number("memory/limit", from.limit())?,
        reservation: number("memory/reservation", from.reservation())?,
        swap: number("memory/swap", from.swap())?,
        ..Memory::default()
    };
    ignored(from, warnings);
    v1_only(&mut to, from, layout)?;
    let given = [("limit", to.limit), ("reservation", to.reservation), ("swap", to.swap)];
    for (name, _) in given.iter().filter(|(_, value)| value.is_some()) {
        home(layout, "memory", &format!("memory/{name}"))?;
    }
    swap(&to, layout)?;
    if to.limit == Some(Limit::Max) && to.swap.is_none() {
        (to.swap, to.swap_implied) = (Some(Limit::Max), true);
    }
    to.check = to.limit.is_some() && from.check_before_update() == Some(true);
    Ok(to)
}

fn swap(memory: &Memory, layout: &Layout) -> Result<(), Invalid> {
    let Some(Limit::To(swap)) = memory.swap else { return Ok(()) };
    match memory.limit {
        Some(Limit::To(limit)) if swap < limit => Err(Invalid::new(
            "memory/swap",
            format!("memory and swap together ({swap}) are less than memory alone ({limit})"),
        )),
        // v2 counts swap alone.
        None | Some(Limit::Max) if layout.home("memory") == Some(Home::V2) => {
            Err(Invalid::new("memory/swap", "needs a memory limit too, since it counts both together"))
        }
        _ => Ok(()),
    }
}

fn v1_only(to: &mut Memory, from: &LinuxMemory, layout: &Layout) -> Result<(), Invalid> {
    if let Some(swappiness) = from.swappiness() {
        needs_v1(layout, "memory/swappiness")?;
        if swappiness > 100 {
            return Err(Invalid::new("memory/swappiness", format!("{swappiness} is not in the range 0 to 100")));
        }
        to.swappiness = Some(swappiness);
    }
    // False is what holds without it, so clients send it to any host.
    if from.disable_oom_killer() == Some(true) {
        needs_v1(layout, "memory/disableOOMKiller")?;
        to.disable_oom_killer = Some(true);
    } else if layout.home("memory") == Some(Home::V1) {
        to.disable_oom_killer = from.disable_oom_killer();
    }
    Ok(())
}

fn needs_v1(layout: &Layout, field: &str) -> Result<(), Invalid> {
    match home(layout, "memory", field)? {
        Home::V1 => Ok(()),
        Home::V2 => Err(Invalid::new(field, "cgroup v2 has no such setting")),
    }
}

/// Settings that current kernels no longer have (config-linux.md marks them as not recommended).
fn ignored(from: &LinuxMemory, warnings: &mut Vec<String>) {
    if nonzero(from.kernel()).or(nonzero(from.kernel_tcp())).is_some() {
        warnings.push("kernel memory limits are ignored: Linux no longer has them".into());
    }
    if from.use_hierarchy() == Some(false) {
        warnings.push("memory.useHierarchy false is ignored: Linux always accounts hierarchically".into());
    }
}
