//! What is said about a configuration that cannot be, one line a case.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use libcoracle::bundle;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../config.json.example");

fn merge(target: &mut Value, patch: &Value) {
    let (Value::Object(target), Value::Object(patch)) = (&mut *target, patch) else {
        *target = patch.clone();
        return;
    };
    for (name, value) in patch {
        if value == "REMOVED" {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn patched(patch: &Value) -> String {
    let mut config: Value = serde_json::from_str(EXAMPLE).unwrap();
    merge(&mut config, patch);
    config.to_string()
}

/// What is said about this text.
fn said(text: &[u8]) -> String {
    let mut warnings = Vec::new();
    match bundle::parse("config.json", text, &mut warnings) {
        Ok(_) => warnings.join("; "),
        Err(error) => error.to_string(),
    }
}

fn all_say(cases: &[(Value, &str)]) {
    let wrong: Vec<String> = cases
        .iter()
        .map(|(patch, wanted)| (patch, said(patched(patch).as_bytes()), wanted))
        .filter(|(_, said, wanted)| {
            said != &wanted.replacen('/', "config.json /", usize::from(wanted.starts_with('/')))
        })
        .map(|(patch, said, wanted)| format!("{patch}\n  says {said}\n  not  {wanted}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn text_that_is_no_json_has_line_and_column() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "malformed JSON: EOF while parsing a value at line 1 column 0"),
        (b"{", "malformed JSON: EOF while parsing an object at line 1 column 1"),
        (b"{\n  \"ociVersion\": \"1.0.0\",\n}", "malformed JSON: trailing comma at line 3 column 1"),
        (b"{\"ociVersion\": \"1.0.0\"} x", "malformed JSON: trailing characters at line 1 column 25"),
        (b"{\"ociVersion\": \"1.0.0\"}{}", "malformed JSON: trailing characters at line 1 column 24"),
        (b"{\"ociVersion\" \"1.0.0\"}", "malformed JSON: expected `:` at line 1 column 15"),
        (b"{'ociVersion': 1}", "malformed JSON: key must be a string at line 1 column 2"),
        (b"{\"ociVersion\": \"1.0.0\" // no\n}", "malformed JSON: expected `,` or `}` at line 1 column 24"),
        (
            b"{\"ociVersion\": \"1.0.0\n\"}",
            "malformed JSON: control character (\\u0000-\\u001F) found while parsing a string at line 2 column 0",
        ),
        (b"{\"ociVersion\": \"\\ud800\"}", "malformed JSON: unexpected end of hex escape at line 1 column 23"),
        (b"{\"ociVersion\":\n \"1\xff\"}", "malformed JSON: not UTF-8 at line 2 column 4"),
        (b"{\"x\": \"\xff\"}", "malformed JSON: not UTF-8 at line 1 column 8"),
        (b"\xef\xbb\xbf{}", "malformed JSON: a byte order mark at line 1 column 1"),
        (b"\xff\xfe{\0}\0", "malformed JSON: not UTF-8 at line 1 column 1"),
        (b"null", "config cannot be null"),
        (b" null\n", "config cannot be null"),
        (b"[]", "must be an object, not a list"),
        (b"\"config\"", "must be an object, not the string \"config\""),
        (b"7", "must be an object, not a number"),
    ];
    for (text, wanted) in cases {
        assert_eq!(said(text), format!("config.json: {wanted}"), "{}", String::from_utf8_lossy(text));
    }
    let deep = format!("{{\"ociVersion\": \"1.0.0\", \"mounts\": {}", "[".repeat(100_000));
    assert_eq!(said(deep.as_bytes()), "config.json /mounts/0: must be an object, not a list");
    let deep = format!("{{\"ociVersion\": \"1.0.0\", \"x\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(said(deep.as_bytes()), "");
}

#[test]
fn names_are_given_once() {
    let twice = |text: &str| said(text.as_bytes());
    assert_eq!(twice(r#"{"ociVersion": "1.0.0", "ociVersion": "1.0.0"}"#), "config.json /ociVersion: is given twice");
    assert_eq!(
        twice(r#"{"ociVersion": "1.0.0", "annotations": {"a": "b", "\u0061": "b"}}"#),
        "config.json /annotations/a: is given twice"
    );
    assert_eq!(
        twice(r#"{"ociVersion": "1.0.0", "process": {"cwd": "/", "user": {"uid": 0, "gid": 0, "uid": 1}}}"#),
        "config.json /process/user/uid: is given twice"
    );
    assert_eq!(twice(r#"{"ociVersion": "1.0.0", "x": 1, "x": {"y": 1, "y": 2}}"#), "");
}

#[test]
fn what_must_be_there_is_missed() {
    let of = |path: &str, value: Value| path.rsplit('/').fold(value, |value, name| json!({name: value}));
    all_say(&[
        (json!({"ociVersion": "REMOVED"}), "/ociVersion: must be given"),
        (json!({"ociVersion": null}), "/ociVersion: must be given"),
        (json!({"root": {"path": "REMOVED"}}), "/root/path: must be given"),
        (json!({"root": {"path": ""}}), "/root/path: must not be empty"),
        (json!({"process": {"cwd": "REMOVED"}}), "/process/cwd: Cwd property must not be empty"),
        (json!({"process": {"user": {"uid": "REMOVED"}}}), "/process/user/uid: must be given"),
        (json!({"process": {"user": {"gid": null}}}), "/process/user/gid: must be given"),
        (json!({"process": {"consoleSize": {"width": 1}}}), "/process/consoleSize/height: must be given"),
        (json!({"process": {"consoleSize": {"height": 1}}}), "/process/consoleSize/width: must be given"),
        (json!({"process": {"rlimits": [{"soft": 1, "hard": 1}]}}), "/process/rlimits/0/type: must be given"),
        (
            json!({"process": {"rlimits": [{"type": "RLIMIT_CPU", "hard": 1}]}}),
            "/process/rlimits/0/soft: must be given",
        ),
        (
            json!({"process": {"rlimits": [{"type": "RLIMIT_CPU", "soft": 1}]}}),
            "/process/rlimits/0/hard: must be given",
        ),
        (json!({"process": {"scheduler": {}}}), "/process/scheduler/policy: must be given"),
        (json!({"process": {"ioPriority": {"priority": 1}}}), "/process/ioPriority/class: must be given"),
        (
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE"}}}),
            "/process/ioPriority/priority: must be given",
        ),
        (json!({"mounts": [{"type": "tmpfs"}]}), "/mounts/0/destination: must be given"),
        (json!({"mounts": [{"destination": ""}]}), "/mounts/0/destination: must not be empty"),
        (json!({"hooks": {"poststop": [{}]}}), "/hooks/poststop/0/path: must be given"),
        (of("linux/namespaces", json!([{"path": "/x"}])), "/linux/namespaces/0/type: must be given"),
        (of("linux/uidMappings", json!([{"hostID": 0, "size": 1}])), "/linux/uidMappings/0/containerID: must be given"),
        (of("linux/gidMappings", json!([{"containerID": 0, "size": 1}])), "/linux/gidMappings/0/hostID: must be given"),
        (of("linux/gidMappings", json!([{"containerID": 0, "hostID": 1}])), "/linux/gidMappings/0/size: must be given"),
        (of("linux/devices", json!([{"path": "/x", "major": 1, "minor": 1}])), "/linux/devices/0/type: must be given"),
        (of("linux/devices", json!([{"type": "c", "major": 1, "minor": 1}])), "/linux/devices/0/path: must be given"),
        (
            of("linux/devices", json!([{"type": "c", "path": "/x", "minor": 1}])),
            "/linux/devices/0/major: must be given",
        ),
        (
            of("linux/devices", json!([{"path": "/x", "type": "b", "major": 1}])),
            "/linux/devices/0/minor: must be given",
        ),
        (of("linux/devices", json!([{"path": "/x", "type": "p"}])), ""),
        (of("linux/resources/devices", json!([{"access": "r"}])), "/linux/resources/devices/0/allow: must be given"),
        (
            of("linux/resources/hugepageLimits", json!([{"limit": 1}])),
            "/linux/resources/hugepageLimits/0/pageSize: must be given",
        ),
        (
            of("linux/resources/hugepageLimits", json!([{"pageSize": "2MB"}])),
            "/linux/resources/hugepageLimits/0/limit: must be given",
        ),
        (
            of("linux/resources/blockIO/weightDevice", json!([{"major": 1}])),
            "/linux/resources/blockIO/weightDevice/0/minor: must be given",
        ),
        (
            of("linux/resources/blockIO/throttleReadIOPSDevice", json!([{"major": 1, "minor": 1}])),
            "/linux/resources/blockIO/throttleReadIOPSDevice/0/rate: must be given",
        ),
        (
            of("linux/resources/network/priorities", json!([{"name": "lo"}])),
            "/linux/resources/network/priorities/0/priority: must be given",
        ),
        (of("linux/memoryPolicy", json!({})), "/linux/memoryPolicy/mode: must be given"),
        (of("linux/personality", json!({})), "/linux/personality/domain: must be given"),
        (of("linux/seccomp", json!({})), "/linux/seccomp/defaultAction: must be given"),
        (
            of("linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]})),
            "/linux/seccomp/syscalls/0/names: must name at least one system call",
        ),
        (
            of(
                "linux/seccomp",
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_ALLOW"}]}),
            ),
            "/linux/seccomp/syscalls/0/names: must not be empty",
        ),
        (
            of("linux/seccomp", json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"]}]})),
            "/linux/seccomp/syscalls/0/action: must be given",
        ),
        (
            of(
                "linux/seccomp",
                json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 0}]}]}),
            ),
            "/linux/seccomp/syscalls/0/args/0/op: must be given",
        ),
    ]);
}

#[test]
fn what_has_the_wrong_type_is_told_in_plain_words() {
    all_say(&[
        (json!({"ociVersion": 1}), "/ociVersion: must be a string, not a number"),
        (json!({"ociVersion": "1.0"}), "/ociVersion: \"1.0\" is no version number like 1.3.0"),
        (json!({"ociVersion": "01.0.0"}), "/ociVersion: \"01.0.0\" is no version number like 1.3.0"),
        (json!({"ociVersion": "1.0.0-"}), "/ociVersion: \"1.0.0-\" is no version number like 1.3.0"),
        (
            json!({"ociVersion": "2.0.0"}),
            "/ociVersion: version 2.0.0 of the runtime specification is not supported, only 1.x is",
        ),
        (
            json!({"ociVersion": "0.5.0"}),
            "/ociVersion: version 0.5.0 of the runtime specification is not supported, only 1.x is",
        ),
        (json!({"ociVersion": "1.99.7-rc.1+build.05"}), ""),
        (json!({"ociVersion": "1.0.2-dev"}), ""),
        (json!({"root": "rootfs"}), "/root: must be an object, not the string \"rootfs\""),
        (json!({"root": {"readonly": "yes"}}), "/root/readonly: must be true or false, not the string \"yes\""),
        (json!({"root": {"readonly": 1}}), "/root/readonly: must be true or false, not a number"),
        (json!({"mounts": {}}), "/mounts: must be a list, not an object"),
        (json!({"mounts": [7]}), "/mounts/0: must be an object, not a number"),
        (
            json!({"mounts": [{"destination": "/x", "options": "ro"}]}),
            "/mounts/0/options: must be a list, not the string \"ro\"",
        ),
        (
            json!({"mounts": [{"destination": "/x", "options": ["ro", true]}]}),
            "/mounts/0/options/1: must be a string, not true",
        ),
        (json!({"process": {"args": [null]}}), "/process/args/0: must be a string, not null"),
        (json!({"process": {"args": "sh"}}), "/process/args: must be a list, not the string \"sh\""),
        (json!({"process": {"args": ["a\u{0}b"]}}), "/process/args/0: contains a NUL byte"),
        (json!({"process": {"user": {"uid": -1}}}), "/process/user/uid: must be from 0 to 4294967294, not -1"),
        (
            json!({"process": {"user": {"uid": 4294967295u32}}}),
            "/process/user/uid: must be from 0 to 4294967294, not 4294967295",
        ),
        (json!({"process": {"user": {"uid": 1.5}}}), "/process/user/uid: must be a whole number, not 1.5"),
        (json!({"process": {"user": {"uid": 1.0}}}), "/process/user/uid: must be a whole number, not 1"),
        (json!({"process": {"user": {"uid": 1e30}}}), "/process/user/uid: must be from 0 to 4294967294, not 1e30"),
        (
            json!({"process": {"user": {"uid": "root"}}}),
            "/process/user/uid: must be a whole number, not the string \"root\"",
        ),
        (json!({"process": {"oomScoreAdj": 1001}}), "/process/oomScoreAdj: must be from -1000 to 1000, not 1001"),
        (
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 8}}}),
            "/process/ioPriority/priority: must be from 0 to 7, not 8",
        ),
        (
            json!({"process": {"ioPriority": {"class": "IOPRIO_CLASS_NO", "priority": 1}}}),
            "/process/ioPriority/class: unknown value \"IOPRIO_CLASS_NO\", known are IOPRIO_CLASS_RT, IOPRIO_CLASS_BE, IOPRIO_CLASS_IDLE",
        ),
        (
            json!({"process": {"execCPUAffinity": {"initial": "0-"}}}),
            "/process/execCPUAffinity/initial: \"0-\" is no list of CPUs like 0-3,7",
        ),
        (
            json!({"process": {"execCPUAffinity": {"final": "3-1"}}}),
            "/process/execCPUAffinity/final: \"3-1\" is no list of CPUs like 0-3,7",
        ),
        (json!({"annotations": {"a": 1}}), "/annotations/a: must be a string, not a number"),
        (json!({"annotations": {"a": null}}), "/annotations/a: must be a string, not null"),
        (json!({"annotations": {"": "x"}}), "/annotations/: a name must not be empty"),
        (json!({"annotations": {"a/b~c": []}}), "/annotations/a~1b~0c: must be a string, not a list"),
        (
            json!({"linux": {"namespaces": [{"type": "net"}]}}),
            "/linux/namespaces/0/type: unknown value \"net\", known are cgroup, ipc, mount, network, pid, time, user, uts",
        ),
        (
            json!({"linux": {"uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]}}),
            "/linux/uidMappings/0/size: must be from 1 to 4294967295, not 0",
        ),
        (
            json!({"linux": {"devices": [{"type": "x"}]}}),
            "/linux/devices/0/type: unknown value \"x\", known are c, b, u, p",
        ),
        (
            json!({"linux": {"sysctl": {"net.ipv4.ip_forward": 1}}}),
            "/linux/sysctl/net.ipv4.ip_forward: must be a string, not a number",
        ),
        (
            json!({"linux": {"resources": {"memory": {"limit": "1g"}}}}),
            "/linux/resources/memory/limit: must be a whole number, not the string \"1g\"",
        ),
        (
            json!({"linux": {"personality": {"domain": "LINUX64"}}}),
            "/linux/personality/domain: unknown value \"LINUX64\", known are LINUX, LINUX32",
        ),
        (json!({"hostname": "a\u{0}"}), "/hostname: contains a NUL byte"),
        (json!({"hostname": ["x".repeat(100)]}), "/hostname: must be a string, not a list"),
        (
            json!({"linux": {"namespaces": [{"type": "x\n".repeat(100)}]}}),
            &format!(
                "/linux/namespaces/0/type: unknown value \"{}\"…, known are cgroup, ipc, mount, network, pid, time, user, uts",
                "x\\n".repeat(30)
            ),
        ),
    ]);
}

#[test]
fn what_the_types_cannot_take_is_adapted() {
    let read = |patch: Value| bundle::parse("config.json", patched(&patch).as_bytes(), &mut Vec::new()).unwrap();
    let spec = read(json!({"process": {"user": "REMOVED", "capabilities": null, "rlimits": null}, "hooks": null}));
    let process = spec.process().clone().unwrap();
    assert_eq!((process.user().uid(), process.capabilities(), spec.hooks()), (0, &None, &None));
    read(json!({"windows": 7, "solaris": [], "vm": {"kernel": {}}, "zos": {"namespaces": 1}, "uidMappings": 1}));
    let spec = read(
        json!({"linux": {"netDevices": {"eth0": null}, "resources": {"devices": [{"allow": false, "type": ""}]}}}),
    );
    let linux = spec.linux().clone().unwrap();
    assert_eq!(linux.net_devices().as_ref().map(std::collections::HashMap::len), Some(1));
    assert_eq!(linux.resources().as_ref().unwrap().devices().as_ref().unwrap()[0].typ(), None);
    let limits = json!({"pids": {}, "hugepageLimits": [{"pageSize": "2MB", "limit": u64::MAX}]});
    let spec = read(json!({"linux": {"resources": limits}}));
    let resources = spec.linux().as_ref().unwrap().resources().clone().unwrap();
    assert!(resources.pids().is_none(), "no limit is no limit");
    assert_eq!(resources.hugepage_limits().as_ref().unwrap()[0].limit(), i64::MAX);
    let spec = read(json!({"linux": {"resources": {"pids": {"limit": 0}}}}));
    assert_eq!(spec.linux().as_ref().unwrap().resources().as_ref().unwrap().pids().unwrap().limit(), 0);
    let flags = json!(["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_UTIL_CLAMP_MAX"]);
    let spec = read(json!({"process": {"scheduler": {"policy": "SCHED_DEADLINE", "flags": flags},
        "execCPUAffinity": {"initial": "", "final": "0-1"}}}));
    let process = spec.process().clone().unwrap();
    assert_eq!(process.scheduler().as_ref().unwrap().flags().as_ref().unwrap().len(), 3);
    assert_eq!(process.exec_cpu_affinity().as_ref().unwrap().initial(), &None);
}

#[test]
fn unknown_capabilities_are_a_warning() {
    let sets = json!({"bounding": ["CAP_KILL", "CAP_NOPE"], "effective": ["CAP_NOPE", "kill"]});
    let text = patched(&json!({"process": {"capabilities": sets}}));
    let mut warnings = Vec::new();
    let spec = bundle::parse("config.json", text.as_bytes(), &mut warnings).unwrap();
    assert_eq!(warnings, ["ignoring unknown or unavailable capabilities: [CAP_NOPE]"]);
    let sets = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
    assert_eq!(sets.bounding().as_ref().map(std::collections::HashSet::len), Some(1));
}
