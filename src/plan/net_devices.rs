//! Network interfaces of the host that move into the container (config-linux.md, Network Devices).

use oci_spec::runtime::Spec;

use crate::capabilities::NET_ADMIN;
use crate::host::Host;
use crate::host_step::HostStep;
use crate::invalid::{Invalid, escape};
use crate::namespaces::{Kind, Wanted};
use crate::step::Point;
use crate::{Plan, Result};

const AT: &str = "/linux/netDevices";

/// An interface, and what it is called in the container: a name, or a template (`eth%d`) the kernel completes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetDevice {
    pub host: String,
    pub container: String,
}

/// Plans the move of every interface of `linux.netDevices`, sorted by name.
///
/// # Errors
/// No network namespace to move to, no privilege, or a name the kernel would not take.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host) -> Result<()> {
    let map = spec.linux().as_ref().and_then(|l| l.net_devices().as_ref()).filter(|map| !map.is_empty());
    let Some(map) = map else { return Ok(()) };
    if !wanted.has(Kind::Network) {
        return Err(Invalid::new(AT, "needs a network namespace"));
    }
    if !host.capable(NET_ADMIN) {
        return Err(Invalid::new(AT, "cannot be moved without privilege"));
    }
    let mut devices: Vec<NetDevice> = Vec::new();
    let mut names: Vec<_> = map.keys().collect();
    names.sort();
    for name in names {
        let pointer = format!("{AT}/{}", escape(name));
        if let Some(problem) = wrong(name, false) {
            return Err(Invalid::new(pointer, format!("\"{name}\" {problem}")));
        }
        let target = map[name].name().as_deref().filter(|name| !name.is_empty()).unwrap_or(name);
        if let Some(problem) = wrong(target, true) {
            return Err(Invalid::new(format!("{pointer}/name"), format!("\"{target}\" {problem}")));
        }
        if !target.contains('%') && devices.iter().any(|device| device.container == target) {
            return Err(Invalid::new(format!("{pointer}/name"), format!("\"{target}\" is given twice")));
        }
        devices.push(NetDevice { host: name.clone(), container: target.to_owned() });
    }
    plan.network_not_ours(AT);
    plan.host.push((Point::Joined, HostStep::NetDevices(devices)));
    Ok(())
}

/// What dev_valid_name() of the kernel has against a name, and dev_alloc_name() against a template.
fn wrong(name: &str, template: bool) -> Option<&'static str> {
    // IFNAMSIZ with the null byte.
    const MOST: usize = 15;
    let plain = if template { name.replacen("%d", "", 1) } else { name.to_owned() };
    match name {
        "" => Some("is empty"),
        "." | ".." => Some("is not the name of an interface"),
        _ if name.len() > MOST => Some("is longer than 15 bytes"),
        _ if name.contains(|c: char| c == '/' || c == ':' || c == '\0' || c.is_ascii_whitespace()) => {
            Some("is not the name of an interface")
        }
        _ if plain.contains('%') => Some("has a % other than one %d"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_templates() {
        for (name, template, good) in [
            ("eth0", false, true),
            ("eth%d", true, true),
            ("eth%d", false, false),
            ("eth%d%d", true, false),
            ("eth%s", true, false),
            ("", true, false),
            ("..", true, false),
            ("a/b", true, false),
            ("a:b", true, false),
            ("a b", true, false),
            ("123456789012345", true, true),
            ("1234567890123456", true, false),
        ] {
            assert_eq!(wrong(name, template).is_none(), good, "{name}");
        }
    }
}
