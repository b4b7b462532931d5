//! Disks: a weight among the siblings, and bounds for each device.

use crate::resources::{Io, Resources, Throttle};
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let io = &r.io;
    let mut writes = Vec::new();
    if let Some(weight) = io.weight {
        // BFQ takes v1's scale as it is. Where it is not in use the weights of iocost may be.
        writes.push(Write::new("io.bfq.weight", weight).or(Write::new("io.weight", converted(weight))));
    }
    for device in &io.weight_devices {
        if let Some(weight) = device.weight {
            let other = Write::new("io.weight", format!("{} {}", device.device, converted(weight)));
            writes.push(Write::new("io.bfq.weight", format!("{} {weight}", device.device)).or(other));
        }
    }
    for (name, list) in bounds(io) {
        writes.extend(list.iter().map(|bound| {
            let rate = if bound.rate == 0 { "max".to_owned() } else { bound.rate.to_string() };
            Write::new("io.max", format!("{} {name}={rate}", bound.device))
        }));
    }
    writes
}

fn bounds(io: &Io) -> [(&'static str, &[Throttle]); 4] {
    [("rbps", &io.read_bps), ("wbps", &io.write_bps), ("riops", &io.read_iops), ("wiops", &io.write_iops)]
}

/// 10 to 1000 spread over 1 to 10000.
fn converted(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::WeightDevice;
    use crate::write::lines;

    #[test]
    fn weights() {
        for (weight, want) in [(10, 1), (11, 11), (100, 910), (500, 4950), (1000, 10_000)] {
            assert_eq!(converted(weight), want, "{weight}");
        }
    }

    #[test]
    fn table() {
        let io = Io {
            weight: Some(300),
            leaf_weight: None,
            weight_devices: vec![WeightDevice { device: "8:16".into(), weight: Some(20), leaf_weight: None }],
            ..Io::throttled()
        };
        assert_eq!(
            lines(&writes(&Resources { io, ..Resources::default() })),
            [
                "io.bfq.weight = 300",
                "io.bfq.weight = 8:16 20",
                "io.max = 8:0 rbps=1",
                "io.max = 8:0 wbps=2",
                "io.max = 8:0 riops=3",
                "io.max = 8:0 wiops=max"
            ]
        );
    }
}
