//! The same container by the runtime under test and by runc: the unit and the control files of both.

use std::collections::BTreeMap;
use std::fs;

use integration::{Container, Context, Coracle};
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

fn configurations() -> Vec<Value> {
    let device = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    let none = json!({"allow": false, "access": "rwm"});
    vec![
        json!({}),
        json!({"memory": {"limit": 33_554_432, "reservation": 16_777_216, "swap": 67_108_864}, "pids": {"limit": 25}}),
        json!({"cpu": {"quota": 50000, "period": 100_000, "cpus": "0", "mems": "0"}}),
        json!({"cpu": {"quota": 33333}, "memory": {"limit": -1}, "pids": {"limit": -1}}),
        json!({"devices": [none, device]}),
        json!({"unified": {"memory.high": "30000000", "pids.max": "40", "cpu.max": "20000 50000", "cpu.weight": "50"}}),
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
    let mut different: Vec<String> = Vec::new();
    for resources in configurations() {
        for update in updates {
            let ours = made(t, t.coracle().systemd(), &resources, update);
            let theirs = made(t, t.peer("/usr/sbin/runc").systemd(), &resources, update);
            assert!(ours.len() > 120, "{} facts", ours.len());
            let names = ours.keys().chain(theirs.keys()).filter(|name| ours.get(*name) != theirs.get(*name));
            different.extend(names.map(|name| {
                format!("{resources} {update:?}: {name}: {:?}, runc has {:?}", ours.get(name), theirs.get(name))
            }));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
