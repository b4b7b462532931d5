//! Whatever config.json holds, reading and planning it end in a plan or in one line that says what is wrong.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use coracle_plan::{CreateOptions, Host, Plan};
use libcoracle::bundle;
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../config.json.example");

/// xorshift64*: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }
}

/// Values that others have stumbled over.
fn odd(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1.5),
        json!(1e300),
        json!(""),
        json!("x"),
        json!("/"),
        json!("../.."),
        json!("a\nb"),
        json!("\u{0}"),
        json!("/proc/self/../x"),
        json!("é\u{202e}"),
        json!("x".repeat(5000)),
        json!("-1"),
        json!("=,:\\"),
        json!([]),
        json!({}),
        json!([[]]),
        json!({"": ""}),
        json!({"type": "p"}),
    ];
    all[random.below(all.len())].clone()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The value of this number, counted from the outside in.
fn nth<'v>(value: &'v mut Value, number: &mut usize) -> Option<&'v mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Value::Object(members) => members.values_mut().find_map(|item| nth(item, number)),
        _ => None,
    }
}

fn change(config: &mut Value, random: &mut Random) {
    let mut pick = |config: &mut Value| random.below(count(config));
    let (mut at, mut other) = (pick(config), pick(config));
    let other = nth(config, &mut other).map(|value| value.clone()).unwrap_or_default();
    let Some(value) = nth(config, &mut at) else { return };
    match (random.below(6), value) {
        (0, Value::Object(members)) if !members.is_empty() => {
            let name = members.keys().nth(random.below(members.len())).cloned().unwrap_or_default();
            members.remove(&name);
        }
        (1, Value::Array(items)) if !items.is_empty() => items.push(items[random.below(items.len())].clone()),
        (2, Value::Array(items)) => items.push(odd(random)),
        (3, value) => *value = other,
        (_, value) => *value = odd(random),
    }
}

/// A configuration with a value at almost every place.
fn full() -> Value {
    let mut config: Value = serde_json::from_str(EXAMPLE).unwrap();
    let hook = json!([{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]);
    let maps = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    config["domainname"] = json!("x");
    config["annotations"] = json!({"a": "b"});
    config["hooks"] = json!({"prestart": hook, "createRuntime": hook, "createContainer": hook, "startContainer": hook,
        "poststart": hook, "poststop": hook});
    config["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
    config["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 4});
    config["process"]["execCPUAffinity"] = json!({"initial": "0", "final": "0-1"});
    config["process"]["user"]["additionalGids"] = json!([5, 6]);
    config["process"]["oomScoreAdj"] = json!(100);
    config["process"]["consoleSize"] = json!({"height": 24, "width": 80});
    let idmapped = json!({"destination": "/m", "source": "/tmp", "options": ["rbind", "idmap", "ro", "rprivate"],
        "uidMappings": maps, "gidMappings": maps});
    config["mounts"].as_array_mut().unwrap().push(idmapped);
    let linux = &mut config["linux"];
    linux["namespaces"].as_array_mut().unwrap().extend([json!({"type": "user"}), json!({"type": "time"})]);
    linux["uidMappings"] = maps.clone();
    linux["gidMappings"] = maps;
    linux["timeOffsets"] = json!({"monotonic": {"secs": 5, "nanosecs": 1}, "boottime": {"secs": -5}});
    linux["devices"] = json!([{"type": "c", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0},
        {"type": "p", "path": "/dev/p"}]);
    linux["netDevices"] = json!({"eth0": {"name": "net0"}});
    linux["cgroupsPath"] = json!("/a/b");
    linux["sysctl"] = json!({"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"});
    linux["rootfsPropagation"] = json!("rslave");
    linux["intelRdt"] =
        json!({"closID": "x", "schemata": ["L3:0=f"], "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=1"});
    linux["memoryPolicy"] = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]});
    linux["personality"] = json!({"domain": "LINUX32"});
    linux["seccomp"] = json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/l", "listenerMetadata": "m",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}]}]});
    linux["resources"] = json!({"devices": [{"allow": true, "type": "c", "major": 1, "minor": -1, "access": "rwm"}],
        "memory": {"limit": 1, "reservation": -1, "swap": 1, "swappiness": 60, "disableOOMKiller": true},
        "cpu": {"shares": 2, "quota": -1, "period": 1, "cpus": "0", "mems": "0", "idle": 1}, "pids": {"limit": 5},
        "blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 1, "minor": 1, "rate": 5}],
            "weightDevice": [{"major": 1, "minor": 1, "weight": 10}]},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 5}], "unified": {"pids.max": "5"},
        "network": {"classID": 1, "priorities": [{"name": "lo", "priority": 1}]}, "rdma": {"x": {"hcaHandles": 1}}});
    config
}

/// Reads and plans the text; what went wrong with that is an error.
fn attempt(text: &[u8], host: &Host) -> Result<(), String> {
    let options = CreateOptions {
        id: "robust".into(),
        bundle: PathBuf::from("/bundle"),
        rootfs: PathBuf::from("/bundle/rootfs"),
        gate: true,
        ..CreateOptions::default()
    };
    let said = catch_unwind(AssertUnwindSafe(|| match bundle::parse("config.json", text, &mut Vec::new()) {
        Ok(spec) => Plan::create(&spec, host, &options).map_or_else(|e| format!("config.json {e}"), |p| p.to_string()),
        Err(error) => error.to_string(),
    }));
    let said = said.map_err(|_| "a panic".to_owned())?;
    let refused = said.starts_with("config.json");
    // What serde says by itself names types of Rust.
    let foreign =
        ["invalid type", "unknown variant", "missing field", "duplicate field", "invalid value", "Some(", "struct "];
    match foreign.iter().find(|word| refused && said.contains(**word)) {
        Some(_) => Err(said),
        None if refused && said.trim_end().contains('\n') => Err(format!("more than one line: {said}")),
        None => Ok(()),
    }
}

fn for_a_while(mut once: impl FnMut(&mut Random) -> Vec<u8>) {
    let hosts = [Host::rootful(), Host::rootless()];
    let end = Instant::now() + Duration::from_secs(1);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut tries = 0;
    while tries < 20_000 && Instant::now() < end {
        let text = once(&mut random);
        if let Err(problem) = attempt(&text, &hosts[tries % 2]) {
            panic!("{problem}\nfrom {}", String::from_utf8_lossy(&text));
        }
        tries += 1;
    }
    assert!(tries > 100, "only {tries} tries");
}

#[test]
fn the_full_configuration_is_read() {
    let said = bundle::parse("config.json", full().to_string().as_bytes(), &mut Vec::new());
    assert!(said.is_ok(), "{said:?}");
}

#[test]
fn changed_values_give_a_plan_or_a_reason() {
    let full = full();
    for_a_while(|random| {
        let mut config = full.clone();
        for _ in 0..=random.below(3) {
            change(&mut config, random);
        }
        config.to_string().into_bytes()
    });
}

#[test]
fn changed_bytes_give_a_plan_or_a_reason() {
    let full = full().to_string().into_bytes();
    for_a_while(|random| {
        let mut text = full.clone();
        for _ in 0..=random.below(4) {
            let (at, length) = (random.below(text.len()), random.below(8));
            match random.below(4) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..(at + length).min(text.len()))),
                2 => text.insert(at, b"\"\\{}[],:0-\xff\x00\n"[random.below(13)]),
                _ if !text.is_empty() => text[at] = random.below(256) as u8,
                _ => {}
            }
        }
        text
    });
}
