//! Processor time: shares among the siblings, and a bound in each period.

use crate::resources::Resources;
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let cpu = &r.cpu;
    let mut writes = Vec::new();
    if let Some(period) = cpu.realtime_period {
        writes.push(Write::new("cpu.rt_period_us", period).later_if_refused());
    }
    if let Some(runtime) = cpu.realtime_runtime {
        writes.push(Write::new("cpu.rt_runtime_us", runtime));
    }
    if let Some(idle) = cpu.idle {
        let write = Write::new("cpu.idle", u8::from(idle));
        writes.push(if idle { write } else { write.optional() });
    }
    // An idle cgroup has the least shares, and the kernel refuses to be told others.
    if let Some(shares) = cpu.shares.filter(|_| cpu.idle != Some(true)) {
        writes.push(Write::new("cpu.shares", shares));
    }
    // Both are checked against the quota, the old one if that comes first.
    if let Some(period) = cpu.period {
        writes.push(Write::new("cpu.cfs_period_us", period).later_if_refused());
    }
    if let Some(burst) = cpu.burst {
        let write = Write::new("cpu.cfs_burst_us", burst).later_if_refused();
        writes.push(if burst == 0 { write.optional() } else { write });
    }
    if let Some(quota) = cpu.quota {
        writes.push(Write::new("cpu.cfs_quota_us", quota.max(-1)));
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Cpu;
    use crate::write::lines;

    #[test]
    fn table() {
        let some = Cpu::default;
        let cases: [(Cpu, &[&str]); 7] = [
            (some(), &[]),
            (Cpu { shares: Some(512), ..some() }, &["cpu.shares = 512"]),
            (Cpu { quota: Some(-7), ..some() }, &["cpu.cfs_quota_us = -1"]),
            (
                Cpu { quota: Some(5_000), period: Some(20_000), burst: Some(0), ..some() },
                &["cpu.cfs_period_us = 20000", "cpu.cfs_burst_us = 0", "cpu.cfs_quota_us = 5000"],
            ),
            (
                Cpu { realtime_runtime: Some(-1), realtime_period: Some(9), ..some() },
                &["cpu.rt_period_us = 9", "cpu.rt_runtime_us = -1"],
            ),
            (Cpu { shares: Some(9), idle: Some(true), ..some() }, &["cpu.idle = 1"]),
            (Cpu { shares: Some(9), idle: Some(false), ..some() }, &["cpu.idle = 0", "cpu.shares = 9"]),
        ];
        for (cpu, want) in cases {
            assert_eq!(lines(&writes(&Resources { cpu, ..Resources::default() })), want);
        }
    }
}
