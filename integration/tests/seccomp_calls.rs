//! The default profiles of engines under runc and coracle, call by call: the kernel gives back the filters that the two
//! have loaded, and these are asked about every number of a call.

use integration::{Context, Coracle, Test, answer, filter, need, requires, skip, test};
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

/// Arguments of which one is like what a rule compares with, or has one bit of it, for it may be a mask: in the first
/// three places, as no profile looks at others.
fn arguments(profile: &Value) -> Vec<[u64; 6]> {
    let rules = profile["syscalls"].as_array().unwrap();
    let compared = rules.iter().filter_map(|rule| rule["args"].as_array()).flatten();
    let mut values: Vec<u64> = compared
        .flat_map(|argument| [&argument["value"], &argument["valueTwo"]])
        .filter_map(Value::as_u64)
        .flat_map(|value| {
            let bits = (0..64).map(move |bit| value & 1 << bit);
            [value, value.wrapping_sub(1), value + 1, value | 1 << 32, !value].into_iter().chain(bits)
        })
        .collect();
    values.extend([0, 1, u64::MAX]);
    values.sort_unstable();
    values.dedup();
    let second = [0, 9, u64::MAX];
    let pairs = values.iter().flat_map(|a| second.map(|b| [*a, b]));
    pairs.flat_map(|[a, b]| [[a, 0, b, 0, 0, 0], [b, a, 0, 0, 0, 0]]).collect()
}

/// What two filters answer differently, one line a call, with the first arguments for which they do.
fn differences(ours: &[u8], theirs: &[u8], arguments: &[[u64; 6]]) -> Vec<String> {
    let mut other = Vec::new();
    for (arch, audit, first) in ARCHITECTURES {
        for number in (first..first + 700).chain([first.wrapping_sub(1), first | 1 << 31]) {
            let differs = |args: &&[u64; 6]| {
                let answers = [ours, theirs].map(|program| answer(program, audit, number, **args).unwrap());
                (answers[0] != answers[1]).then_some(answers)
            };
            if let Some((args, [a, b])) = arguments.iter().find_map(|args| Some((args, differs(&args)?))) {
                other.push(format!("{arch} {number} {args:x?}: {a:#x} and {b:#x}"));
            }
        }
    }
    other
}

fn profile(name: &str) -> Value {
    let (_, text) = PROFILES.iter().find(|(other, _)| *other == name).unwrap();
    serde_json::from_str(text).unwrap()
}

/// The version of the library that a runtime compiles filters with.
fn library(coracle: &Coracle) -> String {
    let said = coracle.bare().arg("--version").run().stdout.clone();
    said.lines().find_map(|line| line.strip_prefix("libseccomp: ")).unwrap_or("none").to_owned()
}

fn same(t: &Context, name: &str) {
    requires!(need::program("/usr/sbin/runc"));
    let [own, other] = [t.coracle(), t.peer("/usr/sbin/runc")].map(|coracle| library(&coracle));
    if own != other {
        skip(format!("runc has libseccomp {other} and coracle {own}, which know different calls"));
    }
    let profile = profile(name);
    let other = differences(&loaded(t, &profile, false), &loaded(t, &profile, true), &arguments(&profile));
    assert!(other.is_empty(), "{} calls differ from runc:\n{}", other.len(), other.join("\n"));
}

/// The profile with the first rule about `call` changed.
fn changed(profile: &Value, call: &str, change: fn(&mut Value)) -> Value {
    let mut profile = profile.clone();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    change(rules.iter_mut().find(|rule| rule["names"].as_array().unwrap().contains(&json!(call))).unwrap());
    profile
}

/// One rule changed, and the calls that the comparison then has to name.
fn told_apart(t: &Context) {
    let profile = profile("docker");
    let (arguments, whole) = (arguments(&profile), loaded(t, &profile, false));
    assert_eq!(differences(&whole, &loaded(t, &profile, false), &arguments), Vec::<String>::new());
    let without = |rule: &mut Value| rule["names"].as_array_mut().unwrap().retain(|name| name != "sysinfo");
    for (change, calls) in [
        (changed(&profile, "sysinfo", without), ["x86_64 99 ", "x32 1073741923 ", "i386 116 "]),
        (
            changed(&profile, "clone3", |rule| rule["errnoRet"] = json!(39)),
            ["x86_64 435 ", "x32 1073742259 ", "i386 435 "],
        ),
        (
            changed(&profile, "personality", |rule| rule["args"][0]["value"] = json!(1)),
            ["x86_64 135 ", "x32 1073741959 ", "i386 136 "],
        ),
        (
            changed(&profile, "clone", |rule| rule["args"][0]["value"] = json!(0x7c02_0000)),
            ["x86_64 56 ", "x32 1073741880 ", "i386 120 "],
        ),
    ] {
        let other = differences(&whole, &loaded(t, &change, false), &arguments);
        let named: Vec<_> =
            calls.iter().map(|call| other.iter().filter(|line| line.starts_with(call)).count()).collect();
        assert_eq!((named, other.len()), (vec![1, 1, 1], 3), "{calls:?}: {other:#?}");
    }
}

pub const TESTS: &[Test] = &[
    test("seccomp: every call as under runc, Docker's profile", &[388, 403], |t| same(t, "docker")),
    test("seccomp: every call as under runc, Podman's profile", &[388, 403], |t| same(t, "podman")),
    test("seccomp: every call as under runc, containerd's profile", &[388, 403], |t| same(t, "containerd")),
    test("seccomp: every call of a filter with one rule changed, told apart", &[], told_apart),
];
