//! What the caller may not do: limits, priorities, namespaces, id mappings, labels.

use std::path::Path;

use coracle_plan::id_maps::{IdMaps, Writer};
use coracle_plan::namespaces::Kind;
use coracle_plan::step::Step;
use coracle_plan::{HostStep, id_maps};
use nix::unistd::{Uid, User};
use oci_spec::runtime::LinuxIdMapping;

use super::Case;
use super::finding::Findings;
use super::view::is_there;

/// Capabilities by number (capabilities(7)).
const SYS_NICE: u32 = 23;
const SYS_RESOURCE: u32 = 24;

/// Looks at what takes a right of the caller's.
pub fn check(case: &Case<'_>, findings: &mut Findings) {
    let raises = case.host.capable(SYS_RESOURCE) && !case.host.in_userns;
    for (_, step) in &case.plan.host {
        match step {
            HostStep::Rlimit { index, resource, .. } if !raises => {
                let own = case.host.hard_limits.get(*resource as usize).copied().unwrap_or_default();
                let text = format!("{step}: operation not permitted (EPERM): the caller's own hard limit is {own}");
                let hint = "raising a limit above the caller's own takes CAP_SYS_RESOURCE";
                findings.error_with(&format!("/process/rlimits/{index}"), text, hint);
            }
            HostStep::OomScoreAdj(value) if !raises => oom_score_adj(step, *value, findings),
            HostStep::IdMaps(maps) => id_maps(maps, findings),
            _ => {}
        }
    }
    for step in case.plan.init.iter().chain(case.plan.relay.iter().flat_map(|relay| &relay.steps)) {
        match step {
            // SCHED_FIFO, SCHED_RR and SCHED_DEADLINE (sched(7)).
            Step::Scheduler(attr) if matches!(attr.policy, 1 | 2 | 6) && !case.host.capable(SYS_NICE) => {
                findings.error(
                    "/process/scheduler",
                    format!("{step}: operation not permitted (EPERM): it takes CAP_SYS_NICE"),
                );
            }
            // IOPRIO_CLASS_RT (ioprio_set(2)).
            Step::IoPriority { class: 1, .. } if case.host.capabilities == 0 => {
                findings.error("/process/ioPriority", format!("{step}: operation not permitted (EPERM)"));
            }
            Step::Label { attribute, label, .. } if attribute.to_bytes().ends_with(b"apparmor/exec") => {
                apparmor(&label.to_string_lossy(), findings);
            }
            _ => {}
        }
    }
    namespaces(case, findings);
}

/// Nobody without the capability goes below the value that somebody with it has set last: 0 at most, unless somebody
/// has protected the caller.
fn oom_score_adj(step: &HostStep, value: i32, findings: &mut Findings) {
    const HINT: &str = "making it smaller takes CAP_SYS_RESOURCE";
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let Ok(own) = own.trim().parse::<i32>() else { return };
    let text = format!("{step}: permission denied (EACCES): the caller's own is {own}");
    if value < own.min(0) {
        findings.error_with("/process/oomScoreAdj", text, HINT);
    } else if value < own {
        findings.warn_with("/process/oomScoreAdj", format!("may fail: {text}"), HINT);
    }
}

fn apparmor(label: &str, findings: &mut Findings) {
    let Some(profile) = label.strip_prefix("exec ") else { return };
    // Only root may read the list.
    let Ok(list) = std::fs::read_to_string("/sys/kernel/security/apparmor/profiles") else { return };
    let loaded = profile == "unconfined"
        || list.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile));
    if !loaded {
        let hint = "load it with apparmor_parser(8)";
        findings.error_with("/process/apparmorProfile", format!("profile {profile} is not loaded"), hint);
    }
}

/// Kinds this kernel lacks, or may make no more of.
fn namespaces(case: &Case<'_>, findings: &mut Findings) {
    let list = case.spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    for kind in Kind::ALL.into_iter().filter(|kind| case.plan.namespaces & kind.flag() != 0) {
        let at = list.iter().position(|entry| entry.typ().to_string() == kind.to_string());
        let pointer = at.map_or_else(|| "/linux/namespaces".to_owned(), |i| format!("/linux/namespaces/{i}"));
        if !is_there(&Path::new("/proc/self/ns").join(kind.file())) {
            findings.error(&pointer, format!("this kernel has no {kind} namespaces"));
            continue;
        }
        let limit = format!("/proc/sys/user/max_{}_namespaces", kind.file());
        if std::fs::read_to_string(&limit).is_ok_and(|text| text.trim() == "0") {
            findings.error_with(&pointer, format!("no {kind} namespace can be made here"), &format!("{limit} is 0"));
        }
    }
    if case.plan.namespaces & libc::CLONE_NEWUSER != 0 && case.host.euid != 0 {
        for (text, hint) in unprivileged_user_namespaces() {
            findings.error_with("/linux/namespaces", text, hint);
        }
    }
}

/// What keeps ordinary users from user namespaces on this machine.
pub fn unprivileged_user_namespaces() -> Vec<(String, &'static str)> {
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let mut found = Vec::new();
    if text("/proc/sys/kernel/unprivileged_userns_clone") == "0" {
        let hint = "sysctl kernel.unprivileged_userns_clone=1";
        found.push(("users may not make user namespaces here".to_owned(), hint));
    }
    if text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1" {
        let hint = "give coracle an AppArmor profile with \"userns,\", or sysctl kernel.apparmor_restrict_unprivileged_userns=0";
        found.push(("AppArmor keeps users' namespaces from having privileges".to_owned(), hint));
    }
    found
}

fn id_maps(maps: &IdMaps, findings: &mut Findings) {
    let both = [
        ("uidMappings", &maps.uids, maps.uid_writer, "/etc/subuid"),
        ("gidMappings", &maps.gids, maps.gid_writer, "/etc/subgid"),
    ];
    for (field, maps, writer, file) in both {
        let Writer::Program(program) = writer else { continue };
        let pointer = format!("/linux/{field}");
        if program_in_path(program).is_none() {
            let text = format!("write {}: {program} is not in $PATH", id_maps::lines(maps, ", "));
            findings.error_with(&pointer, text, "install it (package uidmap), or map only your own id");
            continue;
        }
        let allowed = subordinate(file);
        for (i, map) in maps.iter().enumerate().filter(|(_, map)| !may_map(map, &allowed)) {
            let (first, last) = (map.host_id(), map.host_id().saturating_add(map.size() - 1));
            let text = format!("the host's ids {first} to {last} are not the caller's in {file}");
            findings.error_with(&format!("{pointer}/{i}/hostID"), text, "usermod --add-subuids, --add-subgids");
        }
    }
}

/// Where `name` is, if in $PATH.
pub fn program_in_path(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn may_map(map: &LinuxIdMapping, allowed: &[(u32, u32)]) -> bool {
    let own = map.size() == 1
        && (map.host_id() == Uid::effective().as_raw() || map.host_id() == nix::unistd::getegid().as_raw());
    let inside = |(first, count): &(u32, u32)| {
        map.host_id() >= *first
            && u64::from(map.host_id()) + u64::from(map.size()) <= u64::from(*first) + u64::from(*count)
    };
    own || allowed.iter().any(inside)
}

/// The ranges that `file` gives to the caller, as first id and count (subuid(5)).
pub fn subordinate(file: &str) -> Vec<(u32, u32)> {
    let uid = Uid::effective();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let own = |line: &str| {
        let mut fields = line.split(':');
        let who = fields.next()?;
        (Some(who) == name.as_deref() || who == uid.to_string()).then_some(())?;
        Some((fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?))
    };
    text.lines().filter_map(own).collect()
}
