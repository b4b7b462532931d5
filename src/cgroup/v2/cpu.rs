//! Processor time: a weight among the siblings, and a bound in each period.

use crate::resources::Resources;
use crate::write::Write;

/// What the kernel starts with, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let cpu = &r.cpu;
    let mut writes = Vec::new();
    if let Some(idle) = cpu.idle {
        let write = Write::new("cpu.idle", u8::from(idle));
        writes.push(if idle { write } else { write.optional() });
    }
    // An idle cgroup has the least weight, and the kernel refuses to be told another.
    if let Some(shares) = cpu.shares.filter(|_| cpu.idle != Some(true)) {
        writes.push(Write::new("cpu.weight", weight(shares)));
    }
    if let Some(burst) = cpu.burst {
        let write = Write::new("cpu.max.burst", burst).later_if_refused();
        writes.push(if burst == 0 { write.optional() } else { write });
    }
    if cpu.quota.is_some() || cpu.period.is_some() {
        let quota = cpu.quota.filter(|quota| *quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        let period = cpu.period.unwrap_or(DEFAULT_PERIOD);
        writes.push(Write::new("cpu.max", format!("{quota} {period}")));
    }
    writes
}

/// The weight, 1 to 10000, for v1's shares, 2 to 262144. A curve through (2, 1), (1024, 100) and (262144, 10000): each
/// end and each default meet.
pub(crate) fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Cpu;
    use crate::write::lines;

    #[test]
    fn shares_to_weight() {
        for (shares, want) in [
            (1, 1),
            (2, 1),
            (3, 2),
            (256, 35),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (10_000, 627),
            (262_143, 10_000),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), want, "{shares}");
        }
    }

    #[test]
    fn table() {
        let some = Cpu::default;
        let cases: [(Cpu, &[&str]); 9] = [
            (some(), &[]),
            (Cpu { shares: Some(1024), ..some() }, &["cpu.weight = 100"]),
            (Cpu { quota: Some(50_000), ..some() }, &["cpu.max = 50000 100000"]),
            (Cpu { quota: Some(-1), ..some() }, &["cpu.max = max 100000"]),
            (Cpu { period: Some(20_000), ..some() }, &["cpu.max = max 20000"]),
            (Cpu { quota: Some(5_000), period: Some(20_000), ..some() }, &["cpu.max = 5000 20000"]),
            (Cpu { quota: Some(5_000), burst: Some(7), ..some() }, &["cpu.max.burst = 7", "cpu.max = 5000 100000"]),
            (Cpu { shares: Some(9), idle: Some(true), ..some() }, &["cpu.idle = 1"]),
            (Cpu { shares: Some(2), idle: Some(false), ..some() }, &["cpu.idle = 0", "cpu.weight = 1"]),
        ];
        for (cpu, want) in cases {
            assert_eq!(lines(&writes(&Resources { cpu, ..Resources::default() })), want);
        }
    }
}
