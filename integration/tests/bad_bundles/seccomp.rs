//! System call filters that cannot be.

use serde_json::{Value, json};

use super::Case;

/// A filter that allows everything, and this.
fn filter(says: &'static str, more: &Value) -> Case {
    let mut filter = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    integration::merge(&mut filter, more);
    Case::patch(says, json!({"linux": {"seccomp": filter}}))
}

/// A rule for mkdir with this argument.
fn argument(says: &'static str, argument: &Value) -> Case {
    filter(says, &json!({"syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [argument]}]}))
}

pub fn cases() -> Vec<Case> {
    let rule = |says, rule: Value| filter(says, &json!({"syscalls": [rule]}));
    vec![
        filter("config.json /linux/seccomp/defaultAction: must be given", &json!({"defaultAction": null}))
            .taken("no filter to it"),
        filter(
            "config.json /linux/seccomp/defaultAction: unknown value \"SCMP_ACT_X\", known are",
            &json!({"defaultAction": "SCMP_ACT_X"}),
        ),
        filter("config.json /linux/seccomp/defaultAction", &json!({"defaultAction": "SCMP_ACT_NOTIFY"})),
        filter("config.json /linux/seccomp/defaultErrnoRet", &json!({"defaultErrnoRet": 5})).taken(ERRNO),
        filter(
            "config.json /linux/seccomp/architectures/0: unknown value \"SCMP_ARCH_Z80\"",
            &json!({"architectures": ["SCMP_ARCH_Z80"]}),
        ),
        filter("config.json /linux/seccomp/flags/0: unknown value", &json!({"flags": ["SECCOMP_FILTER_FLAG_X"]})),
        filter("config.json /linux/seccomp/listenerMetadata", &json!({"listenerMetadata": "x"}))
            .taken("no use, no harm"),
        filter("config.json /linux/seccomp/syscalls: must be a list", &json!({"syscalls": {}})),
        rule("config.json /linux/seccomp/syscalls/0/names: must name at least one", json!({"action": "SCMP_ACT_LOG"}))
            .taken("a rule for nothing does nothing"),
        rule(
            "config.json /linux/seccomp/syscalls/0/names: must not be empty",
            json!({"names": [], "action": "SCMP_ACT_LOG"}),
        )
        .taken("a rule for nothing does nothing"),
        rule("config.json /linux/seccomp/syscalls/0/action: must be given", json!({"names": ["mkdir"]})),
        rule(
            "config.json /linux/seccomp/syscalls/0/action: unknown value",
            json!({"names": ["mkdir"], "action": "ALLOW"}),
        ),
        rule(
            "config.json /linux/seccomp/syscalls/0/errnoRet",
            json!({"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 5}),
        )
        .taken(ERRNO),
        rule(
            "config.json /linux/seccomp/syscalls/0/errnoRet: must be from 0",
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": -1}),
        ),
        rule("config.json /linux/seccomp/syscalls/0", json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"})),
        rule("config.json /linux/seccomp", json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"})),
        argument("/args/0/index: must be given", &json!({"value": 0, "op": "SCMP_CMP_EQ"})).taken(ZERO),
        argument("/args/0/index: must be from 0 to 5, not 6", &json!({"index": 6, "value": 0, "op": "SCMP_CMP_EQ"})),
        argument("/args/0/value: must be given", &json!({"index": 0, "op": "SCMP_CMP_EQ"})).taken(ZERO),
        argument("/args/0/op: must be given", &json!({"index": 0, "value": 0})),
        argument(
            "/args/0/op: unknown value \"EQ\", known are SCMP_CMP_EQ",
            &json!({"index": 0, "value": 0, "op": "EQ"}),
        ),
    ]
}

const ZERO: &str = "a missing number is 0 to it";
const ERRNO: &str = "it passes over a number that has no use";
