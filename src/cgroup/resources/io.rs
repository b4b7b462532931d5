//! `blockIO`: shares of the disks' time, and bounds on their use.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice};

use super::{home, nonzero};
use crate::error::Invalid;
use crate::layout::{Home, Layout};

/// Limits on block devices. Weights are in v1's scale, 10 to 1000.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Io {
    pub weight: Option<u16>,
    /// v1 only.
    pub leaf_weight: Option<u16>,
    pub weight_devices: Vec<WeightDevice>,
    pub read_bps: Vec<Throttle>,
    pub write_bps: Vec<Throttle>,
    pub read_iops: Vec<Throttle>,
    pub write_iops: Vec<Throttle>,
}

/// Weights for one device, `major:minor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightDevice {
    pub device: String,
    pub weight: Option<u16>,
    /// v1 only.
    pub leaf_weight: Option<u16>,
}

/// A bound for one device, `major:minor`, per second; 0 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Throttle {
    pub device: String,
    pub rate: u64,
}

pub(super) fn parse(from: &LinuxBlockIo, layout: &Layout) -> Result<Io, Invalid> {
    let throttles = |name: &str, list: &Option<Vec<LinuxThrottleDevice>>| -> Result<Vec<Throttle>, Invalid> {
        let list = list.as_deref().unwrap_or_default();
        list.iter().enumerate().map(|(i, t)| throttle(&format!("blockIO/{name}/{i}"), t, layout)).collect()
    };
    let devices = from.weight_device().as_deref().unwrap_or_default();
    Ok(Io {
        weight: weight("blockIO/weight", from.weight(), layout)?,
        leaf_weight: leaf("blockIO/leafWeight", from.leaf_weight(), layout)?,
        weight_devices: devices
            .iter()
            .enumerate()
            .map(|(i, device)| {
                let field = format!("blockIO/weightDevice/{i}");
                let to = WeightDevice {
                    device: number(&field, device.major(), device.minor())?,
                    weight: weight(&format!("{field}/weight"), device.weight(), layout)?,
                    leaf_weight: leaf(&format!("{field}/leafWeight"), device.leaf_weight(), layout)?,
                };
                match (to.weight, to.leaf_weight) {
                    (None, None) => Err(Invalid::new(&field, "needs weight or leafWeight")),
                    _ => Ok(to),
                }
            })
            .collect::<Result<_, _>>()?,
        read_bps: throttles("throttleReadBpsDevice", from.throttle_read_bps_device())?,
        write_bps: throttles("throttleWriteBpsDevice", from.throttle_write_bps_device())?,
        read_iops: throttles("throttleReadIOPSDevice", from.throttle_read_iops_device())?,
        write_iops: throttles("throttleWriteIOPSDevice", from.throttle_write_iops_device())?,
    })
}

fn weight(field: &str, value: Option<u16>, layout: &Layout) -> Result<Option<u16>, Invalid> {
    let Some(value) = nonzero(value) else { return Ok(None) };
    home(layout, "blkio", field)?;
    match value {
        10..=1000 => Ok(Some(value)),
        _ => Err(Invalid::new(field, format!("{value} is not in the range 10 to 1000"))),
    }
}

fn leaf(field: &str, value: Option<u16>, layout: &Layout) -> Result<Option<u16>, Invalid> {
    let value = weight(field, value, layout)?;
    match value {
        Some(_) if layout.home("blkio") == Some(Home::V2) => Err(Invalid::new(field, "cgroup v2 has no such setting")),
        _ => Ok(value),
    }
}

fn throttle(field: &str, from: &LinuxThrottleDevice, layout: &Layout) -> Result<Throttle, Invalid> {
    home(layout, "blkio", field)?;
    Ok(Throttle { device: number(field, from.major(), from.minor())?, rate: from.rate() })
}

fn number(field: &str, major: i64, minor: i64) -> Result<String, Invalid> {
    if major < 0 || minor < 0 {
        return Err(Invalid::new(field, format!("{major}:{minor} is not the number of a device")));
    }
    Ok(format!("{major}:{minor}"))
}

#[cfg(test)]
impl Io {
    /// A bound of each kind, for the tables of both versions: 1, 2 and 3, and none.
    pub fn throttled() -> Io {
        let bound = |rate| vec![Throttle { device: "8:0".into(), rate }];
        Io { read_bps: bound(1), write_bps: bound(2), read_iops: bound(3), write_iops: bound(0), ..Io::default() }
    }
}
