//! The parts of `linux.resources` that are one value or a list of pairs.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::{Limit, home, nonzero, unavailable};
use crate::error::Invalid;
use crate::layout::{Home, Layout, Mode};

/// Limits on one RDMA device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rdma {
    pub device: String,
    pub handles: Option<u32>,
    pub objects: Option<u32>,
}

/// A list such as `0-3,8` of processors or memory nodes; an empty one leaves them as they are.
pub(super) fn set(field: &str, value: Option<&str>, layout: &Layout) -> Result<Option<String>, Invalid> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    home(layout, "cpuset", field)?;
    if !value.bytes().all(|b| b.is_ascii_digit() || b",-: ".contains(&b)) {
        return Err(Invalid::new(field, format!("{value:?} is not a list such as 0-3,8")));
    }
    Ok(Some(value.to_owned()))
}

/// A limit of 0 is 1: the container's first process counts already.
pub(super) fn pids(limit: i64, layout: &Layout) -> Result<Limit, Invalid> {
    home(layout, "pids", "pids/limit")?;
    Ok(u64::try_from(limit).map_or(Limit::Max, |limit| Limit::To(limit.max(1))))
}

pub(super) fn hugepages(from: &[LinuxHugepageLimit], layout: &Layout) -> Result<Vec<(String, Limit)>, Invalid> {
    let limits = from.iter().enumerate().map(|(i, from)| {
        let field = format!("hugepageLimits/{i}/pageSize");
        home(layout, "hugetlb", &field)?;
        let size = page_size(from.page_size()).ok_or_else(|| {
            Invalid::new(&field, format!("{:?} is not a size such as 64KB, 2MB or 1GB", from.page_size()))
        })?;
        Ok((size, Limit::parse(&format!("hugepageLimits/{i}/limit"), from.limit())?))
    });
    limits.collect()
}

/// The kernel's name for the page size `text`, `2MB` for `2048KB` too.
pub(crate) fn page_size(text: &str) -> Option<String> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let shift = match &text[unit..] {
        "KB" => 0,
        "MB" => 10,
        "GB" => 20,
        _ => return None,
    };
    let kilobytes = text[..unit].parse::<u64>().ok()?.checked_mul(1 << shift)?;
    if !kilobytes.is_power_of_two() {
        return None;
    }
    Some(match kilobytes {
        0..1024 => format!("{kilobytes}KB"),
        1024..0x10_0000 => format!("{}MB", kilobytes >> 10),
        _ => format!("{}GB", kilobytes >> 20),
    })
}

type Network = (Option<u32>, Vec<(String, u32)>);

pub(super) fn network(from: &LinuxNetwork, layout: &Layout) -> Result<Network, Invalid> {
    let class_id = nonzero(from.class_id());
    if class_id.is_some() {
        v1_only(layout, "net_cls", "network/classID")?;
    }
    let priorities = from.priorities().as_deref().unwrap_or_default().iter().enumerate().map(|(i, from)| {
        let field = format!("network/priorities/{i}/name");
        v1_only(layout, "net_prio", &field)?;
        if from.name().is_empty() || from.name().contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(Invalid::new(&field, format!("{:?} is not the name of an interface", from.name())));
        }
        Ok((from.name().clone(), from.priority()))
    });
    Ok((class_id, priorities.collect::<Result<_, _>>()?))
}

fn v1_only(layout: &Layout, controller: &str, field: &str) -> Result<(), Invalid> {
    match layout.home(controller) {
        Some(Home::V1) => Ok(()),
        _ if layout.mode() == Mode::V2 => Err(Invalid::new(field, "cgroup v2 has no such setting")),
        _ => Err(unavailable(controller, field)),
    }
}

pub(super) fn rdma(from: &HashMap<String, LinuxRdma>, layout: &Layout) -> Result<Vec<Rdma>, Invalid> {
    let mut to = Vec::new();
    for (device, limits) in from {
        let field = format!("rdma/{}", escaped(device));
        home(layout, "rdma", &field)?;
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Invalid::new(&field, "is not the name of a device"));
        }
        let limits = Rdma { device: device.clone(), handles: limits.hca_handles(), objects: limits.hca_objects() };
        if limits.handles.is_none() && limits.objects.is_none() {
            return Err(Invalid::new(&field, "needs hcaHandles or hcaObjects"));
        }
        to.push(limits);
    }
    to.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(to)
}

/// Files of the cgroup and their values; in the order of their names.
pub(super) fn unified(from: &HashMap<String, String>, layout: &Layout) -> Result<Vec<(String, String)>, Invalid> {
    let mut to: Vec<_> = from.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    to.sort();
    for (key, _) in &to {
        let field = format!("unified/{}", escaped(key));
        let Some(unified) = layout.unified.as_ref().filter(|_| layout.mode() == Mode::V2) else {
            return Err(Invalid::new(&field, "can only be set on a host with cgroup v2 alone"));
        };
        if key.is_empty() || key.contains(['/', '\0']) || key == "." || key == ".." {
            return Err(Invalid::new(&field, "is not the name of a file in the cgroup"));
        }
        let controller = key.split('.').next().unwrap_or(key);
        if controller != "cgroup" && !unified.controllers.iter().any(|c| c == controller) {
            return Err(Invalid::new(&field, format!("controller {controller:?} not available")));
        }
    }
    Ok(to)
}

/// A key as it stands in a JSON pointer (RFC 6901).
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes() {
        let cases = [
            ("2MB", Some("2MB")),
            ("2048KB", Some("2MB")),
            ("64KB", Some("64KB")),
            ("1GB", Some("1GB")),
            ("1024MB", Some("1GB")),
            ("16GB", Some("16GB")),
            ("3MB", None),
            ("0KB", None),
            ("2M", None),
            ("2mb", None),
            ("MB", None),
            ("", None),
            ("-2MB", None),
            ("2 MB", None),
            ("18446744073709551615GB", None),
        ];
        for (given, want) in cases {
            assert_eq!(page_size(given).as_deref(), want, "{given}");
        }
    }
}
