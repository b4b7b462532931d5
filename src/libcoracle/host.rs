//! What this machine is like, for the planner.

use coracle_cgroup::Layout;
use coracle_plan::Host;
use coracle_plan::host::CgroupMode;
use nix::unistd::{getegid, geteuid};

use crate::error::{Error, Kind, Result};

/// Probes this process and the machine.
pub fn probe(layout: &Layout) -> Result<Host> {
    let own = caps::read(None, caps::CapSet::Effective)
        .map_err(|e| Error::new(Kind::InvalidState, format!("read own capabilities: {e}")))?;
    let capabilities = own.iter().fold(0, |mask, cap| mask | cap.bitmask());
    let _ = layout;
    Ok(Host {
        euid: geteuid().as_raw(),
        egid: getegid().as_raw(),
        in_userns: in_userns(),
        capabilities,
        bounding: capabilities,
        last_capability: 40,
        cgroup: CgroupMode::V2,
        apparmor: false,
        selinux: false,
        hierarchies: Vec::new(),
    })
}

/// Whether this process is in a user namespace other than the initial one (user_namespaces(7)).
fn in_userns() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}
