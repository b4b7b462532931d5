//! The same container by the runtime under test and by runc: the unit and the control files of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use integration::{Container, Context, Coracle, need};
use serde_json::{Value, json};

/// Properties that are never the same twice, or that name the unit.
const VOLATILE: [&str; 16] = [
    "Id",
    "Names",
    "Description",
    "InvocationID",
    "ControlGroupId",
    "FragmentPath",
    "DropInPaths",
    "Timestamp",
    "Usage",
    "Current",
    "Peak",
    "Available",
    "EffectiveMemory",
    "IORead",
    "IOWrite",
    "ControlGroup",
];

/// Files that tell what happened and not what may.
const REPORTS: [&str; 9] =
    ["events", "stat", "current", "peak", "pressure", "procs", "threads", "events.local", "stat.local"];

/// What may differ where this is set, and why.
const ACCEPTED: [(&str, &str, &str); 6] = [
    ("/cpu/shares", "CPUWeight", "runc 1.1 has the older conversion of shares"),
    ("/cpu/shares", "file cpu.weight", "as for CPUWeight"),
    ("/cpu/burst", "file cpu.max.burst", "runc 1.1 does not know the setting"),
    ("/blockIO", "IO", "runc 1.1 tells systemd nothing of disks, and writes the files alone"),
    ("/blockIO/weight", "file io.weight", "systemd writes it when it is told"),
    ("/blockIO/weight", "file io.bfq.weight", "systemd takes from runc's, when it likes, what it was not told"),
];

/// What accepts the difference.
fn accepted(resources: &Value, name: &str) -> Option<usize> {
    let is = |&(set, field, _): &(&str, &str, &str)| resources.pointer(set).is_some() && name.starts_with(field);
    ACCEPTED.iter().position(is)
}

/// `disk` is the number of the disk.
fn configurations(disk: [u64; 2]) -> Vec<Value> {
    let rate = |rate: u64| json!([{"major": disk[0], "minor": disk[1], "rate": rate}]);
    let device = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    let none = json!({"allow": false, "access": "rwm"});
    vec![
        json!({}),
        json!({"memory": {"limit": 33_554_432, "reservation": 16_777_216, "swap": 67_108_864}, "pids": {"limit": 25}}),
        json!({"cpu": {"quota": 50000, "period": 100_000, "cpus": "0", "mems": "0"}}),
        json!({"cpu": {"quota": 33333}, "memory": {"limit": -1}, "pids": {"limit": -1}}),
        json!({"devices": [none, device]}),
        json!({"unified": {"memory.high": "30000000", "pids.max": "40", "cpu.max": "20000 50000", "cpu.weight": "50"}}),
        json!({"blockIO": {"weight": 300, "throttleReadBpsDevice": rate(1_000_000), "throttleWriteBpsDevice": rate(2_000_000),
            "throttleReadIOPSDevice": rate(300), "throttleWriteIOPSDevice": rate(400)}}),
        json!({"cpu": {"shares": 2048, "quota": 40000, "period": 100_000, "burst": 20000, "cpus": "0", "mems": "0"}}),
        json!({"unified": {"cpuset.cpus": "0", "cpuset.mems": "0", "memory.low": "1000000", "memory.swap.max": "8192000",
            "cpu.max.burst": "5000", "io.max": format!("{}:{} rbps=1000000", disk[0], disk[1])}}),
    ]
}

type Facts = BTreeMap<String, String>;

/// The unit's properties and the files of its cgroup.
fn facts(t: &Context, unit: &str) -> Facts {
    let output = t.tool("/bin/systemctl", &["show", unit]).run();
    let mut facts = Facts::new();
    for line in output.ok().stdout.lines() {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        if !VOLATILE.iter().any(|word| name == *word || word.len() >= 4 && name.contains(word)) {
            facts.entry(name.to_owned()).or_default().push_str(&format!("{value}\n"));
        }
    }
    for entry in fs::read_dir(super::directory(unit)).unwrap().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if !REPORTS.iter().any(|end| file.ends_with(end)) {
            facts.insert(
                format!("file {file}"),
                fs::read_to_string(entry.path()).unwrap_or_else(|error| error.to_string()),
            );
        }
    }
    // Of the same devices the order does not matter.
    for value in facts.values_mut() {
        let mut lines: Vec<&str> = value.lines().collect();
        lines.sort_unstable();
        *value = lines.join("\n");
    }
    facts
}

fn made(t: &Context, coracle: Coracle, resources: &Value, update: &[&str]) -> Facts {
    let (bundle, unit) = super::bundle(t, resources.clone());
    let container: Container = bundle.with(coracle).create();
    if !update.is_empty() {
        container.call("update").args(update).run().ok();
    }
    facts(t, &unit)
}

/// Fails with what differs, of all configurations.
pub fn same(t: &Context) {
    let updates: [&[&str]; 2] =
        [&[], &["--memory", "64m", "--memory-swap", "96m", "--pids-limit", "26", "--cpu-quota", "20000"]];
    let (mut different, mut idle): (Vec<String>, BTreeSet<usize>) = (Vec::new(), BTreeSet::new());
    if need::coracle(t).is_ok() {
        idle.extend((0..ACCEPTED.len()).filter(|i| !ACCEPTED[*i].1.contains("bfq")));
    }
    for resources in configurations(crate::limits::disk_below(&t.path("."))) {
        for update in updates {
            let ours = made(t, t.coracle().systemd(), &resources, update);
            let theirs = made(t, t.peer("/usr/sbin/runc").systemd(), &resources, update);
            assert!(ours.len() > 120, "{} facts", ours.len());
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let names = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name));
            for name in names {
                if let Some(reason) = accepted(&resources, name) {
                    idle.remove(&reason);
                    continue;
                }
                let (ours, theirs) = (ours.get(name), theirs.get(name));
                different.push(format!("{resources} {update:?}: {name}: {ours:?}, runc has {theirs:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(idle.is_empty(), "accepted and not there: {:?}", idle.iter().map(|i| ACCEPTED[*i]).collect::<Vec<_>>());
}
