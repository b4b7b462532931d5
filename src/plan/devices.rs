//! Device nodes and the links beside them (config-linux.md, Default Devices; runtime-linux.md, Dev symbolic links).

use oci_spec::runtime::{LinuxDeviceType, Spec};

use crate::device::{Device, DeviceType};
use crate::host::Host;
use crate::invalid::{Invalid, c_string};
use crate::mounts::relative;
use crate::namespaces::{Kind, Wanted};
use crate::source::{Attributes, Propagation, Source, Tree};
use crate::step::{MountPoint, Step, Target};
use crate::{Plan, Result};

const DEFAULT: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&std::ffi::CStr, &std::ffi::CStr); 5] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
];

/// The configured devices, then the default ones that were not configured, then the links. Nothing is made where
/// the configuration binds a /dev of its own.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host) -> Result<()> {
    let configured = configured(spec)?;
    let by_bind = wanted.has(Kind::User) || host.in_userns;
    let dev_is_bound = spec.mounts().iter().flatten().any(|mount| {
        relative(mount.destination()).as_os_str() == "dev"
            && mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
    });
    if dev_is_bound {
        return Ok(());
    }
    let default = DEFAULT.iter().map(|&(path, major, minor)| {
        let path = c_string("/linux/devices", &path[1..])?;
        Ok(Device { path, kind: DeviceType::Char, major, minor, mode: 0o666, uid: 0, gid: 0 })
    });
    let default: Vec<Device> = default.collect::<Result<_>>()?;
    let missing = default.into_iter().filter(|d| configured.iter().all(|c| c.path != d.path));
    for device in configured.iter().cloned().chain(missing) {
        plan_one(plan, device, by_bind);
    }
    for (to, at) in LINKS {
        plan.init.push(Step::Symlink { to: to.to_owned(), at: at.to_owned() });
    }
    Ok(())
}

fn plan_one(plan: &mut Plan, device: Device, by_bind: bool) {
    if !by_bind {
        plan.init.push(Step::Mknod(device));
        return;
    }
    let path = std::path::Path::new("/").join(String::from_utf8_lossy(device.path.as_bytes()).as_ref());
    let propagation = vec![Propagation { flag: libc::MS_PRIVATE, recursive: false }];
    let tree = Tree { path, recursive: false, attributes: Attributes::default(), propagation, idmap: None };
    let slot = plan.source(Source::Tree(tree));
    let target = Target { path: device.path, kind: MountPoint::File, no_symlinks: false };
    plan.init.push(Step::AttachTree { slot, target });
}

fn configured(spec: &Spec) -> Result<Vec<Device>> {
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
        Ok(Device {
            path: c_string(&at("path"), relative(device.path()).as_os_str().as_encoded_bytes())?,
            kind,
            major: number("major", device.major())?,
            minor: number("minor", device.minor())?,
            mode: device.file_mode().unwrap_or(0o666) & 0o7777,
            uid: device.uid().unwrap_or(0),
            gid: device.gid().unwrap_or(0),
        })
    };
    list.iter().enumerate().map(one).collect()
}
