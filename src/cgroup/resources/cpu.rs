//! `cpu`: shares of the processors' time, and bounds on it.

use oci_spec::runtime::LinuxCpu;

use super::{home, nonzero};
use crate::error::Invalid;
use crate::layout::{Home, Layout};

/// Limits on processor time; times are microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// In v1's scale, 2 to 262144, where 1024 is the default.
    pub shares: Option<u64>,
    /// Negative: no limit.
    pub quota: Option<i64>,
    pub period: Option<u64>,
    pub burst: Option<u64>,
    /// v1 only.
    pub realtime_runtime: Option<i64>,
    /// v1 only.
    pub realtime_period: Option<u64>,
    pub idle: Option<bool>,
}

pub(super) fn parse(from: &LinuxCpu, layout: &Layout) -> Result<Cpu, Invalid> {
    let mut to = Cpu {
        shares: nonzero(from.shares()),
        quota: nonzero(from.quota()),
        period: nonzero(from.period()),
        burst: from.burst(),
        realtime_runtime: nonzero(from.realtime_runtime()),
        realtime_period: nonzero(from.realtime_period()),
        idle: None,
    };
    let used = [
        ("cpu/shares", to.shares.is_some()),
        ("cpu/quota", to.quota.is_some()),
        ("cpu/period", to.period.is_some()),
        ("cpu/burst", to.burst.is_some()),
        ("cpu/realtimeRuntime", to.realtime_runtime.is_some()),
        ("cpu/realtimePeriod", to.realtime_period.is_some()),
        ("cpu/idle", from.idle().is_some()),
    ];
    for (field, _) in used.iter().filter(|(_, used)| *used) {
        let home = home(layout, "cpu", field)?;
        if home == Home::V2 && field.starts_with("cpu/realtime") {
            return Err(Invalid::new(field, "cgroup v2 has no such setting"));
        }
    }
    to.idle = match from.idle() {
        None => None,
        Some(idle @ 0..=1) => Some(idle == 1),
        Some(idle) => return Err(Invalid::new("cpu/idle", format!("{idle} is neither 0 nor 1"))),
    };
    match (to.quota, to.burst) {
        (Some(quota @ 1..), Some(burst)) if burst > quota.unsigned_abs() => {
            return Err(Invalid::new("cpu/burst", format!("{burst} is more than the quota, {quota}")));
        }
        _ => {}
    }
    shares(to.shares, layout)?;
    Ok(to)
}

/// The kernel moves shares out of range to its ends without a word.
fn shares(shares: Option<u64>, layout: &Layout) -> Result<(), Invalid> {
    match shares {
        Some(shares) if layout.home("cpu") == Some(Home::V1) => match shares {
            0..2 => Err(Invalid::new("cpu/shares", "the minimum allowed cpu-shares is 2")),
            262_145.. => Err(Invalid::new("cpu/shares", "the maximum allowed cpu-shares is 262144")),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}
