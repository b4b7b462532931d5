//! This machine and the caller's rights on it: what it has, and what it lacks of what this build can do.

use std::path::Path;

use coracle_cgroup::{Driver, Layout, Mode};
use coracle_plan::Host;
use coracle_plan::namespaces::Kind;

use super::finding::Findings;
use super::kernel::{self, Filesystem, filesystem};
use super::rights::{program_in_path, subordinate, unprivileged_user_namespaces};
use super::view::is_there;
use crate::ops::features::CAPABILITIES;

/// Every fact, as a note, a warning or an error.
pub fn all(layout: &Layout, host: &Host, findings: &mut Findings) {
    findings.note("kernel", format!("Linux {} on {}", kernel::release(), std::env::consts::ARCH));
    kernel::check(findings);
    caller(host, findings);
    cgroups(layout, host, findings);
    namespaces(host, findings);
    security(host, findings);
    filesystems(findings);
    programs(host, findings);
}

fn caller(host: &Host, findings: &mut Findings) {
    let inside = if host.in_userns { " in a user namespace" } else { "" };
    findings.note("caller", format!("uid {}{inside}", host.euid));
    if host.euid != 0 {
        return;
    }
    let lacks: Vec<&str> =
        CAPABILITIES.iter().enumerate().filter(|(i, _)| !host.capable(*i as u32)).map(|(_, name)| *name).collect();
    if !lacks.is_empty() {
        findings.warn("caller", format!("lacks {}: containers cannot have them either", lacks.join(", ")));
    }
}

/// The controllers that limits of the configuration need, in the words of v1.
const CONTROLLERS: [&str; 8] = ["cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "devices", "freezer"];

fn cgroups(layout: &Layout, host: &Host, findings: &mut Findings) {
    let text = match layout.mode() {
        Mode::Absent => "none are mounted on /sys/fs/cgroup".to_owned(),
        Mode::V1 => "version 1".to_owned(),
        Mode::V2 => "version 2".to_owned(),
        Mode::Hybrid => "version 1, and one of version 2 beside it".to_owned(),
    };
    findings.note("cgroups", text);
    let lacks: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|name| !(layout.has(name) || *name == "freezer" && layout.unified().is_some()))
        .collect();
    if !lacks.is_empty() {
        findings.warn("cgroups", format!("no controller {}: limits of it are refused", lacks.join(", ")));
    }
    let rootless = host.euid != 0 || host.in_userns;
    match coracle_cgroup::foresee(layout, Driver::Cgroupfs, &super::id(), None, rootless) {
        Ok(cgroups) if cgroups.is_none() => {
            let hint = "start from a delegated cgroup: systemd-run --user --scope -p Delegate=yes";
            findings.warn_with("cgroups", "the caller may not make any: containers have no limits", hint);
        }
        Ok(cgroups) => {
            let places: Vec<String> = cgroups
                .paths
                .iter()
                .map(|(name, path)| match path.parent() {
                    Some(parent) if !name.is_empty() => format!("{name} in {}", parent.display()),
                    Some(parent) => parent.display().to_string(),
                    None => name.clone(),
                })
                .collect();
            findings.note("cgroups", format!("the caller may make them: {}", places.join(", ")));
        }
        Err(error) => findings.error("cgroups", error.to_string()),
    }
}

fn namespaces(host: &Host, findings: &mut Findings) {
    let lacks = |kind: &Kind| !is_there(&Path::new("/proc/self/ns").join(kind.file()));
    for kind in Kind::ALL.into_iter().filter(lacks) {
        findings.warn("namespaces", format!("this kernel has no {kind} namespaces"));
    }
    for kind in Kind::ALL {
        let limit = format!("/proc/sys/user/max_{}_namespaces", kind.file());
        if std::fs::read_to_string(&limit).is_ok_and(|text| text.trim() == "0") {
            findings.warn("namespaces", format!("no {kind} namespace can be made: {limit} is 0"));
        }
    }
    for (text, hint) in unprivileged_user_namespaces() {
        if host.euid != 0 {
            findings.error_with("namespaces", text, hint)
        } else {
            findings.warn_with("namespaces", text, hint)
        }
    }
    for file in ["/etc/subuid", "/etc/subgid"] {
        let count: u64 = subordinate(file).iter().map(|(_, count)| u64::from(*count)).sum();
        match (host.euid, count) {
            (0, _) => {}
            (_, 0) => findings.warn_with(
                "namespaces",
                format!("{file} has no ids of the caller: containers have one"),
                "usermod --add-subuids, --add-subgids",
            ),
            (_, count) => findings.note("namespaces", format!("{file} gives the caller {count} ids")),
        }
    }
}

fn security(host: &Host, findings: &mut Findings) {
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if !modules.trim().is_empty() {
        findings.note("security", format!("modules {}", modules.trim().replace(',', ", ")));
    }
    for (name, there, field) in
        [("AppArmor", host.apparmor, "apparmorProfile"), ("SELinux", host.selinux, "selinuxLabel")]
    {
        if !there {
            findings.note("security", format!("{name} is not enabled: process.{field} is refused"));
        }
    }
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    if actions.trim().is_empty() {
        findings.warn("seccomp", "this kernel has no filters: linux.seccomp cannot be loaded");
        return;
    }
    let version = crate::ops::features::libseccomp_version().unwrap_or_default();
    findings.note("seccomp", format!("actions {}; libseccomp {version}", actions.trim()));
    if !actions.contains("user_notif") {
        findings.warn("seccomp", "no listeners: SCMP_ACT_NOTIFY is refused");
    }
}

fn filesystems(findings: &mut Findings) {
    for name in ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "overlay"] {
        match filesystem(name) {
            Filesystem::There => {}
            Filesystem::Module => findings.note("filesystems", format!("{name} is a module that is not loaded")),
            Filesystem::Missing => findings.warn("filesystems", format!("this kernel has no {name}")),
        }
    }
    if crate::rdt::root().is_err() {
        findings.note("resctrl", "not mounted: linux.intelRdt is refused");
    }
}

fn programs(host: &Host, findings: &mut Findings) {
    for name in ["newuidmap", "newgidmap"].into_iter().filter(|_| host.euid != 0) {
        match program_in_path(name) {
            Some(path) => findings.note("programs", path.display().to_string()),
            None => findings.warn_with(
                "programs",
                format!("{name} is not in $PATH: a container has one id"),
                "install it (package uidmap)",
            ),
        }
    }
    match program_in_path("criu") {
        Some(path) => findings.note("programs", path.display().to_string()),
        None => findings.note("programs", "criu is not in $PATH: no checkpoints"),
    }
}
