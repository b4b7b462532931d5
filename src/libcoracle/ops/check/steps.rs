//! The other steps of the plan, and those of the parent: what the kernel would refuse, as far as that shows.

use std::path::Path;

use coracle_plan::hooks;
use coracle_plan::net_devices::NetDevice;
use coracle_plan::step::Step;
use coracle_plan::{HookKind, HostStep};
use coracle_sys::{Errno, describe};
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, faccessat};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::Case;
use super::finding::Findings;
use super::view::{Seen, is_there, path_of};

/// Looks at every step but mounts and the program.
pub fn check(case: &Case<'_>, findings: &mut Findings) {
    for step in &case.plan.init {
        match step {
            Step::Chdir(path) => directory(case, step, path_of(path), findings),
            Step::Sysctl { key, value, .. } => {
                sysctl(step, &key.to_string_lossy(), &value.to_string_lossy(), findings);
            }
            Step::Mknod(device) => {
                let inside = case.rootfs.join(path_of(&device.path));
                let covered = case.plan.init.iter().any(|step| matches!(step, Step::MountFs(mount) if path_of(&device.path).starts_with(path_of(&mount.target.path))));
                let Ok(there) = std::fs::symlink_metadata(inside) else { continue };
                let same = there.file_type().is_fifo() || there.rdev() == libc::makedev(device.major, device.minor);
                if !covered && (there.is_file() || there.is_dir() || there.is_symlink() || !same) {
                    let text = format!("{step}: something else is there already: {}", describe(Errno::EEXIST));
                    findings.error("/linux/devices", text);
                }
            }
            _ => {}
        }
    }
    for (_, step) in &case.plan.host {
        if let HostStep::NetDevices(devices) = step {
            net_devices(devices, findings);
        }
    }
    processors(case, findings);
    resctrl(case, findings);
    all_hooks(case, findings);
}

/// The working directory is made if it is not there.
fn directory(case: &Case<'_>, step: &Step, path: &Path, findings: &mut Findings) {
    let errno = match case.view.look(path) {
        Seen::There { metadata, .. } if !metadata.is_dir() => Errno::ENOTDIR,
        Seen::Failed(errno @ (Errno::ENOTDIR | Errno::ELOOP)) => errno,
        _ => return,
    };
    findings.error("/process/cwd", format!("{step}: {}", describe(errno)));
}

/// A parameter has the same name and form in every namespace.
fn sysctl(step: &Step, key: &str, value: &str, findings: &mut Findings) {
    let pointer = format!("/linux/sysctl/{}", key.replace('/', "."));
    let path = Path::new("/proc/sys").join(key);
    // An interface of the container need not be one of the host.
    let of_interface = key.contains("/conf/") || key.contains("/neigh/");
    if !is_there(&path) {
        let text = format!("{step}: {}", describe(Errno::ENOENT));
        let hint = "this kernel has no such parameter, or its module is not loaded";
        return if of_interface { findings.warn(&pointer, text) } else { findings.error_with(&pointer, text, hint) };
    }
    let numbers =
        |text: &str| !text.trim().is_empty() && text.split_whitespace().all(|word| word.parse::<i128>().is_ok());
    if std::fs::read_to_string(&path).is_ok_and(|text| numbers(&text)) && !numbers(value) {
        findings.error(&pointer, format!("{step}: {}: it takes numbers", describe(Errno::EINVAL)));
    }
}

fn net_devices(devices: &[NetDevice], findings: &mut Findings) {
    for device in devices {
        if !is_there(&Path::new("/sys/class/net").join(&device.host)) {
            let text = format!("move network device {}: the host has none of this name", device.host);
            findings.error(&format!("/linux/netDevices/{}", device.host), text);
        }
    }
}

/// Processors and memory nodes that are not there, and periods the scheduler does not take (sched-bwc.rst).
fn processors(case: &Case<'_>, findings: &mut Findings) {
    let resources = case.spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let Some(cpu) = resources.and_then(|resources| resources.cpu().as_ref()) else { return };
    let lists = [
        ("cpus", cpu.cpus(), "/sys/devices/system/cpu/online"),
        ("mems", cpu.mems(), "/sys/devices/system/node/online"),
    ];
    for (name, wanted, online) in lists {
        let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty()) else { continue };
        let there = std::fs::read_to_string(online).unwrap_or_else(|_| "0".to_owned());
        let missing = numbers(wanted).into_iter().find(|number| !numbers(&there).contains(number));
        if let Some(missing) = missing {
            let text =
                format!("set cpuset.{name} to {wanted}: there is no {missing} on this machine, only {}", there.trim());
            findings.error(&format!("/linux/resources/cpu/{name}"), text);
        }
    }
    const LEAST: u64 = 1_000;
    const MOST: u64 = 1_000_000;
    if let Some(period) = cpu.period().filter(|period| *period != 0 && !(LEAST..=MOST).contains(period)) {
        let text =
            format!("set the cpu period to {period}: {}: it is from {LEAST} to {MOST} µs", describe(Errno::EINVAL));
        findings.error("/linux/resources/cpu/period", text);
    }
    if let Some(quota) = cpu.quota().filter(|quota| (1..LEAST as i64).contains(quota)) {
        let text = format!("set the cpu quota to {quota}: {}: it is at least {LEAST} µs", describe(Errno::EINVAL));
        findings.error("/linux/resources/cpu/quota", text);
    }
}

/// The numbers of a list such as `0-3,7` that was found well-formed.
fn numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse::<usize>().ok()?.min(1 << 16))
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

fn resctrl(case: &Case<'_>, findings: &mut Findings) {
    let wanted = case.plan.host.iter().any(|(_, step)| matches!(step, HostStep::Rdt(_)));
    if wanted && let Err(error) = crate::rdt::root() {
        findings.failed("/linux/intelRdt", &error);
    }
}

/// Whether the programs of the hooks are there: on the host, but for those that run in the container.
fn all_hooks(case: &Case<'_>, findings: &mut Findings) {
    for kind in hooks::ALL {
        for (i, hook) in hooks::of(case.spec, kind).iter().enumerate() {
            let path = hook.path();
            let refused = match kind {
                HookKind::StartContainer => match case.view.look(path) {
                    Seen::Failed(errno) => Some(errno),
                    _ => None,
                },
                _ => executable(path).err(),
            };
            let Some(errno) = refused else { continue };
            let pointer = format!("/hooks/{}/{i}/path", kind.name());
            let text = format!("execute {}: {}", path.display(), describe(errno));
            // What becomes of these is only logged.
            if kind == HookKind::Poststop { findings.warn(&pointer, text) } else { findings.error(&pointer, text) }
        }
    }
}

fn executable(path: &Path) -> Result<(), Errno> {
    let metadata = std::fs::metadata(path).map_err(|error| super::view::errno(&error))?;
    if !metadata.is_file() {
        return Err(Errno::EACCES);
    }
    faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS)
}
