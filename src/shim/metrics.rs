//! What a container uses, in the shape containerd passes on: one for each version of cgroups.

use containerd_shim_protos::cgroups::metrics as v1;
use containerd_shim_protos::cgroups_v2::metrics as v2;
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use coracle_cgroup::stats::{BlockIoEntry, MemoryEntry, Pressure, PressureEntry};
use coracle_cgroup::{Layout, Mode, Stats};
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::events::to_any;

const NANOSECONDS_PER_MICROSECOND: u64 = 1000;

/// What the cgroup of process `pid` uses.
pub fn of(pid: Pid) -> Result<Any> {
    let failed = |error: coracle_cgroup::Error| Error::new(error.to_string());
    let mode = Layout::detect().map_err(failed)?.mode();
    let stats = coracle_cgroup::of(pid).and_then(|cgroup| cgroup.stats()).map_err(failed)?;
    if mode == Mode::V2 {
        to_any("io.containerd.cgroups.v2", &in_v2(&stats))
    } else {
        to_any("io.containerd.cgroups.v1", &in_v1(&stats))
    }
}

fn in_v1(stats: &Stats) -> v1::Metrics {
    let hugetlb = stats.hugetlb.iter().map(|(size, usage)| v1::HugetlbStat {
        usage: usage.usage,
        max: usage.max,
        failcnt: usage.failcnt,
        pagesize: size.clone(),
        ..Default::default()
    });
    let pids = v1::PidsStat { current: stats.pids.current, limit: stats.pids.limit, ..Default::default() };
    v1::Metrics {
        hugetlb: hugetlb.collect(),
        pids: Some(pids).into(),
        cpu: Some(cpu_in_v1(stats)).into(),
        memory: Some(memory_in_v1(stats)).into(),
        blkio: Some(io_in_v1(stats)).into(),
        ..Default::default()
    }
}

fn cpu_in_v1(stats: &Stats) -> v1::CPUStat {
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    let usage = v1::CPUUsage {
        total: usage.total,
        kernel: usage.kernel,
        user: usage.user,
        per_cpu: usage.percpu.clone(),
        ..Default::default()
    };
    let throttling = v1::Throttle {
        periods: throttling.periods,
        throttled_periods: throttling.throttled_periods,
        throttled_time: throttling.throttled_time,
        ..Default::default()
    };
    v1::CPUStat { usage: Some(usage).into(), throttling: Some(throttling).into(), ..Default::default() }
}

/// The names are those of memory.stat (memory.rst, "stat file").
fn memory_in_v1(stats: &Stats) -> v1::MemoryStat {
    let memory = &stats.memory;
    let raw = |key: &str| memory.raw.get(key).copied().unwrap_or_default();
    v1::MemoryStat {
        cache: memory.cache,
        rss: raw("rss"),
        rss_huge: raw("rss_huge"),
        mapped_file: raw("mapped_file"),
        dirty: raw("dirty"),
        writeback: raw("writeback"),
        pg_pg_in: raw("pgpgin"),
        pg_pg_out: raw("pgpgout"),
        pg_fault: raw("pgfault"),
        pg_maj_fault: raw("pgmajfault"),
        inactive_anon: raw("inactive_anon"),
        active_anon: raw("active_anon"),
        inactive_file: raw("inactive_file"),
        active_file: raw("active_file"),
        unevictable: raw("unevictable"),
        hierarchical_memory_limit: raw("hierarchical_memory_limit"),
        hierarchical_swap_limit: raw("hierarchical_memsw_limit"),
        total_cache: raw("total_cache"),
        total_rss: raw("total_rss"),
        total_rss_huge: raw("total_rss_huge"),
        total_mapped_file: raw("total_mapped_file"),
        total_dirty: raw("total_dirty"),
        total_writeback: raw("total_writeback"),
        total_pg_pg_in: raw("total_pgpgin"),
        total_pg_pg_out: raw("total_pgpgout"),
        total_pg_fault: raw("total_pgfault"),
        total_pg_maj_fault: raw("total_pgmajfault"),
        total_inactive_anon: raw("total_inactive_anon"),
        total_active_anon: raw("total_active_anon"),
        total_inactive_file: raw("total_inactive_file"),
        total_active_file: raw("total_active_file"),
        total_unevictable: raw("total_unevictable"),
        usage: entry(&memory.usage),
        swap: entry(&memory.swap),
        kernel: entry(&memory.kernel),
        kernel_tcp: entry(&memory.kernel_tcp),
        ..Default::default()
    }
}

fn entry(of: &MemoryEntry) -> MessageField<v1::MemoryEntry> {
    let entry =
        v1::MemoryEntry { limit: of.limit, usage: of.usage, max: of.max, failcnt: of.failcnt, ..Default::default() };
    Some(entry).into()
}

fn io_in_v1(stats: &Stats) -> v1::BlkIOStat {
    let list = |entries: &[BlockIoEntry]| {
        let entry = |entry: &BlockIoEntry| v1::BlkIOEntry {
            op: entry.op.clone(),
            major: entry.major,
            minor: entry.minor,
            value: entry.value,
            ..Default::default()
        };
        entries.iter().map(entry).collect()
    };
    let io = &stats.blkio;
    v1::BlkIOStat {
        io_service_bytes_recursive: list(&io.io_service_bytes_recursive),
        io_serviced_recursive: list(&io.io_serviced_recursive),
        io_queued_recursive: list(&io.io_queued_recursive),
        io_service_time_recursive: list(&io.io_service_time_recursive),
        io_wait_time_recursive: list(&io.io_wait_time_recursive),
        io_merged_recursive: list(&io.io_merged_recursive),
        io_time_recursive: list(&io.io_time_recursive),
        sectors_recursive: list(&io.sectors_recursive),
        ..Default::default()
    }
}

fn in_v2(stats: &Stats) -> v2::Metrics {
    let hugetlb = stats.hugetlb.iter().map(|(size, usage)| v2::HugeTlbStat {
        current: usage.usage,
        max: usage.max,
        failcnt: usage.failcnt,
        pagesize: size.clone(),
        ..Default::default()
    });
    let pids = v2::PidsStat { current: stats.pids.current, limit: stats.pids.limit, ..Default::default() };
    v2::Metrics {
        hugetlb: hugetlb.collect(),
        pids: Some(pids).into(),
        cpu: Some(cpu_in_v2(stats)).into(),
        memory: Some(memory_in_v2(stats)).into(),
        io: Some(io_in_v2(stats)).into(),
        ..Default::default()
    }
}

fn cpu_in_v2(stats: &Stats) -> v2::CPUStat {
    let (usage, throttling) = (&stats.cpu.usage, &stats.cpu.throttling);
    v2::CPUStat {
        usage_usec: usage.total / NANOSECONDS_PER_MICROSECOND,
        user_usec: usage.user / NANOSECONDS_PER_MICROSECOND,
        system_usec: usage.kernel / NANOSECONDS_PER_MICROSECOND,
        nr_periods: throttling.periods,
        nr_throttled: throttling.throttled_periods,
        throttled_usec: throttling.throttled_time / NANOSECONDS_PER_MICROSECOND,
        psi: pressure(stats.cpu.psi.as_ref()),
        ..Default::default()
    }
}

/// The names are those of memory.stat (cgroup-v2.rst).
fn memory_in_v2(stats: &Stats) -> v2::MemoryStat {
    let memory = &stats.memory;
    let raw = |key: &str| memory.raw.get(key).copied().unwrap_or_default();
    v2::MemoryStat {
        anon: raw("anon"),
        file: raw("file"),
        kernel_stack: raw("kernel_stack"),
        slab: raw("slab"),
        sock: raw("sock"),
        shmem: raw("shmem"),
        file_mapped: raw("file_mapped"),
        file_dirty: raw("file_dirty"),
        file_writeback: raw("file_writeback"),
        anon_thp: raw("anon_thp"),
        inactive_anon: raw("inactive_anon"),
        active_anon: raw("active_anon"),
        inactive_file: raw("inactive_file"),
        active_file: raw("active_file"),
        unevictable: raw("unevictable"),
        slab_reclaimable: raw("slab_reclaimable"),
        slab_unreclaimable: raw("slab_unreclaimable"),
        pgfault: raw("pgfault"),
        pgmajfault: raw("pgmajfault"),
        // The kernel counts pages of files and of anonymous memory apart.
        workingset_refault: raw("workingset_refault_anon") + raw("workingset_refault_file"),
        workingset_activate: raw("workingset_activate_anon") + raw("workingset_activate_file"),
        workingset_nodereclaim: raw("workingset_nodereclaim"),
        pgrefill: raw("pgrefill"),
        pgscan: raw("pgscan"),
        pgsteal: raw("pgsteal"),
        pgactivate: raw("pgactivate"),
        pgdeactivate: raw("pgdeactivate"),
        pglazyfree: raw("pglazyfree"),
        pglazyfreed: raw("pglazyfreed"),
        thp_fault_alloc: raw("thp_fault_alloc"),
        thp_collapse_alloc: raw("thp_collapse_alloc"),
        usage: memory.usage.usage,
        usage_limit: memory.usage.limit,
        max_usage: memory.usage.max,
        // Counted together with memory by the runtime, alone here.
        swap_usage: memory.swap.usage.saturating_sub(memory.usage.usage),
        swap_limit: if memory.swap.limit == u64::MAX {
            u64::MAX
        } else {
            memory.swap.limit.saturating_sub(memory.usage.limit)
        },
        psi: pressure(memory.psi.as_ref()),
        ..Default::default()
    }
}

fn io_in_v2(stats: &Stats) -> v2::IOStat {
    let mut usage: Vec<v2::IOEntry> = Vec::new();
    let bytes = stats.blkio.io_service_bytes_recursive.iter().map(|entry| (entry, true));
    let counts = stats.blkio.io_serviced_recursive.iter().map(|entry| (entry, false));
    for (entry, is_bytes) in bytes.chain(counts) {
        let at = usage.iter().position(|device| (device.major, device.minor) == (entry.major, entry.minor));
        let at = at.unwrap_or_else(|| {
            usage.push(v2::IOEntry { major: entry.major, minor: entry.minor, ..Default::default() });
            usage.len() - 1
        });
        let device = &mut usage[at];
        match (entry.op.as_str(), is_bytes) {
            ("Read", true) => device.rbytes = entry.value,
            ("Write", true) => device.wbytes = entry.value,
            ("Read", false) => device.rios = entry.value,
            ("Write", false) => device.wios = entry.value,
            _ => {}
        }
    }
    v2::IOStat { usage, psi: pressure(stats.blkio.psi.as_ref()), ..Default::default() }
}

fn pressure(of: Option<&Pressure>) -> MessageField<v2::PSIStats> {
    let data = |entry: &PressureEntry| {
        let (avg10, avg60, avg300) = (entry.avg10, entry.avg60, entry.avg300);
        Some(v2::PSIData { avg10, avg60, avg300, total: entry.total, ..Default::default() }).into()
    };
    of.map(|of| v2::PSIStats { some: data(&of.some), full: data(&of.full), ..Default::default() }).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coracle_cgroup::stats::BlockIo;

    fn entry(op: &str, value: u64) -> BlockIoEntry {
        BlockIoEntry { major: 8, minor: 0, op: op.into(), value }
    }

    #[test]
    fn a_device_of_v2_is_one_entry() {
        let blkio = BlockIo {
            io_service_bytes_recursive: vec![entry("Read", 1), entry("Write", 2)],
            io_serviced_recursive: vec![entry("Read", 3), entry("Write", 4)],
            ..BlockIo::default()
        };
        let stats = Stats { blkio, ..Stats::default() };
        let io = io_in_v2(&stats);
        let usage: Vec<_> = io.usage.iter().map(|d| (d.rbytes, d.wbytes, d.rios, d.wios)).collect();
        assert_eq!(usage, [(1, 2, 3, 4)]);
    }

    #[test]
    fn swap_of_v2_is_without_memory() {
        let mut stats = Stats::default();
        stats.memory.usage = MemoryEntry { limit: 100, usage: 10, ..MemoryEntry::default() };
        stats.memory.swap = MemoryEntry { limit: 150, usage: 15, ..MemoryEntry::default() };
        let memory = memory_in_v2(&stats);
        assert_eq!((memory.swap_limit, memory.swap_usage), (50, 5));
    }
}
