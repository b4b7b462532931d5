//! What is used, as the hierarchies of v1 tell it.

use crate::error::Result;
use crate::stats::{
    BlockIo, BlockIoEntry, CpuSet, Files, Hugetlb, MemoryEntry, Stats, device, number, page_sizes, pairs, pids, value,
};

/// Of the unit `cpuacct.stat` counts in; the kernel's USER_HZ is 100.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Adds to `stats` what `controller` knows, from the `files` of the cgroup in its hierarchy.
pub(crate) fn read(stats: &mut Stats, controller: &str, files: Files<'_>) -> Result<()> {
    match controller {
        "cpu" => throttling(stats, files)?,
        "cpuacct" => cpu_usage(stats, files)?,
        "cpuset" => stats.cpuset = cpuset(files)?,
        "memory" => memory(stats, files)?,
        "pids" => stats.pids = pids(files)?,
        "blkio" => stats.blkio = block_io(files)?,
        "hugetlb" => hugetlb(stats, &page_sizes(), files)?,
        _ => {}
    }
    Ok(())
}

fn throttling(stats: &mut Stats, files: Files<'_>) -> Result<()> {
    let text = files("cpu.stat")?;
    let throttling = &mut stats.cpu.throttling;
    throttling.periods = value(&text, "nr_periods");
    throttling.throttled_periods = value(&text, "nr_throttled");
    throttling.throttled_time = value(&text, "throttled_time");
    Ok(())
}

fn cpu_usage(stats: &mut Stats, files: Files<'_>) -> Result<()> {
    let usage = &mut stats.cpu.usage;
    usage.total = number(files, "cpuacct.usage")?;
    let all = files("cpuacct.usage_percpu")?;
    usage.percpu = all.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let ticks = files("cpuacct.stat")?;
    usage.user = value(&ticks, "user") * NANOSECONDS_PER_TICK;
    usage.kernel = value(&ticks, "system") * NANOSECONDS_PER_TICK;
    // Below a header, a line for each processor: its number, and the time of user and of system.
    for line in files("cpuacct.usage_all")?.lines().skip(1) {
        let mut numbers = line.split(' ').skip(1).map(|number| number.parse().unwrap_or_default());
        usage.percpu_user.push(numbers.next().unwrap_or_default());
        usage.percpu_kernel.push(numbers.next().unwrap_or_default());
    }
    Ok(())
}

fn cpuset(files: Files<'_>) -> Result<CpuSet> {
    let number = |file: &str| number(files, &format!("cpuset.{file}"));
    Ok(CpuSet {
        cpus: list(&files("cpuset.cpus")?),
        cpu_exclusive: number("cpu_exclusive")?,
        mems: list(&files("cpuset.mems")?),
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        // The one that may be negative.
        sched_relax_domain_level: files("cpuset.sched_relax_domain_level")?.trim_end().parse().unwrap_or_default(),
    })
}

/// The numbers in `0-3,8`.
fn list(text: &str) -> Vec<u16> {
    let ranges = text.trim_end().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<u16>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

fn memory(stats: &mut Stats, files: Files<'_>) -> Result<()> {
    let entry = |name: &str| -> Result<MemoryEntry> {
        Ok(MemoryEntry {
            limit: number(files, &format!("{name}.limit_in_bytes"))?,
            usage: number(files, &format!("{name}.usage_in_bytes"))?,
            max: number(files, &format!("{name}.max_usage_in_bytes"))?,
            failcnt: number(files, &format!("{name}.failcnt"))?,
        })
    };
    let memory = &mut stats.memory;
    memory.usage = entry("memory")?;
    memory.swap = entry("memory.memsw")?;
    memory.kernel = entry("memory.kmem")?;
    memory.kernel_tcp = entry("memory.kmem.tcp")?;
    memory.raw = pairs(&files("memory.stat")?).map(|(key, value)| (key.to_owned(), value)).collect();
    memory.cache = memory.raw.get("cache").copied().unwrap_or_default();
    Ok(())
}

/// From the scheduler that accounts for the cgroup: BFQ with debugging, BFQ, CFQ on old kernels, else the bounds' own
/// counters, which see only what passes them.
fn block_io(files: Files<'_>) -> Result<BlockIo> {
    let entries = |file: String| -> Result<Vec<BlockIoEntry>> { Ok(entries(&files(&file)?)) };
    for prefix in ["blkio.bfq.", "blkio."] {
        let entries = |file: &str| entries(format!("{prefix}{file}_recursive"));
        let io = BlockIo {
            io_service_bytes_recursive: entries("io_service_bytes")?,
            io_serviced_recursive: entries("io_serviced")?,
            io_queued_recursive: entries("io_queued")?,
            io_service_time_recursive: entries("io_service_time")?,
            io_wait_time_recursive: entries("io_wait_time")?,
            io_merged_recursive: entries("io_merged")?,
            io_time_recursive: entries("time")?,
            sectors_recursive: entries("sectors")?,
            psi: None,
        };
        if io != BlockIo::default() {
            return Ok(io);
        }
    }
    let throttle = |suffix: &str| -> Result<BlockIo> {
        Ok(BlockIo {
            io_service_bytes_recursive: entries(format!("blkio.throttle.io_service_bytes{suffix}"))?,
            io_serviced_recursive: entries(format!("blkio.throttle.io_serviced{suffix}"))?,
            ..BlockIo::default()
        })
    };
    let io = throttle("_recursive")?;
    if io == BlockIo::default() { throttle("") } else { Ok(io) }
}

/// Reads lines `8:0 Read 4096` or `8:0 4096`; the line that begins with `Total` is none of them.
fn entries(text: &str) -> Vec<BlockIoEntry> {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (op, value) = match words.as_slice() {
            [_, value] => ("", value),
            [_, op, value] => (*op, value),
            _ => return None,
        };
        let (major, minor) = device(words[0])?;
        Some(BlockIoEntry { major, minor, op: op.to_owned(), value: value.parse().ok()? })
    };
    text.lines().filter_map(entry).collect()
}

fn hugetlb(stats: &mut Stats, sizes: &[String], files: Files<'_>) -> Result<()> {
    for size in sizes {
        let mut prefix = format!("hugetlb.{size}.rsvd");
        if files(&format!("{prefix}.usage_in_bytes"))?.is_empty() {
            prefix = format!("hugetlb.{size}");
        }
        if files(&format!("{prefix}.usage_in_bytes"))?.is_empty() {
            continue;
        }
        let entry = Hugetlb {
            usage: number(files, &format!("{prefix}.usage_in_bytes"))?,
            max: number(files, &format!("{prefix}.max_usage_in_bytes"))?,
            failcnt: number(files, &format!("{prefix}.failcnt"))?,
        };
        stats.hugetlb.insert(size.clone(), entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(controllers: &[&str], given: &[(&str, &str)]) -> Stats {
        let mut stats = Stats::default();
        let files = |file: &str| {
            let found = given.iter().find(|(name, _)| *name == file);
            Ok(found.map(|(_, text)| (*text).to_owned()).unwrap_or_default())
        };
        controllers.iter().for_each(|controller| read(&mut stats, controller, &files).unwrap());
        stats
    }

    #[test]
    fn cpu() {
        let files = [
            ("cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 77\n"),
            ("cpuacct.usage", "300\n"),
            ("cpuacct.usage_percpu", "100 200 \n"),
            ("cpuacct.stat", "user 3\nsystem 4\n"),
            ("cpuacct.usage_all", "cpu user system\n0 60 40\n1 150 50\n"),
        ];
        let json = serde_json::to_string(&stats(&["cpu", "cpuacct"], &files).cpu).unwrap();
        assert_eq!(
            json,
            r#"{"usage":{"total":300,"percpu":[100,200],"percpu_kernel":[40,50],"percpu_user":[60,150],"kernel":40000000,"user":30000000},"throttling":{"periods":5,"throttledPeriods":2,"throttledTime":77}}"#
        );
    }

    #[test]
    fn lists() {
        for (text, want) in [("0-3,8\n", &[0, 1, 2, 3, 8][..]), ("5\n", &[5]), ("\n", &[]), ("a,3-x,2", &[2])] {
            assert_eq!(list(text), want, "{text:?}");
        }
    }

    #[test]
    fn memory() {
        let files = [
            ("memory.limit_in_bytes", "9\n"),
            ("memory.usage_in_bytes", "8\n"),
            ("memory.memsw.failcnt", "2\n"),
            ("memory.stat", "cache 4\nrss 5\n"),
        ];
        let json = serde_json::to_string(&stats(&["memory"], &files).memory).unwrap();
        assert_eq!(
            json,
            r#"{"cache":4,"usage":{"limit":9,"usage":8,"failcnt":0},"swap":{"limit":0,"failcnt":2},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"cache":4,"rss":5}}"#
        );
    }

    #[test]
    fn block_io() {
        let text = "8:0 Read 4096\n8:0 Write 0\nTotal 4096\n";
        let entry = |op: &str, value| BlockIoEntry { major: 8, minor: 0, op: op.into(), value };
        let both = vec![entry("Read", 4096), entry("Write", 0)];
        let bfq = stats(&["blkio"], &[("blkio.bfq.io_serviced_recursive", text), ("blkio.throttle.io_serviced", "x")]);
        assert_eq!(bfq.blkio, BlockIo { io_serviced_recursive: both.clone(), ..BlockIo::default() });
        let bounds = stats(&["blkio"], &[("blkio.throttle.io_service_bytes", text)]);
        assert_eq!(bounds.blkio, BlockIo { io_service_bytes_recursive: both, ..BlockIo::default() });
        let cfq = stats(&["blkio"], &[("blkio.sectors_recursive", "8:0 12\n")]);
        assert_eq!(cfq.blkio.sectors_recursive, [entry("", 12)]);
        assert_eq!(stats(&["blkio"], &[]).blkio, BlockIo::default());
    }

    #[test]
    fn huge_pages() {
        let mut stats = Stats::default();
        let files = |file: &str| {
            Ok(match file {
                "hugetlb.2MB.rsvd.usage_in_bytes" | "hugetlb.1GB.usage_in_bytes" => "7\n".to_owned(),
                "hugetlb.2MB.rsvd.failcnt" => "1\n".to_owned(),
                _ => String::new(),
            })
        };
        hugetlb(&mut stats, &["2MB".into(), "1GB".into(), "64KB".into()], &files).unwrap();
        let json = serde_json::to_string(&stats.hugetlb).unwrap();
        assert_eq!(json, r#"{"1GB":{"usage":7,"failcnt":0},"2MB":{"usage":7,"failcnt":1}}"#);
    }
}
