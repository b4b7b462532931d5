//! Device nodes and the links beside them (config-linux.md, Default Devices; runtime-linux.md, Dev symbolic links).

use std::ffi::CStr;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceType, Mount, Spec};

use crate::device::{Device, DeviceType, Link};
use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::mounts::{opened_by_child, relative};
use crate::namespaces::{Kind, Wanted};
use crate::source::{Source, Tree};
use crate::step::Step;
use crate::target::{MountPoint, OnProc, Place, Target};
use crate::{Plan, Result};

const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// Each with what it leads to (runtime-linux.md, Dev symbolic links).
const LINKS: [(&CStr, &CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"dev/fd", c"proc/self/fd"),
    (c"/proc/self/fd/0", c"dev/stdin", c"proc/self/fd/0"),
    (c"/proc/self/fd/1", c"dev/stdout", c"proc/self/fd/1"),
    (c"/proc/self/fd/2", c"dev/stderr", c"proc/self/fd/2"),
    (c"/proc/kcore", c"dev/core", c"proc/kcore"),
];

/// The configured devices, then the default ones that were not configured, then the links. Nothing is made where
/// the configuration binds a /dev of its own.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host) -> Result<()> {
    let configured = configured(spec, wanted, host)?;
    if mounted(spec, "dev", |mount| {
        mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
    }) {
        return Ok(());
    }
    let default = DEFAULT.iter().map(|&(path, major, minor)| {
        let (on_host, path) = (c_string("/linux/devices", path)?, c_string("/linux/devices", &path[1..])?);
        let chown = host.egid != 0 && !wanted.has(Kind::User);
        Ok(Device { path, host: on_host, kind: DeviceType::Char, major, minor, mode: 0o666, uid: 0, gid: 0, chown })
    });
    let default: Vec<Device> = default.collect::<Result<_>>()?;
    let missing = default.into_iter().filter(|d| configured.iter().all(|c| c.path != d.path));
    let by_bind = wanted.has(Kind::User) || host.in_userns || !host.capable(MKNOD);
    for device in configured.iter().cloned().chain(missing) {
        one(plan, wanted, host, device, by_bind)?;
    }
    let proc_is_mounted = mounted(spec, "proc", |_| true);
    for (to, at, needs) in LINKS {
        // Every procfs has the first four.
        let certain = proc_is_mounted && to != c"/proc/kcore";
        let needs = (!certain).then(|| needs.to_owned());
        plan.init.push(Step::Symlink(Link { to: to.to_owned(), at: at.to_owned(), needs, replace: false }));
    }
    let (to, at) = (c"pts/ptmx".to_owned(), c"dev/ptmx".to_owned());
    plan.init.push(Step::Symlink(Link { to, at, needs: None, replace: true }));
    Ok(())
}

/// Capability 27 (capabilities(7)).
const MKNOD: u32 = 27;

/// Whether something is mounted on `path`, relative to the root, that fulfils `which`.
fn mounted(spec: &Spec, path: &str, which: impl Fn(&Mount) -> bool) -> bool {
    spec.mounts().iter().flatten().any(|mount| relative(mount.destination()).as_os_str() == path && which(mount))
}

/// A node, or the host's one where the kernel lets nobody make nodes; a fifo anybody may make.
fn one(plan: &mut Plan, wanted: &Wanted, host: &Host, device: Device, by_bind: bool) -> Result<()> {
    if !by_bind || device.kind == DeviceType::Fifo {
        plan.init.push(Step::Mknod(device));
        return Ok(());
    }
    if !wanted.has(Kind::Mount) {
        return Err(Invalid::new("/linux/devices", "device nodes need CAP_MKNOD, or a mount namespace"));
    }
    let from = device.host.clone();
    let tree = Tree::private(from.clone());
    let target =
        Target { path: device.path, kind: MountPoint::File, no_symlinks: false, itself: false, on_proc: OnProc::Never };
    if opened_by_child(wanted, host) {
        let slot = plan.source(Source::ByChild);
        plan.init.push(Step::OpenTree { slot, tree: Box::new(tree) });
        plan.init.push(Step::AttachTree { slot, target, from, copy_link: false });
    } else {
        let slot = plan.source(Source::Tree(tree));
        plan.init.push(Step::AttachTree { slot, target, from, copy_link: false });
    }
    Ok(())
}

fn configured(spec: &Spec, wanted: &Wanted, host: &Host) -> Result<Vec<Device>> {
    let list = spec.linux().as_ref().and_then(|l| l.devices().as_deref()).unwrap_or_default();
    let one = |(i, device): (usize, &oci_spec::runtime::LinuxDevice)| {
        let at = |field: &str| format!("/linux/devices/{i}/{field}");
        let kind = match device.typ() {
            LinuxDeviceType::C | LinuxDeviceType::U => DeviceType::Char,
            LinuxDeviceType::B => DeviceType::Block,
            LinuxDeviceType::P => DeviceType::Fifo,
            LinuxDeviceType::A => return Err(Invalid::new(at("type"), "must be c, b, u or p")),
        };
        let number = |field: &str, value: i64| {
            u32::try_from(value).map_err(|_| Invalid::new(at(field), format!("{value} is not a device number")))
        };
        let path = relative(device.path());
        if path.as_os_str().is_empty() || Place::of(path.as_os_str().as_encoded_bytes()) != Place::Ordinary {
            return Err(Invalid::new(at("path"), "is no place for a device"));
        }
        let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
        let foreign = (uid, gid) != (0, 0) || host.egid != 0 && !wanted.has(Kind::User);
        Ok(Device {
            host: c_string(&at("path"), Path::new("/").join(&path).as_os_str().as_encoded_bytes())?,
            path: c_string(&at("path"), path.as_os_str().as_encoded_bytes())?,
            kind,
            major: number("major", device.major())?,
            minor: number("minor", device.minor())?,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid,
            gid,
            chown: foreign,
        })
    };
    list.iter().enumerate().map(one).collect()
}
