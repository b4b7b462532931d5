//! Limits as properties of a unit (systemd.resource-control(5)).
//!
//! systemd writes control files of its own accord, when units around a container's change or on a reload. What it is
//! told here is what it writes then. The exact values are written to the files afterwards: some properties are coarser.

use super::value::Value;
use crate::device::{Kind, MKNOD, READ, Rule, WRITE, effective};
use crate::resources::{Io, Limit, Resources, Throttle};
use crate::{v1, v2};

/// A property and its value.
pub(crate) type Property = (String, Value);

/// No limit, for all properties that are one.
const INFINITY: u64 = u64::MAX;

/// What the kernel starts with, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// What of the host the properties depend on.
pub(crate) struct Host<'a> {
    /// Whether the unit's limits are those of cgroup v2.
    pub v2: bool,
    /// Whether systemd knows that a weight of 0 means idle (version 252).
    pub knows_idle: bool,
    /// The name of a driver (`pts`), by kind of device and major number.
    pub driver: &'a dyn Fn(Kind, u32) -> Option<String>,
}

/// The properties for the limits that `r` has. What no property says is only in the control files.
///
/// # Errors
/// The key of `linux.resources.unified` whose value cannot be.
pub(crate) fn all(r: &Resources, host: &Host<'_>) -> Result<Vec<Property>, String> {
    let mut list = List(Vec::new());
    if let Some(rules) = &r.devices {
        devices(&mut list, rules, host);
    }
    memory(&mut list, r, host.v2);
    let idle = r.cpu.idle == Some(true) && host.knows_idle && host.v2;
    if idle {
        list.number("CPUWeight", 0);
    } else if let Some(shares) = r.cpu.shares {
        if host.v2 { list.number("CPUWeight", v2::cpu::weight(shares)) } else { list.number("CPUShares", shares) }
    } else if r.cpu.idle == Some(false) && host.v2 {
        list.number("CPUWeight", INFINITY);
    }
    quota(&mut list, r.cpu.quota, r.cpu.period);
    if let Some(limit) = r.pids {
        list.limit("TasksMax", limit);
    }
    for (name, set) in [("AllowedCPUs", &r.cpus), ("AllowedMemoryNodes", &r.mems)] {
        if let Some(set) = set {
            list.add(name, bits(set).ok_or_else(|| format!("{set:?} is not a list such as 0-3,8"))?);
        }
    }
    io(&mut list, &r.io, host.v2);
    for (key, value) in &r.unified {
        unified(&mut list, key, value.trim(), idle)
            .ok_or_else(|| format!("set {key}: {value:?} is not a value of it"))?;
    }
    Ok(list.0)
}

struct List(Vec<Property>);

impl List {
    /// A later value takes the place of an earlier one.
    fn add(&mut self, name: &str, value: Value) {
        self.0.retain(|(other, _)| other != name || matches!(value, Value::Array(..)));
        self.0.push((name.to_owned(), value));
    }

    fn number(&mut self, name: &str, value: u64) {
        self.add(name, Value::U64(value));
    }

    fn limit(&mut self, name: &str, limit: Limit) {
        self.number(name, number(limit));
    }
}

fn number(limit: Limit) -> u64 {
    match limit {
        Limit::Max => INFINITY,
        Limit::To(number) => number,
    }
}

fn memory(list: &mut List, r: &Resources, v2: bool) {
    let (max, swap) = if v2 { ("MemoryMax", v2::memory::swap(&r.memory)) } else { ("MemoryLimit", None) };
    if let Some(limit) = r.memory.limit {
        list.limit(max, limit);
    }
    if let Some(reservation) = r.memory.reservation.filter(|_| v2) {
        list.limit("MemoryLow", reservation);
    }
    if let Some(swap) = swap {
        list.limit("MemorySwapMax", swap);
    }
}

/// A share of a second, which systemd keeps in whole percents: rounded up, so that the exact quota fits in it.
fn quota(list: &mut List, quota: Option<i64>, period: Option<u64>) {
    const PERCENT: u128 = 10_000;
    if let Some(period) = period {
        list.number("CPUQuotaPeriodUSec", period);
    }
    if quota.is_none() && period.is_none() {
        return;
    }
    let per_second = match quota.and_then(|quota| u128::try_from(quota).ok()).filter(|quota| *quota > 0) {
        Some(quota) => {
            let exact = quota * 1_000_000 / u128::from(period.unwrap_or(DEFAULT_PERIOD)).max(1);
            u64::try_from(exact.next_multiple_of(PERCENT)).unwrap_or(INFINITY)
        }
        None => INFINITY,
    };
    list.number("CPUQuotaPerSecUSec", per_second);
}

fn io(list: &mut List, io: &Io, v2: bool) {
    // v1's scale as it is, or what systemd makes v1's scale of again.
    let scaled = |weight: u16| if v2 { weighed(weight) } else { u64::from(weight) };
    let prefix = if v2 { "IO" } else { "BlockIO" };
    let pairs = |devices: &mut dyn Iterator<Item = (&str, u64)>| {
        let pairs =
            devices.map(|(device, n)| Value::Struct(vec![Value::Str(format!("/dev/block/{device}")), Value::U64(n)]));
        Value::Array("(st)".into(), pairs.collect())
    };
    if let Some(weight) = io.weight {
        list.number(&format!("{prefix}Weight"), scaled(weight));
    }
    let mut weights = io.weight_devices.iter().filter_map(|d| Some((d.device.as_str(), scaled(d.weight?))));
    let weights = pairs(&mut weights);
    let bounds: [(&str, bool, &[Throttle]); 4] = [
        ("ReadBandwidth", true, &io.read_bps),
        ("WriteBandwidth", true, &io.write_bps),
        ("ReadIOPS", v2, &io.read_iops),
        ("WriteIOPS", v2, &io.write_iops),
    ];
    let suffix = if v2 { "Max" } else { "" };
    let bounds = bounds.into_iter().filter(|(_, known, _)| *known).map(|(name, _, list)| {
        let mut rates = list.iter().map(|t| (t.device.as_str(), if t.rate == 0 { INFINITY } else { t.rate }));
        (format!("{prefix}{name}{suffix}"), pairs(&mut rates))
    });
    for (name, value) in std::iter::once((format!("{prefix}DeviceWeight"), weights)).chain(bounds) {
        if !matches!(&value, Value::Array(_, pairs) if pairs.is_empty()) {
            list.add(&name, value);
        }
    }
}

/// The weight of `IOWeight=` from which systemd makes BFQ's `weight`: 1 to 100 are both, what is above is spread from
/// 1000 to 10000.
fn weighed(weight: u16) -> u64 {
    let weight = u64::from(weight);
    if weight <= 100 { weight } else { 100 + (weight - 100) * 9900 / 900 }
}

/// What a file of the cgroup would be told, where a property says the same. `None` for a value that cannot be.
fn unified(list: &mut List, key: &str, value: &str, idle: bool) -> Option<()> {
    let bytes = || if value == "max" { Some(INFINITY) } else { value.parse().ok() };
    match key {
        "cpu.max" => {
            let mut words = value.split_ascii_whitespace();
            let max = words.next()?;
            let max = if max == "max" { -1 } else { max.parse().ok()? };
            let period = words.next().map_or(Some(DEFAULT_PERIOD), |period| period.parse().ok())?;
            quota(list, Some(max), Some(period));
        }
        "cpu.weight" if !idle => list.number("CPUWeight", value.parse().ok()?),
        "cpuset.cpus" => list.add("AllowedCPUs", bits(value)?),
        "cpuset.mems" => list.add("AllowedMemoryNodes", bits(value)?),
        "memory.high" => list.number("MemoryHigh", bytes()?),
        "memory.low" => list.number("MemoryLow", bytes()?),
        "memory.max" => list.number("MemoryMax", bytes()?),
        "memory.min" => list.number("MemoryMin", bytes()?),
        "memory.swap.max" => list.number("MemorySwapMax", bytes()?),
        "pids.max" => list.number("TasksMax", bytes()?),
        _ => {}
    }
    Some(())
}

/// A list such as `0-3,8` as a bit mask, the lowest byte first.
fn bits(list: &str) -> Option<Value> {
    let mut bytes: Vec<u8> = Vec::new();
    for part in list.split([',', ' ', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last > 0xffff {
            return None;
        }
        bytes.resize(bytes.len().max(last / 8 + 1), 0);
        (first..=last).for_each(|n| bytes[n / 8] |= 1 << (n % 8));
    }
    Some(Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect()))
}

/// The devices that may be used. systemd can only list those, so where `rules` are exceptions from everything it allows
/// everything, and the exact rules hold by what is set on the cgroup itself.
fn devices(list: &mut List, rules: &[Rule], host: &Host<'_>) {
    let (base, rest) = effective(rules);
    let allowed = if base { None } else { v1::devices::exceptions(false, rest).ok() };
    let none = Value::Array("(ss)".into(), Vec::new());
    list.add("DevicePolicy", Value::str(if allowed.is_some() { "strict" } else { "auto" }));
    // The empty list takes back what was there.
    list.add("DeviceAllow", none);
    let allowed = allowed.into_iter().flatten().map(|((kind, major, minor), access)| {
        Value::Struct(vec![Value::Str(device(kind, major, minor, host)), Value::Str(letters(access))])
    });
    let allowed: Vec<Value> = allowed.collect();
    if !allowed.is_empty() {
        list.add("DeviceAllow", Value::Array("(ss)".into(), allowed));
    }
}

/// One device or group of devices as `DeviceAllow=` names it.
fn device(kind: Kind, major: Option<u32>, minor: Option<u32>, host: &Host<'_>) -> String {
    let prefix = if kind == Kind::Block { "block" } else { "char" };
    match (major, minor) {
        (Some(major), Some(minor)) => format!("/dev/{prefix}/{major}:{minor}"),
        (Some(major), None) => {
            let driver = (host.driver)(kind, major).unwrap_or_else(|| major.to_string());
            format!("{prefix}-{driver}")
        }
        // Of any major number: more than is asked for with a minor one.
        (None, _) => format!("{prefix}-*"),
    }
}

fn letters(access: u8) -> String {
    [(READ, 'r'), (WRITE, 'w'), (MKNOD, 'm')].iter().filter(|(bit, _)| access & bit != 0).map(|(_, c)| c).collect()
}

#[cfg(test)]
mod tests;
