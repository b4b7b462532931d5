//! Programs that cannot be run, and users, limits and rights that cannot be given.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use integration::need;
use serde_json::{Value, json};

use super::Case;

fn process(says: &'static str, patch: Value) -> Case {
    Case::patch(says, json!({"process": patch}))
}

pub fn cases() -> Vec<Case> {
    let rlimits = |says, list: Value| process(says, json!({"rlimits": list}));
    vec![
        Case::patch("process property must not be empty", json!({"process": null})),
        process("Cwd property must not be empty", json!({"cwd": null})),
        process("Cwd property must not be empty", json!({"cwd": ""})),
        process("config.json /process/cwd: Cwd must be an absolute path", json!({"cwd": "tmp"})),
        process("config.json /process/cwd: contains a NUL byte", json!({"cwd": "/\u{0}"})),
        process("change directory to /guest: not a directory (ENOTDIR)", json!({"cwd": "/guest"})),
        process("args must not be empty", json!({"args": []})),
        process("args must not be empty", json!({"args": null})),
        process("exec: \"\": executable file not found in $PATH", json!({"args": [""]})),
        process("config.json /process/args/1: contains a NUL byte", json!({"args": ["/guest", "a\u{0}"]}))
            .taken("it finds out at the start"),
        process("/nonexistent: no such file or directory", json!({"args": ["/nonexistent"]})),
        process("executable file not found in $PATH", json!({"args": ["nosuchprogram"]})),
        process("exec: \"/tmp\": is a directory (EISDIR)", json!({"args": ["/tmp"]})),
        process("exec: \"/etc/passwd\": permission denied (EACCES)", json!({"args": ["/etc/passwd"]})),
        Case::new("exec: \"/etc/locked\": permission denied (EACCES)", |bundle| {
            let bundle = bundle.file("/etc/locked", "").patch(json!({"process": {"args": ["/etc/locked"]}}));
            fs::set_permissions(bundle.rootfs().join("etc/locked"), fs::Permissions::from_mode(0o600)).unwrap();
            bundle
        }),
        process("config.json /process/env/0", json!({"env": ["NOEQUALS"]})),
        process("config.json /process/env/0", json!({"env": ["=x"]})),
        process("config.json /process/env/1: contains a NUL byte", json!({"env": ["A=b", "B=\u{0}"]})),
        process("config.json /process/env: must be a list, not an object", json!({"env": {"A": "b"}})),
        process("config.json /process/user/uid: must be given", json!({"user": {"uid": null}})).taken(ZERO),
        process("config.json /process/user/gid: must be given", json!({"user": {"gid": null}})).taken(ZERO),
        process("config.json /process/user/uid: must be from 0 to 4294967294, not -1", json!({"user": {"uid": -1}})),
        process("config.json /process/user/uid: must be from 0 to 4294967294", json!({"user": {"uid": 4294967295u32}})),
        process("config.json /process/user/uid: must be from 0", json!({"user": {"uid": 1e20}})),
        process("config.json /process/user/uid: must be a whole number, not 1.5", json!({"user": {"uid": 1.5}})),
        process("config.json /process/user/gid: must be a whole number", json!({"user": {"gid": "0"}})),
        process(
            "config.json /process/user/additionalGids/0: must be from 0",
            json!({"user": {"additionalGids": [-1]}}),
        ),
        process("config.json /process/user/umask: must be from 0", json!({"user": {"umask": -1}})),
        rlimits(
            "config.json /process/rlimits/0/type: unknown value \"RLIMIT_X\"",
            json!([{"type": "RLIMIT_X", "soft": 1, "hard": 1}]),
        ),
        rlimits("config.json /process/rlimits/0/type: must be given", json!([{"soft": 1, "hard": 1}])),
        rlimits("config.json /process/rlimits/0/soft: must be given", json!([{"type": "RLIMIT_CORE", "hard": 1}]))
            .taken(ZERO),
        rlimits("config.json /process/rlimits/0/hard: must be given", json!([{"type": "RLIMIT_CORE", "soft": 0}]))
            .taken(ZERO),
        rlimits("config.json /process/rlimits/0", json!([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}])),
        rlimits(
            "config.json /process/rlimits/1",
            json!([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}]),
        )
        .taken("the last one counts to it"),
        rlimits(
            "config.json /process/rlimits/0/hard: must be from 0",
            json!([{"type": "RLIMIT_CORE", "soft": -1, "hard": -1}]),
        ),
        process("config.json /process/oomScoreAdj: must be from -1000 to 1000", json!({"oomScoreAdj": 2000})),
        process("config.json /process/scheduler/policy: must be given", json!({"scheduler": {"nice": 1}})).taken(OLD),
        process(
            "config.json /process/scheduler/policy: unknown value \"SCHED_X\"",
            json!({"scheduler": {"policy": "SCHED_X"}}),
        )
        .taken(OLD),
        process("config.json /process/scheduler", json!({"scheduler": {"policy": "SCHED_OTHER", "nice": 40}}))
            .taken(OLD),
        process("config.json /process/scheduler", json!({"scheduler": {"policy": "SCHED_FIFO", "priority": 1000}}))
            .taken(OLD),
        process(
            "config.json /process/ioPriority/class: unknown value",
            json!({"ioPriority": {"class": "X", "priority": 1}}),
        )
        .taken(OLD),
        process(
            "config.json /process/ioPriority/priority: must be from 0 to 7",
            json!({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 9}}),
        )
        .taken(OLD),
        process(
            "config.json /process/ioPriority/priority: must be given",
            json!({"ioPriority": {"class": "IOPRIO_CLASS_BE"}}),
        )
        .taken(OLD),
        process("config.json /process/consoleSize/width: must be given", json!({"consoleSize": {"height": 5}}))
            .taken(ZERO),
        process(
            "config.json /process/capabilities: must be an object, not a list",
            json!({"capabilities": ["CAP_KILL"]}),
        ),
        process(
            "config.json /process/capabilities/bounding/0: must be a string",
            json!({"capabilities": {"bounding": [5]}}),
        ),
        process(
            if need::apparmor().is_ok() { "exec nosuch" } else { "config.json /process/apparmorProfile" },
            json!({"apparmorProfile": "nosuch"}),
        ),
        process("config.json /process/selinuxLabel", json!({"selinuxLabel": "system_u:system_r:container_t:s0"})),
        process(
            "config.json /process/execCPUAffinity/initial: \"x\" is no list of CPUs",
            json!({"execCPUAffinity": {"initial": "x"}}),
        )
        .taken(OLD),
        process("config.json /process/noNewPrivileges: must be true or false", json!({"noNewPrivileges": 1})),
        Case::patch(
            "config.json /linux/personality/domain: unknown value",
            json!({"linux": {"personality": {"domain": "LINUX64"}}}),
        )
        .taken(OLD),
        Case::patch("config.json /linux/personality/domain: must be given", json!({"linux": {"personality": {}}}))
            .taken(OLD),
        Case::patch(
            "config.json /linux/memoryPolicy/mode: unknown value",
            json!({"linux": {"memoryPolicy": {"mode": "MPOL_X"}}}),
        )
        .taken(OLD),
        Case::patch("config.json /linux/memoryPolicy/mode: must be given", json!({"linux": {"memoryPolicy": {}}}))
            .taken(OLD),
        Case::patch(
            "config.json /linux/memoryPolicy/flags/0: unknown value",
            json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["X"]}}}),
        )
        .taken(OLD),
        Case::patch(
            "config.json /linux/memoryPolicy",
            json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-"}}}),
        )
        .taken(OLD),
    ]
}

const ZERO: &str = "a missing number is 0 to it";
const OLD: &str = "it does not know the field";
