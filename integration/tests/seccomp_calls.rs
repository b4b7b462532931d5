//! The default profiles of engines under runc and coracle, call by call: the kernel gives back the filters that the two
//! have loaded, and these are asked about every number of a call.

use integration::{Context, Test, answer, filter, need, requires, skip, test};
use serde_json::{Value, json};

const PROFILES: [(&str, &str); 3] = [
    ("docker", include_str!("../data/seccomp/docker.json")),
    ("podman", include_str!("../data/seccomp/podman.json")),
    ("containerd", include_str!("../data/seccomp/containerd.json")),
];

/// `AUDIT_ARCH_*`, and the first number of its calls.
const ARCHITECTURES: [(&str, u32, u32); 4] = [
    ("x86_64", 0xc000_003e, 0),
    ("x32", 0xc000_003e, 0x4000_0000),
    ("i386", 0x4000_0003, 0),
    ("aarch64", 0xc000_00b7, 0),
];

/// The filter a container of `profile` runs under.
fn loaded(t: &Context, profile: &Value, runc: bool) -> Vec<u8> {
    let bundle = t.bundle().patch(json!({"linux": {"seccomp": profile}})).args(&["/guest", "trap"]);
    let bundle = if runc { bundle.with(t.peer("/usr/sbin/runc")) } else { bundle };
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    filter(container.pid()).unwrap_or_else(|errno| skip(format!("the kernel does not give filters back: {errno}")))
}

/// Arguments of which one is like what a rule compares with: in the first three places, as no profile looks at others.
fn arguments(profile: &Value) -> Vec<[u64; 6]> {
    let rules = profile["syscalls"].as_array().unwrap();
    let compared = rules.iter().filter_map(|rule| rule["args"].as_array()).flatten();
    let mut values: Vec<u64> = compared
        .flat_map(|argument| [&argument["value"], &argument["valueTwo"]])
        .filter_map(Value::as_u64)
        .flat_map(|value| [value, value.wrapping_sub(1), value + 1, value | 1 << 32, !value])
        .collect();
    values.extend([0, 1, u64::MAX]);
    values.sort_unstable();
    values.dedup();
    let second = [0, 9, u64::MAX];
    let pairs = values.iter().flat_map(|a| second.map(|b| [*a, b]));
    pairs.flat_map(|[a, b]| [[a, 0, b, 0, 0, 0], [b, a, 0, 0, 0, 0]]).collect()
}

fn same(t: &Context, name: &str) {
    requires!(need::program("/usr/sbin/runc"));
    let (_, text) = PROFILES.iter().find(|(other, _)| *other == name).unwrap();
    let profile: Value = serde_json::from_str(text).unwrap();
    let (ours, theirs) = (loaded(t, &profile, false), loaded(t, &profile, true));
    let arguments = arguments(&profile);
    let mut other = Vec::new();
    for (arch, audit, first) in ARCHITECTURES {
        for number in (first..first + 700).chain([first.wrapping_sub(1), first | 1 << 31]) {
            let differs = |args: &&[u64; 6]| {
                let answers = [&ours, &theirs].map(|program| answer(program, audit, number, **args).unwrap());
                (answers[0] != answers[1]).then_some(answers)
            };
            if let Some((args, [a, b])) = arguments.iter().find_map(|args| Some((args, differs(&args)?))) {
                other.push(format!("{arch} {number} {args:x?}: {a:#x}, runc {b:#x}"));
            }
        }
    }
    assert!(other.is_empty(), "{} calls differ:\n{}", other.len(), other.join("\n"));
}

pub const TESTS: &[Test] = &[
    test("seccomp: every call as under runc, Docker's profile", &[388, 403], |t| same(t, "docker")),
    test("seccomp: every call as under runc, Podman's profile", &[388, 403], |t| same(t, "podman")),
    test("seccomp: every call as under runc, containerd's profile", &[388, 403], |t| same(t, "containerd")),
];
