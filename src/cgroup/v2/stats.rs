//! What is used, as v2 tells it.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::stats::{
    BlockIo, BlockIoEntry, Cpu, CpuUsage, Files, Hugetlb, Memory, MemoryEntry, Stats, Throttling, device, number,
    page_sizes, pairs, pids, pressure, value,
};

const NANOSECONDS_PER_MICROSECOND: u64 = 1000;

/// What the `files` of the cgroup tell. The number of processes is missing where the controller pids is.
pub(crate) fn read(files: Files<'_>) -> Result<Stats> {
    let mut stats =
        Stats { cpu: cpu(files)?, memory: memory(files)?, pids: pids(files)?, blkio: io(files)?, ..Stats::default() };
    hugetlb(&mut stats, files)?;
    Ok(stats)
}

fn cpu(files: Files<'_>) -> Result<Cpu> {
    let text = files("cpu.stat")?;
    let time = |key: &str| value(&text, key) * NANOSECONDS_PER_MICROSECOND;
    Ok(Cpu {
        usage: CpuUsage {
            total: time("usage_usec"),
            kernel: time("system_usec"),
            user: time("user_usec"),
            ..CpuUsage::default()
        },
        throttling: Throttling {
            periods: value(&text, "nr_periods"),
            throttled_periods: value(&text, "nr_throttled"),
            throttled_time: time("throttled_usec"),
        },
        psi: pressure(&files("cpu.pressure")?),
    })
}

fn memory(files: Files<'_>) -> Result<Memory> {
    let entry = |name: &str| -> Result<MemoryEntry> {
        Ok(MemoryEntry {
            limit: number(files, &format!("{name}.max"))?,
            usage: number(files, &format!("{name}.current"))?,
            max: number(files, &format!("{name}.peak"))?,
            failcnt: 0,
        })
    };
    let usage = entry("memory")?;
    let swap = entry("memory.swap")?;
    let text = files("memory.stat")?;
    let raw: BTreeMap<_, _> = pairs(&text).map(|(key, value)| (key.to_owned(), value)).collect();
    Ok(Memory {
        cache: raw.get("file").copied().unwrap_or_default(),
        usage,
        // Both together, as v1 counts it; the most that was ever used of both is not known.
        swap: MemoryEntry {
            limit: swap.limit.saturating_add(usage.limit),
            usage: swap.usage.saturating_add(usage.usage),
            ..MemoryEntry::default()
        },
        raw,
        psi: pressure(&files("memory.pressure")?),
        ..Memory::default()
    })
}

/// Reads lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn io(files: Files<'_>) -> Result<BlockIo> {
    let mut io = BlockIo { psi: pressure(&files("io.pressure")?), ..BlockIo::default() };
    for line in files("io.stat")?.lines() {
        let mut words = line.split(' ');
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (key, number) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match key {
                "rbytes" => (&mut io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut io.io_serviced_recursive, "Read"),
                "wios" => (&mut io.io_serviced_recursive, "Write"),
                _ => continue,
            };
            list.push(BlockIoEntry { major, minor, op: op.to_owned(), value: number.parse().unwrap_or_default() });
        }
    }
    Ok(io)
}

/// Adds the use of huge pages: what is reserved, where the kernel counts that.
pub(crate) fn hugetlb(stats: &mut Stats, files: Files<'_>) -> Result<()> {
    for size in page_sizes() {
        let reserved = files(&format!("hugetlb.{size}.rsvd.current"))?;
        let current = if reserved.is_empty() { files(&format!("hugetlb.{size}.current"))? } else { reserved };
        if current.is_empty() {
            continue;
        }
        let failcnt = value(&files(&format!("hugetlb.{size}.events"))?, "max");
        stats.hugetlb.insert(size, Hugetlb { usage: current.trim_end().parse().unwrap_or_default(), max: 0, failcnt });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files<'a>(given: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Result<String> + 'a {
        |file| {
            let found = given.iter().find(|(name, _)| *name == file);
            Ok(found.map(|(_, text)| (*text).to_owned()).unwrap_or_default())
        }
    }

    #[test]
    fn all_of_it() {
        let given = [
            ("cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 9\nnr_throttled 1\nthrottled_usec 2\n"),
            ("cpu.pressure", "some avg10=0.50 avg60=0.00 avg300=0.00 total=1\n"),
            ("memory.current", "100\n"),
            ("memory.max", "max\n"),
            ("memory.peak", "120\n"),
            ("memory.swap.current", "10\n"),
            ("memory.swap.max", "50\n"),
            ("memory.stat", "anon 60\nfile 40\n"),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n8:16 \n"),
        ];
        let stats = read(&files(&given)).unwrap();
        assert_eq!(
            serde_json::to_string(&stats.cpu).unwrap(),
            r#"{"usage":{"total":7000,"kernel":3000,"user":4000},"throttling":{"periods":9,"throttledPeriods":1,"throttledTime":2000},"psi":{"some":{"avg10":0.5,"avg60":0.0,"avg300":0.0,"total":1},"full":{"avg10":0.0,"avg60":0.0,"avg300":0.0,"total":0}}}"#
        );
        assert_eq!(
            serde_json::to_string(&stats.memory).unwrap(),
            r#"{"cache":40,"usage":{"limit":18446744073709551615,"usage":100,"max":120,"failcnt":0},"swap":{"limit":18446744073709551615,"usage":110,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"anon":60,"file":40}}"#
        );
        assert_eq!(serde_json::to_string(&stats.pids).unwrap(), r#"{"current":3}"#);
        assert_eq!(
            serde_json::to_string(&stats.blkio).unwrap(),
            r#"{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2}],"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4}]}"#
        );
    }

    #[test]
    fn limits_on_both() {
        let given = [("memory.max", "100\n"), ("memory.swap.max", "50\n"), ("pids.max", "12\n")];
        let stats = read(&files(&given)).unwrap();
        assert_eq!((stats.memory.swap.limit, stats.pids.limit), (150, 12));
        assert_eq!(read(&files(&[])).unwrap(), Stats::default());
    }
}
