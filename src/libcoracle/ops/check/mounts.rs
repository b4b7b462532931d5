//! What is mounted: sources that are not there, places that do not fit, filesystems the kernel lacks.

use std::ffi::CStr;
use std::fmt::Display;
use std::os::fd::AsFd;
use std::path::Path;

use coracle_plan::source::{Source, Tree};
use coracle_plan::step::{FsMount, OnProc, Step, Target};
use coracle_sys::mount::{FsConfig, fs_message, fsconfig, fsopen};
use coracle_sys::{Errno, describe};
use nix::sys::statfs::{PROC_SUPER_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::Case;
use super::finding::Findings;
use super::kernel::{Filesystem, filesystem};
use super::view::{Seen, is_there, path_of};
use crate::prepare::try_out;

/// CAP_SYS_ADMIN
const SYS_ADMIN: u32 = 21;

/// Tries the sources of the plan, and looks at the place of each mount.
pub fn check(case: &Case<'_>, findings: &mut Findings) {
    for source in &case.plan.sources {
        if let Source::Tree(tree) = source
            && is_to_be_made(case, path_of(&tree.path))
        {
            continue;
        }
        if let Err(error) = try_out(source) {
            findings.failed(&pointer_of(case, source), &error);
        }
    }
    for step in &case.plan.init {
        match step {
            Step::OpenTree { tree, .. } => opened_by_child(case, tree, findings),
            Step::AttachTree { target, from, .. } => attached(case, step, target, path_of(from), findings),
            Step::MountFs(mount) => {
                placed(case, step, &mount.target, findings);
                if type_is_known(case, step, &mount.fstype, &mount.target, findings) {
                    configured(case, step, mount, findings);
                }
            }
            Step::MountOld(mount) => {
                placed(case, step, &mount.target, findings);
                type_is_known(case, step, &mount.fstype, &mount.target, findings);
            }
            _ => {}
        }
    }
}

/// The container's own cgroups are not there yet.
fn is_to_be_made(case: &Case<'_>, path: &Path) -> bool {
    case.cgroups.paths.values().any(|cgroup| cgroup == path)
}

fn pointer_of(case: &Case<'_>, source: &Source) -> String {
    match source {
        Source::Tree(tree) => from(case, path_of(&tree.path)),
        Source::Directory(_) => "/root/path".to_owned(),
        Source::Seccomp(_) => "/linux/seccomp".to_owned(),
        Source::Namespace { pointer, .. } => pointer.clone(),
        _ => String::new(),
    }
}

/// What in the configuration names the host's `path`.
fn from(case: &Case<'_>, path: &Path) -> String {
    if path == case.rootfs {
        return "/root/path".to_owned();
    }
    let mounts = case.spec.mounts().as_deref().unwrap_or_default();
    let named = mounts.iter().position(|mount| mount.source().as_ref().is_some_and(|s| case.bundle.join(s) == path));
    named.map_or_else(|| "/linux/devices".to_owned(), |i| format!("/mounts/{i}/source"))
}

/// What in the configuration names a mount point.
fn at(case: &Case<'_>, target: &Target) -> String {
    let path = Path::new("/").join(path_of(&target.path));
    let mounts = case.spec.mounts().as_deref().unwrap_or_default();
    let named =
        mounts.iter().rposition(|mount| Path::new("/").join(mount.destination()).components().eq(path.components()));
    named.map_or_else(|| "/mounts".to_owned(), |i| format!("/mounts/{i}"))
}

fn refused(step: &impl Display, errno: Errno) -> String {
    format!("{step}: {}", describe(errno))
}

/// A source that only the child can copy, being root of a user namespace by then.
fn opened_by_child(case: &Case<'_>, tree: &Tree, findings: &mut Findings) {
    let path = path_of(&tree.path);
    // Mounts of the container may cover what is inside of its root.
    if is_to_be_made(case, path) || path != case.rootfs && path.starts_with(case.rootfs) {
        return;
    }
    match std::fs::metadata(path).map_err(|error| super::view::errno(&error)) {
        Err(Errno::EACCES) => findings.warn(&from(case, path), refused(tree, Errno::EACCES)),
        Err(errno) => findings.error(&from(case, path), refused(tree, errno)),
        Ok(_) => {}
    }
}

/// A directory goes on a directory, anything else on a file.
fn attached(case: &Case<'_>, step: &Step, target: &Target, from: &Path, findings: &mut Findings) {
    let pointer = at(case, target);
    if target.on_proc != OnProc::Always && target.path.as_c_str() == c"proc" {
        let is_proc = statfs(from).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
        if !is_proc {
            findings.error(&format!("{pointer}/destination"), format!("{step}: only a procfs can be mounted on /proc"));
        }
        return;
    }
    let Ok(source) = std::fs::metadata(from) else { return };
    match case.view.look(&Path::new("/").join(path_of(&target.path))) {
        // The view shows what is mounted, so where that is the source itself, what is below is asked.
        Seen::There { host, .. } if host == from => beneath(case, step, target, source.is_dir(), findings),
        Seen::Failed(Errno::ENOTDIR) => findings.error(&pointer, refused(step, Errno::ENOTDIR)),
        _ => {}
    }
}

/// Whether the place is not one of the root filesystem alone: below another mount, or behind a link.
fn is_elsewhere(case: &Case<'_>, target: &Target) -> bool {
    let path = path_of(&target.path);
    let covers = case.plan.init.iter().filter_map(|step| match step {
        Step::AttachTree { target, .. } => Some(target),
        Step::MountFs(mount) => Some(&mount.target),
        Step::MountOld(mount) => Some(&mount.target),
        _ => None,
    });
    let mut covers = covers.map(|other| path_of(&other.path));
    covers.any(|other| other != path && path.starts_with(other))
        || link_below(case, &Path::new("/").join(path)).is_some()
}

fn beneath(case: &Case<'_>, step: &Step, target: &Target, directory: bool, findings: &mut Findings) {
    if is_elsewhere(case, target) {
        return;
    }
    let Ok(there) = std::fs::metadata(case.rootfs.join(path_of(&target.path))) else {
        return missing(case, step, target, findings);
    };
    if there.is_dir() != directory {
        findings.error(&at(case, target), refused(step, Errno::ENOTDIR));
    }
}

/// A place that is not there is made, where that can be done.
fn missing(case: &Case<'_>, step: &Step, target: &Target, findings: &mut Findings) {
    let read_only = statvfs(case.rootfs).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_RDONLY));
    if read_only && !is_elsewhere(case, target) && !is_there(&case.rootfs.join(path_of(&target.path))) {
        let text = format!("{step}: the root filesystem is on a read-only mount, and has no such place");
        findings.error(&format!("{}/destination", at(case, target)), text);
    }
}

/// proc and sysfs take no symbolic link on the way.
fn placed(case: &Case<'_>, step: &Step, target: &Target, findings: &mut Findings) {
    let path = Path::new("/").join(path_of(&target.path));
    let link = if target.no_symlinks { link_below(case, &path) } else { None };
    match link {
        Some(link) => {
            let text = format!("{step}: {} is a symbolic link in the root filesystem", link.display());
            findings.error(&format!("{}/destination", at(case, target)), text);
        }
        None => missing(case, step, target, findings),
    }
}

fn link_below(case: &Case<'_>, path: &Path) -> Option<std::path::PathBuf> {
    let inside = case.rootfs.join(path.strip_prefix("/").ok()?);
    let is_link = |path: &&Path| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let above = inside.ancestors().take_while(|path| *path != case.rootfs).find(is_link)?;
    Some(Path::new("/").join(above.strip_prefix(case.rootfs).ok()?))
}

/// What can be mounted in a user namespace (FS_USERNS_MOUNT of the kernel).
const BY_USERS: [&CStr; 12] = [
    c"proc", c"sysfs", c"tmpfs", c"ramfs", c"devpts", c"mqueue", c"cgroup", c"cgroup2", c"overlay", c"fuse", c"bpf",
    c"binder",
];

fn type_is_known(case: &Case<'_>, step: &Step, fstype: &CStr, target: &Target, findings: &mut Findings) -> bool {
    let name = fstype.to_string_lossy();
    let pointer = format!("{}/type", at(case, target));
    match filesystem(&name) {
        Filesystem::Missing => {
            let text = format!("{step}: {}", describe(Errno::ENODEV));
            let hint = format!("this kernel has no filesystem {name} (/proc/filesystems), and no module of it");
            findings.error_with(&pointer, text, &hint);
        }
        Filesystem::Module => {
            findings.warn(&pointer, format!("filesystem {name} is a module, which the kernel has to load first"));
        }
        Filesystem::There => {}
    }
    let in_userns = case.plan.namespaces & libc::CLONE_NEWUSER != 0 || case.host.in_userns;
    if in_userns && !BY_USERS.contains(&fstype) {
        findings.warn(&pointer, format!("{step}: the kernel may not allow it in a user namespace"));
    }
    filesystem(&name) == Filesystem::There
}

/// Those that are configured without a look at anything but their options.
const CONFIGURABLE: [&CStr; 5] = [c"proc", c"sysfs", c"tmpfs", c"devpts", c"mqueue"];

/// Has the kernel read the options of a filesystem that is then not made.
fn configured(case: &Case<'_>, step: &Step, mount: &FsMount, findings: &mut Findings) {
    if !case.host.capable(SYS_ADMIN) || case.host.in_userns || !CONFIGURABLE.contains(&mount.fstype.as_c_str()) {
        return;
    }
    let Ok(context) = fsopen(&mount.fstype) else { return };
    for (key, value) in &mount.params {
        let setting = match value {
            Some(value) => FsConfig::String(key, value),
            None => FsConfig::Flag(key),
        };
        if let Err(errno) = fsconfig(context.as_fd(), setting) {
            let mut buf = [0; 200];
            let n = fs_message(context.as_fd(), &mut buf);
            let said = String::from_utf8_lossy(&buf[..n]).trim().to_owned();
            let said = if said.is_empty() { said } else { format!(": {said}") };
            let text = format!("{step}{said}: {}", describe(errno));
            return findings.error(&format!("{}/options", at(case, &mount.target)), text);
        }
    }
}
