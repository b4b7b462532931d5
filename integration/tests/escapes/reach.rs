//! What a container can get at, beside what it can get at under another runtime: files of /proc and /sys that can be opened,
//! kernel parameters, devices, keyrings, descriptors, namespaces, capabilities.

use std::collections::BTreeSet;

use integration::{Bundle, Context, Coracle, Test, need, requires, test};
use serde_json::{Value, json};

use crate::differential::compare;

const RUNC: &str = "/usr/sbin/runc";

/// Facts of the probe that say what is in reach.
const FIELDS: [&str; 10] =
    ["namespaces", "fds", "capabilities", "seccomp", "no_new_privs", "uids", "gids", "groups", "cgroup", "links"];

/// Differences that are accepted: how a line begins, and why.
const ACCEPTED: [(&str, &str); 0] = [];

/// What Docker gives a container without options.
fn docker(t: &Context) -> Bundle {
    let text = include_str!("../../data/docker.json");
    let bundle = t.bundle().file("/etc/resolv.conf", "").file("/etc/hostname", "").file("/etc/hosts", "");
    let path = bundle.path().to_str().unwrap().to_owned();
    for name in ["resolv.conf", "hostname", "hosts"] {
        std::fs::write(bundle.path().join(name), "").unwrap();
    }
    let config: Value = serde_json::from_str(&text.replace("@BUNDLE@", &path)).unwrap();
    bundle.edit(|own| {
        *own = config;
        own["linux"]["cgroupsPath"] = Value::Null;
    })
}

/// The same for a user without any right, in a user namespace, on a root that is read-only.
fn locked(t: &Context) -> Bundle {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    docker(t).namespace(json!({"type": "user"})).namespace(json!({"type": "cgroup"})).patch(json!({
        "process": {
            "user": {"uid": 1000, "gid": 1000, "additionalGids": null}, "capabilities": {"bounding": [], "effective": [], "permitted": []},
            "noNewPrivileges": true,
        },
        "root": {"readonly": true}, "linux": {"uidMappings": map, "gidMappings": map, "sysctl": null},
    }))
}

/// What is in reach, one line a thing.
fn lines(bundle: Bundle) -> BTreeSet<String> {
    let reached = bundle.run_args(&["/guest", "reach"]);
    let mut lines: BTreeSet<String> = reached.ok().stdout.lines().map(str::to_owned).collect();
    let facts = bundle.run_args(&["/guest", "probe"]).facts();
    let facts = compare::normalise(facts.0, &bundle);
    for field in FIELDS {
        let value = &facts[field];
        match value {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| match value {
                    Value::Array(items) => lines.extend(items.iter().map(|item| format!("{field} {name} {item}"))),
                    other => drop(lines.insert(format!("{field} {name} {other}"))),
                });
            }
            other => drop(lines.insert(format!("{field} {other}"))),
        }
    }
    lines
}

/// Lines of ours that the other has not; as files of /sys come and go, both are asked twice, by turns.
fn more(t: &Context, bundle: fn(&Context) -> Bundle) -> (Vec<String>, [usize; 2]) {
    let ask = |coracle: Coracle| lines(bundle(t).with(coracle));
    let [ours, theirs, again, theirs_again] = [t.coracle(), t.peer(RUNC), t.coracle(), t.peer(RUNC)].map(ask);
    let accepted = |line: &String| ACCEPTED.iter().any(|(start, _)| line.starts_with(start));
    let more = ours.intersection(&again).filter(|line| !theirs.contains(*line) && !theirs_again.contains(*line));
    (more.filter(|line| !accepted(line)).cloned().collect(), [ours.len(), theirs.len()])
}

fn no_more(t: &Context, bundle: fn(&Context) -> Bundle) {
    requires!(need::program(RUNC));
    let (more, [ours, theirs]) = more(t, bundle);
    println!("in reach: {ours} things, {theirs} of them or others under runc");
    assert!(ours > 1000 && theirs > 1000, "the guest does not look");
    assert!(more.is_empty(), "{} things more than under runc are in reach\n{}", more.len(), more.join("\n"));
}

pub const TESTS: &[Test] = &[
    test("reach: of what Docker configures, nothing more than under another runtime", &[], |t| no_more(t, docker)),
    test("reach: of what is locked down, nothing more than under another runtime", &[], |t| no_more(t, locked)),
    test("reach: what is not locked is seen to be in reach", &[], |t| {
        let (docker, locked) = (lines(docker(t)), lines(locked(t)));
        for line in ["write /proc/self/oom_score_adj", "make device c 1:1", "capabilities effective \"CAP_MKNOD\""] {
            assert!(docker.contains(line), "{line}");
        }
        for line in
            ["make device c 1:1", "capabilities effective \"CAP_MKNOD\"", "write /sys", "write /proc/sysrq-trigger"]
        {
            assert!(!locked.contains(line), "{line}");
        }
    }),
];
