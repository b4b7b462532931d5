//! What a container uses, read from its cgroup.
//!
//! The fields are those of the events runc prints, and serialise to the same keys: what both versions of cgroups tell
//! goes into one shape, and what one of them does not know stays zero or is left out.

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde::Serialize;

use crate::dir::Dir;
use crate::error::{Error, Result};

/// What the processes of a cgroup use now, and have used.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Stats {
    pub cpu: Cpu,
    pub cpuset: CpuSet,
    pub memory: Memory,
    pub pids: Pids,
    pub blkio: BlockIo,
    /// By page size, as the kernel names it: `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cpu {
    pub usage: CpuUsage,
    pub throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// Processor time spent, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// For each processor; v1 only, like the next two.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_kernel: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu_user: Vec<u64>,
    pub kernel: u64,
    pub user: u64,
}

/// How often the bound on processor time was met.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Which processors and memory nodes may be used; v1 only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CpuSet {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Of files.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    pub usage: MemoryEntry,
    /// Memory and swap together.
    pub swap: MemoryEntry,
    /// v1 only, like the next.
    pub kernel: MemoryEntry,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat` as it is.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// One sort of memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct MemoryEntry {
    /// Near 2^63 (v1) or 2^64-1 (v2) without one.
    pub limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most it ever was.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was met.
    pub failcnt: u64,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// 0 without one.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Use of disks.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockIo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "Vec::is_empty")]
    pub io_queued_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<Pressure>,
}

/// A number about one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BlockIoEntry {
    #[serde(skip_serializing_if = "is_zero")]
    pub major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub minor: u64,
    /// `Read`, `Write` and others, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub op: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    pub failcnt: u64,
}

/// How long processes waited for something (psi.rst); v2 only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// At least one of them.
    pub some: PressureEntry,
    /// All of them at once.
    pub full: PressureEntry,
}

/// The share of time, in percent, over the last 10, 60 and 300 seconds, and the microseconds in total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct PressureEntry {
    pub avg10: f64,
    pub avg60: f64,
    pub avg300: f64,
    pub total: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Control files by name; one that the kernel does not have is empty.
pub(crate) type Files<'a> = &'a dyn Fn(&str) -> Result<String>;

/// The files of `dir`.
pub(crate) fn files(dir: &Dir) -> impl Fn(&str) -> Result<String> {
    |file| match dir.read(file) {
        Ok(text) => Ok(text),
        // Pressure that is not accounted for is said to be unsupported by its file.
        Err(Errno::ENOENT | Errno::EOPNOTSUPP) => Ok(String::new()),
        Err(errno) => Err(Error::kernel(format!("read {}", dir.path().join(file).display()), errno)),
    }
}

/// A file with one number; `max` is the greatest, and anything else 0.
pub(crate) fn number(files: Files<'_>, file: &str) -> Result<u64> {
    let text = files(file)?;
    Ok(match text.trim_end() {
        "max" => u64::MAX,
        text => text.parse().unwrap_or_default(),
    })
}

/// The lines `key value` of a text.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.parse().ok()?))
    })
}

/// The value of one of the lines `key value` of a text, or 0.
pub(crate) fn value(text: &str, key: &str) -> u64 {
    pairs(text).find(|(name, _)| *name == key).map_or(0, |(_, value)| value)
}

pub(crate) fn pids(files: Files<'_>) -> Result<Pids> {
    let limit = number(files, "pids.max")?;
    Ok(Pids { current: number(files, "pids.current")?, limit: if limit == u64::MAX { 0 } else { limit } })
}

/// Reads `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and the same for `full`.
pub(crate) fn pressure(text: &str) -> Option<Pressure> {
    let mut pressure = None;
    for line in text.lines() {
        let mut words = line.split(' ');
        let all = pressure.get_or_insert_with(Pressure::default);
        let entry = match words.next() {
            Some("some") => &mut all.some,
            Some("full") => &mut all.full,
            _ => continue,
        };
        for (name, number) in words.filter_map(|word| word.split_once('=')) {
            match name {
                "avg10" => entry.avg10 = number.parse().unwrap_or_default(),
                "avg60" => entry.avg60 = number.parse().unwrap_or_default(),
                "avg300" => entry.avg300 = number.parse().unwrap_or_default(),
                "total" => entry.total = number.parse().unwrap_or_default(),
                _ => {}
            }
        }
    }
    pressure
}

/// The major and minor number of `8:16`.
pub(crate) fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The sizes of huge pages the kernel has, as it names them (`2MB`).
pub(crate) fn page_sizes() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let kilobytes = entries.filter_map(|entry| {
        let name = entry.file_name();
        name.to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB").map(str::to_owned)
    });
    kilobytes.filter_map(|kilobytes| crate::resources::page_size(&format!("{kilobytes}KB"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressures() {
        let text = "some avg10=1.50 avg60=0.25 avg300=0.00 total=12\nfull avg10=0.10 avg60=0.00 avg300=0.00 total=3\n";
        let want = Pressure {
            some: PressureEntry { avg10: 1.5, avg60: 0.25, avg300: 0.0, total: 12 },
            full: PressureEntry { avg10: 0.1, total: 3, ..PressureEntry::default() },
        };
        assert_eq!(pressure(text), Some(want));
        assert_eq!(pressure(""), None);
        assert_eq!(pressure("some avg10=x\n"), Some(Pressure::default()));
    }

    #[test]
    fn numbers() {
        for (text, want) in [("7\n", 7), ("max\n", u64::MAX), ("", 0), ("-1\n", 0)] {
            assert_eq!(number(&|_| Ok(text.to_owned()), "x").unwrap(), want, "{text:?}");
        }
        assert_eq!(value("a 1\nb 2\nbad\nc x\n", "b"), 2);
        assert_eq!(value("a 1\n", "b"), 0);
        assert_eq!(device("8:16"), Some((8, 16)));
        assert_eq!(device("Total"), None);
    }
}
