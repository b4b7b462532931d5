//! Namespaces that cannot be made or joined, and what needs one of them.

use integration::Bundle;
use serde_json::{Value, json};

use super::Case;

fn linux(says: &'static str, patch: Value) -> Case {
    Case::patch(says, json!({"linux": patch}))
}

fn namespace(says: &'static str, namespace: Value) -> Case {
    Case::new(says, move |bundle: Bundle| {
        bundle.edit(|config| config["linux"]["namespaces"].as_array_mut().unwrap().push(namespace.clone()))
    })
}

fn without(says: &'static str, kind: &'static str, patch: Value) -> Case {
    Case::new(says, move |bundle: Bundle| bundle.without_namespace(kind).patch(patch.clone()))
}

/// A new user namespace with these maps for users and groups.
fn maps(says: &'static str, uids: Value, gids: Value) -> Case {
    Case::new(says, move |bundle: Bundle| {
        bundle.namespace(json!({"type": "user"})).patch(json!({"linux": {"uidMappings": uids, "gidMappings": gids}}))
    })
}

pub fn cases() -> Vec<Case> {
    let map = |inside: u32, outside: u32, size: u32| json!({"containerID": inside, "hostID": outside, "size": size});
    let good = json!([map(0, 100_000, 1000)]);
    let many: Vec<Value> = (0..400).map(|n| map(n, 100_000 + 2 * n, 1)).collect();
    let sysctl = |says, key: &str, value: &str| linux(says, json!({"sysctl": {key: value}}));
    vec![
        namespace("/type: must be given", json!({"path": "/proc/1/ns/net"})),
        namespace("/type: unknown value \"net\", known are cgroup, ipc", json!({"type": "net"})),
        namespace("/type: unknown value \"\"", json!({"type": ""})),
        namespace("duplicate", json!({"type": "pid"})),
        namespace("duplicate", json!({"type": "uts", "path": "/proc/1/ns/uts"})),
        Case::new("must be an absolute path", |bundle| {
            bundle.namespace(json!({"type": "ipc", "path": "proc/1/ns/ipc"}))
        }),
        Case::new("/nonexistent: no such file or directory", |bundle| {
            bundle.namespace(json!({"type": "ipc", "path": "/nonexistent"}))
        }),
        Case::new("/proc/1/ns/uts", |bundle| bundle.namespace(json!({"type": "ipc", "path": "/proc/1/ns/uts"}))),
        Case::new("/dev/null", |bundle| bundle.namespace(json!({"type": "network", "path": "/dev/null"}))),
        Case::new("/path: contains a NUL byte", |bundle| bundle.namespace(json!({"type": "ipc", "path": "/a\u{0}"}))),
        without("config.json /hostname: needs a uts namespace", "uts", json!({"hostname": "x"})),
        without("config.json /domainname: needs a uts namespace", "uts", json!({"hostname": null, "domainname": "x"}))
            .taken(OLD),
        Case::patch("hostname", json!({"hostname": "x".repeat(65)})),
        without("mount namespace", "mount", json!({})),
        linux("config.json /linux/uidMappings", json!({"uidMappings": [map(0, 1000, 1)]})).taken("it passes over them"),
        maps("config.json /linux/uidMappings", json!(null), json!(null)),
        maps("config.json /linux/uidMappings", json!([]), json!([])),
        maps("config.json /linux/gidMappings", good.clone(), json!(null)),
        maps("config.json /linux/uidMappings/0/size: must be from 1", json!([map(0, 1, 0)]), good.clone()),
        maps(
            "config.json /linux/uidMappings/0/hostID: must be given",
            json!([{"containerID": 0, "size": 1}]),
            good.clone(),
        )
        .taken(ZERO),
        maps(
            "config.json /linux/gidMappings/0/containerID: must be from 0",
            good.clone(),
            json!([{"containerID": -1, "hostID": 0, "size": 1}]),
        ),
        maps("config.json /linux/uidMappings/0", json!([map(0, 4_294_967_290, 1000)]), good.clone()),
        maps("config.json /linux/uidMappings/1", json!([map(0, 1000, 10), map(5, 2000, 10)]), good.clone()),
        maps("config.json /linux/uidMappings/1", json!([map(0, 1000, 10), map(20, 1005, 10)]), good.clone()),
        maps("config.json /linux/uidMappings", json!(many), good.clone()),
        maps("config.json /linux/uidMappings: must map the id 0 of the container", json!([map(1, 1000, 10)]), good),
        sysctl(
            "config.json /linux/sysctl/kernel.panic: sysctl \"kernel.panic\" is not in a separate kernel namespace",
            "kernel.panic",
            "1",
        ),
        sysctl("is not in a separate kernel namespace", "vm.swappiness", "1"),
        sysctl("is not in a separate kernel namespace", "nonsense", "1"),
        sysctl("is not the name of a kernel parameter", "net/../kernel/panic", "1"),
        sysctl("net", "net.ipv4.nosuch", "1"),
        sysctl("config.json /linux/sysctl/kernel.hostname", "kernel.hostname", "x"),
        sysctl("config.json /linux/sysctl/: a name must not be empty", "", "x"),
        sysctl("set sysctl", "kernel.msgmax", "many"),
        sysctl("config.json /linux/sysctl/user.max_user_namespaces", "user.max_user_namespaces", "1"),
        without(
            "config.json /linux/sysctl/net.ipv4.ip_forward",
            "network",
            json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "1"}}}),
        ),
        without(
            "config.json /linux/sysctl/kernel.msgmax",
            "ipc",
            json!({"linux": {"sysctl": {"kernel.msgmax": "8192"}}}),
        ),
        linux(
            "config.json /linux/sysctl/net.ipv4.ip_forward: must be a string",
            json!({"sysctl": {"net.ipv4.ip_forward": 1}}),
        ),
        linux("config.json /linux/timeOffsets", json!({"timeOffsets": {"monotonic": {"secs": 1}}})).taken(OLD),
        Case::new("config.json /linux/timeOffsets/realtime", |bundle| {
            bundle
                .namespace(json!({"type": "time"}))
                .patch(json!({"linux": {"timeOffsets": {"realtime": {"secs": 1}}}}))
        }),
        Case::new("config.json /linux/timeOffsets/boottime/nanosecs: must be from 0", |bundle| {
            let offsets = json!({"boottime": {"secs": 1, "nanosecs": 1_000_000_000u32}});
            bundle.namespace(json!({"type": "time"})).patch(json!({"linux": {"timeOffsets": offsets}}))
        }),
        without("config.json /linux/netDevices", "network", json!({"linux": {"netDevices": {"nosuch0": {}}}}))
            .taken(OLD),
        linux("nosuch0", json!({"netDevices": {"nosuch0": {}}})).taken(OLD),
        linux("config.json /linux/netDevices", json!({"netDevices": {"lo": {"name": "a/b"}}})).taken(OLD),
    ]
}

const ZERO: &str = "a missing number is 0 to it";
const OLD: &str = "it does not know the field";
