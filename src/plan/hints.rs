//! One helpful sentence where users get stuck.

use coracle_sys::Errno;

use crate::step::Step;

/// What to try when `step` failed with `errno`.
pub fn hint(step: &Step, errno: Errno) -> Option<&'static str> {
    match (step, errno) {
        (Step::MountFs(mount), Errno::EPERM) if mount.fstype.as_c_str() == c"proc" => Some(
            "in a user namespace procfs takes a pid namespace of its own, and a host whose /proc is not partly covered, as in a container",
        ),
        (Step::MountFs(mount), Errno::ELOOP | Errno::ENOTDIR) if mount.target.no_symlinks => {
            Some("proc and sysfs must be mounted on an ordinary directory, with no symbolic link on the way")
        }
        (Step::JoinAll { .. }, Errno::EPERM) => {
            Some("nobody but root can enter a container that is created and not started: start it first")
        }
        (Step::Join { .. }, Errno::EPERM) => {
            Some("without privilege a namespace is joined together with the user namespace that owns it")
        }
        (Step::Seccomp(_), Errno::EACCES) => Some("set process.noNewPrivileges, or run as root"),
        (Step::Label { attribute, .. }, Errno::ENOENT) if attribute.as_c_str() == c"self/attr/apparmor/exec" => {
            Some("no such AppArmor profile is loaded; apparmor_parser --replace FILE loads one")
        }
        (Step::Scheduler(attr), Errno::EPERM) if matches!(attr.policy, 1 | 2) => Some(
            "its cgroup may have no real-time time: set linux.resources.cpu.realtimeRuntime on the groups above it",
        ),
        (Step::Pivot, Errno::EINVAL) => Some("a root filesystem in an initramfs needs --no-pivot"),
        _ => None,
    }
}
