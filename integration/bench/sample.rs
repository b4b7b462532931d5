//! One measured run of a program, and what many of them have in common.

use serde_json::{Value, json};

/// As the floor program's `measure` says it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub wall_ns: u64,
    pub cpu_us: u64,
    pub faults: u64,
    pub switches: u64,
    pub peak_kib: u64,
}

impl Sample {
    /// Of the last line of what was said; none when the program failed.
    pub fn read(text: &str) -> Option<Sample> {
        let numbers: Vec<u64> = text.lines().last()?.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [wall_ns, user, system, faults, waits, preempted, peak_kib, status] = numbers.try_into().ok()?;
        let (cpu_us, switches) = (user + system, waits + preempted);
        (status == 0).then_some(Sample { wall_ns, cpu_us, faults, switches, peak_kib })
    }
}

/// The middle of a list, a tenth of which is less than `low` and a tenth more than `high`.
pub fn spread(mut list: Vec<f64>) -> Option<(f64, f64, f64)> {
    list.sort_by(f64::total_cmp);
    let at = |part: f64| list.get(((list.len().saturating_sub(1)) as f64 * part).round() as usize).copied();
    Some((at(0.5)?, at(0.1)?, at(0.9)?))
}

fn three(digits: f64) -> f64 {
    (digits * 1000.0).round() / 1000.0
}

/// Medians, with the spread of the times.
pub fn summary(samples: &[Sample]) -> Option<Value> {
    let of = |number: &dyn Fn(&Sample) -> f64| spread(samples.iter().map(number).collect());
    let (wall, low, high) = of(&|sample| sample.wall_ns as f64 / 1e6)?;
    let (cpu, cpu_low, _) = of(&|sample| sample.cpu_us as f64 / 1e3)?;
    Some(json!({
        "wall_ms": three(wall), "wall_low_ms": three(low), "wall_high_ms": three(high),
        "cpu_ms": three(cpu), "cpu_low_ms": three(cpu_low),
        "faults": of(&|sample| sample.faults as f64)?.0,
        "switches": of(&|sample| sample.switches as f64)?.0,
        "peak_kib": of(&|sample| sample.peak_kib as f64)?.0,
        "samples": samples.len(),
    }))
}
