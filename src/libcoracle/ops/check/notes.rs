//! What the unusual fields of a configuration do: those that are not as `coracle spec` writes them.

use oci_spec::runtime::{Capability, LinuxNamespaceType as Type, Spec};
use serde_json::Value;

use super::finding::Findings;
use crate::ops::spec::spec as default_config;
use crate::prepare::seccomp;

/// Notes on everything that the author or the user should know of.
pub fn all(config: &Value, spec: &Spec, findings: &mut Findings) {
    let default = serde_json::to_value(default_config(None, false)).unwrap_or_default();
    present(config, findings);
    process(spec, findings);
    namespaces(spec, findings);
    root(config, &default, findings);
    mounts(spec, findings);
    filter(spec, findings);
    limits(config, findings);
    hooks(config, findings);
}

/// Fields whose presence is worth a word.
const PRESENT: [(&str, &str); 16] = [
    ("/domainname", "the NIS domain name in the uts namespace"),
    ("/process/apparmorProfile", "AppArmor confines the program by this profile"),
    ("/process/selinuxLabel", "SELinux confines the program by this label"),
    ("/process/execCPUAffinity", "only for `coracle exec`: where it runs before and after it has joined the container"),
    ("/process/scheduler", "the scheduling policy of the program, and of all it starts"),
    ("/process/ioPriority", "the priority of the program at the disk, if its scheduler knows priorities"),
    ("/linux/personality", "system calls answer as on the machine of this personality (personality(2))"),
    ("/linux/memoryPolicy", "which memory nodes the program gets its memory from"),
    ("/linux/intelRdt", "puts the container into a class of the resctrl filesystem, made for it if there is none"),
    ("/linux/timeOffsets", "clocks in the container are shifted; programs on the host see other times since the start"),
    ("/linux/netDevices", "moves these interfaces of the host into the container: the host has them no more"),
    ("/linux/mountLabel", "new filesystems are labelled for SELinux"),
    ("/linux/seccomp/listenerPath", "whoever listens there answers system calls for the container"),
    ("/linux/resources/unified", "written to these files of the cgroup as they are"),
    ("/linux/cgroupsPath", "the container's cgroup is here instead of being called after the container"),
    ("/linux/resources/network", "marks what the container sends, for tc(8) and iptables(8) on the host"),
];

fn present(config: &Value, findings: &mut Findings) {
    for (pointer, text) in PRESENT {
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        if config.pointer(pointer).is_some_and(|value| !empty(value)) {
            findings.note(pointer, text);
        }
    }
}

/// Capabilities that reach beyond the container, or nearly.
const STRONG: [(Capability, &str); 9] = [
    (Capability::SysAdmin, "mounts, and most other things of an administrator"),
    (Capability::SysModule, "loads modules into the host's kernel"),
    (Capability::SysRawio, "reaches the host's memory and ports"),
    (Capability::SysPtrace, "reads and changes other processes it can see"),
    (Capability::DacReadSearch, "opens files of the host by handle, past the root filesystem"),
    (Capability::SysBoot, "restarts the host"),
    (Capability::SysTime, "sets the host's clock"),
    (Capability::Bpf, "loads programs into the host's kernel"),
    (Capability::NetAdmin, "configures the network it is in"),
];

fn process(spec: &Spec, findings: &mut Findings) {
    let Some(process) = spec.process() else { return };
    let user = process.user();
    if (user.uid(), user.gid()) != (0, 0) {
        findings.note("/process/user", format!("the program runs as uid {}, gid {}", user.uid(), user.gid()));
    }
    if !process.no_new_privileges().unwrap_or(false) {
        let text = "set-uid programs in the container can give it all capabilities of the bounding set";
        findings.note("/process/noNewPrivileges", text);
    }
    let in_userns = has(spec, Type::User);
    let sets = process.capabilities().as_ref();
    let bounding = sets.and_then(|sets| sets.bounding().as_ref());
    for (capability, text) in STRONG.iter().filter(|(c, _)| bounding.is_some_and(|set| set.contains(c))) {
        let scope = if in_userns { ", as far as its user namespace owns it" } else { "" };
        findings.note("/process/capabilities/bounding", format!("{capability}: {text}{scope}"));
    }
    if let Some(value) = process.oom_score_adj().filter(|value| *value != 0) {
        let text = if value > 0 { "sooner" } else { "later" };
        findings.note("/process/oomScoreAdj", format!("when memory runs out it is killed {text} than others"));
    }
}

fn has(spec: &Spec, kind: Type) -> bool {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_deref()).unwrap_or_default();
    list.iter().any(|namespace| namespace.typ() == kind)
}

/// The kinds a container usually has, and what it means not to.
const USUAL: [(Type, &str); 5] = [
    (Type::Pid, "it sees all processes of the host, and may signal those of its user"),
    (Type::Network, "it has the host's network: all interfaces, ports and abstract sockets"),
    (Type::Ipc, "it shares System V IPC and message queues with the host"),
    (Type::Uts, "it has the host's name, and with CAP_SYS_ADMIN it can change it"),
    (Type::Mount, "it has the host's mounts: nothing can be mounted for it, and chroot(2) alone holds it"),
];

fn namespaces(spec: &Spec, findings: &mut Findings) {
    for (kind, text) in USUAL.iter().filter(|(kind, _)| !has(spec, *kind)) {
        findings.note("/linux/namespaces", format!("no {kind} namespace: {text}"));
    }
    let linux = spec.linux().as_ref();
    for (i, namespace) in linux.and_then(|l| l.namespaces().as_deref()).unwrap_or_default().iter().enumerate() {
        if let Some(path) = namespace.path().as_ref().filter(|path| !path.as_os_str().is_empty()) {
            let text = format!("shares the {} namespace {}", namespace.typ(), path.display());
            findings.note(&format!("/linux/namespaces/{i}/path"), text);
        }
    }
    let maps = linux.and_then(|l| l.uid_mappings().as_deref()).unwrap_or_default();
    if let Some(map) = maps.iter().find(|map| map.container_id() == 0)
        && has(spec, Type::User)
    {
        let who = if map.host_id() == 0 {
            ", the host's root".to_owned()
        } else {
            format!(", uid {} of the host", map.host_id())
        };
        findings.note("/linux/uidMappings", format!("root in the container is a user namespace's root{who}"));
    }
}

fn root(config: &Value, default: &Value, findings: &mut Findings) {
    if config.pointer("/root/readonly") != Some(&Value::Bool(true)) && config.pointer("/root").is_some() {
        findings.note("/root/readonly", "what the container changes stays in the root filesystem of the bundle");
    }
    let propagation = config.pointer("/linux/rootfsPropagation").and_then(Value::as_str).unwrap_or_default();
    if propagation.ends_with("shared") {
        findings.note(
            "/linux/rootfsPropagation",
            "mounts in the container appear on the host, where its sources are shared",
        );
    }
    for (pointer, what) in [("/linux/maskedPaths", "hidden"), ("/linux/readonlyPaths", "read-only")] {
        let list = |config: &Value| config.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        let given = list(config);
        let open: Vec<String> = list(default)
            .iter()
            .filter(|path| !given.contains(path))
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        if !open.is_empty() && config.pointer("/linux").is_some() {
            findings.note(pointer, format!("not {what}, as it usually is: {}", open.join(", ")));
        }
    }
}

fn mounts(spec: &Spec, findings: &mut Findings) {
    for (i, mount) in spec.mounts().iter().flatten().enumerate() {
        let options = mount.options().as_deref().unwrap_or_default();
        let with = |names: &[&str]| options.iter().any(|option| names.contains(&option.as_str()));
        let (Some(source), true) = (mount.source(), with(&["bind", "rbind"])) else { continue };
        let (source, at) = (source.display(), mount.destination().display());
        let text = match with(&["ro", "rro"]) {
            true => format!("the host's {source} is {at}, read-only"),
            false => format!("the host's {source} is {at}: what is changed in one is changed in the other"),
        };
        findings.note(&format!("/mounts/{i}"), text);
        if with(&["shared", "rshared"]) {
            findings.note(&format!("/mounts/{i}/options"), "mounts made below it in the container appear on the host");
        }
    }
}

/// Names of system calls that are passed over, and what happens to those that are not named.
fn filter(spec: &Spec, findings: &mut Findings) {
    let Some(seccomp) = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref()) else { return };
    let rules = seccomp.syscalls().as_deref().unwrap_or_default();
    let names: usize = rules.iter().map(|rule| rule.names().len()).sum();
    let text = format!("{names} system calls have rules; all others: {}", seccomp.default_action());
    findings.note("/linux/seccomp", text);
    for (i, rule) in rules.iter().enumerate() {
        let unknown: Vec<&str> =
            rule.names().iter().map(String::as_str).filter(|name| !seccomp::knows_call(name)).collect();
        if !unknown.is_empty() {
            let shown = unknown.iter().take(10).copied().collect::<Vec<_>>().join(", ");
            let more = if unknown.len() > 10 { format!(" and {} more", unknown.len() - 10) } else { String::new() };
            let text =
                format!("unknown on this machine to the libseccomp of this build, and passed over: {shown}{more}");
            findings.note(&format!("/linux/seccomp/syscalls/{i}/names"), text);
        }
    }
}

fn limits(config: &Value, findings: &mut Findings) {
    let number = |pointer: &str| config.pointer(pointer).and_then(Value::as_i64).filter(|number| *number > 0);
    if let Some(bytes) = number("/linux/resources/memory/limit") {
        let text = format!("at most {} of memory; who needs more is killed", size(bytes));
        findings.note("/linux/resources/memory/limit", text);
    }
    if let Some(most) = number("/linux/resources/pids/limit") {
        findings.note("/linux/resources/pids/limit", format!("at most {most} processes and threads"));
    }
    if let Some(quota) = number("/linux/resources/cpu/quota") {
        let share = quota as f64 / number("/linux/resources/cpu/period").unwrap_or(100_000) as f64;
        findings.note("/linux/resources/cpu/quota", format!("at most the time of {share:.2} processors"));
    }
    if config.pointer("/linux/resources/memory/disableOOMKiller") == Some(&Value::Bool(true)) {
        let text = "who needs more memory than the limit stops until there is some (cgroup v1)";
        findings.note("/linux/resources/memory/disableOOMKiller", text);
    }
    for (i, rule) in
        config.pointer("/linux/resources/devices").and_then(Value::as_array).into_iter().flatten().enumerate()
    {
        let any = |name: &str| rule[name].as_i64().is_none_or(|number| number < 0);
        if rule["allow"] == true && any("major") && any("minor") && !matches!(rule["type"].as_str(), Some("b" | "c")) {
            findings.note(&format!("/linux/resources/devices/{i}"), "the container may use all devices of the host");
        }
    }
}

/// Bytes in the largest unit that needs no fraction, or nearly.
fn size(bytes: i64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let unit = (0..UNITS.len()).rev().find(|unit| bytes >> (10 * unit) > 0).unwrap_or(0);
    let value = format!("{:.1}", bytes as f64 / (1u64 << (10 * unit)) as f64);
    format!("{} {}", value.trim_end_matches(".0"), UNITS[unit])
}

const HOOKS: [(&str, &str); 6] = [
    ("prestart", "on the host before the root is changed"),
    ("createRuntime", "on the host before the root is changed"),
    ("createContainer", "in the container's namespaces, before its root is changed"),
    ("startContainer", "in the container, right before its program"),
    ("poststart", "on the host when the program runs"),
    ("poststop", "on the host when the container is gone"),
];

fn hooks(config: &Value, findings: &mut Findings) {
    for (kind, when) in HOOKS {
        let pointer = format!("/hooks/{kind}");
        for (i, hook) in config.pointer(&pointer).and_then(Value::as_array).into_iter().flatten().enumerate() {
            let path = hook["path"].as_str().unwrap_or_default();
            findings.note(&format!("{pointer}/{i}"), format!("{path} is run with the caller's rights {when}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [(12, "12 bytes"), (67_108_864, "64 MiB"), (1_610_612_736, "1.5 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_default_configuration_needs_no_word() {
        let text = default_config(None, false).to_json().unwrap();
        let (config, spec) = (serde_json::from_str(&text).unwrap(), serde_json::from_str(&text).unwrap());
        let mut findings = Findings::default();
        all(&config, &spec, &mut findings);
        assert_eq!(findings.sorted(), []);
    }
}
