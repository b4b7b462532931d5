//! Disks: weights among the siblings, and bounds for each device.

use crate::resources::Resources;
use crate::write::Write;

pub(crate) fn writes(r: &Resources) -> Vec<Write> {
    let io = &r.io;
    let mut writes = Vec::new();
    // The files are those of CFQ on old kernels, of BFQ on others.
    let weight = |file: &str, value: String| {
        let bfq = Write::new(format!("blkio.bfq.{file}"), &value);
        Write::new(format!("blkio.{file}"), value).or(bfq)
    };
    if let Some(value) = io.weight {
        writes.push(weight("weight", value.to_string()));
    }
    if let Some(value) = io.leaf_weight {
        writes.push(Write::new("blkio.leaf_weight", value));
    }
    for device in &io.weight_devices {
        if let Some(value) = device.weight {
            writes.push(weight("weight_device", format!("{} {value}", device.device)));
        }
        if let Some(value) = device.leaf_weight {
            writes.push(Write::new("blkio.leaf_weight_device", format!("{} {value}", device.device)));
        }
    }
    let bounds = [
        ("read_bps", &io.read_bps),
        ("write_bps", &io.write_bps),
        ("read_iops", &io.read_iops),
        ("write_iops", &io.write_iops),
    ];
    for (name, list) in bounds {
        writes.extend(list.iter().map(|bound| {
            Write::new(format!("blkio.throttle.{name}_device"), format!("{} {}", bound.device, bound.rate))
        }));
    }
    writes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::{Io, WeightDevice};
    use crate::write::lines;

    #[test]
    fn table() {
        let io = Io {
            weight: Some(300),
            leaf_weight: Some(20),
            weight_devices: vec![WeightDevice { device: "8:16".into(), weight: Some(30), leaf_weight: Some(40) }],
            ..Io::throttled()
        };
        assert_eq!(
            lines(&writes(&Resources { io, ..Resources::default() })),
            [
                "blkio.weight = 300",
                "blkio.leaf_weight = 20",
                "blkio.weight_device = 8:16 30",
                "blkio.leaf_weight_device = 8:16 40",
                "blkio.throttle.read_bps_device = 8:0 1",
                "blkio.throttle.write_bps_device = 8:0 2",
                "blkio.throttle.read_iops_device = 8:0 3",
                "blkio.throttle.write_iops_device = 8:0 0"
            ]
        );
    }
}
