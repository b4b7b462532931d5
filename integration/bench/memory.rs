//! Memory: the smallest limit a container starts in, and what a created one holds.

use std::fs;

use serde_json::json;

use crate::bundle::{self, Place};
use crate::figures::Row;
use crate::life::able;
use crate::runtime::Runtime;

/// Limits that are tried, in KiB.
const LIMITS: [u64; 14] = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 3072, 4096, 8192, 16384];
const TIMES: usize = 5;

fn id() -> String {
    format!("bench-memory-{}", std::process::id())
}

/// The first limit in which it starts every time.
fn smallest(place: &Place, runtime: &Runtime) -> Option<u64> {
    LIMITS.into_iter().find(|limit| {
        let mut config = bundle::spec();
        config["linux"]["resources"]["memory"] = json!({"limit": limit * 1024});
        let bundle = place.bundle("memory", config);
        (0..TIMES).all(|_| runtime.try_measure(&runtime.words("run", &bundle, &id())).is_ok())
    })
}

/// Proportional memory of a process, and what it has written to and shares with nobody, in KiB.
fn held(pid: nix::unistd::Pid) -> Option<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let number = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((number("Pss:")?, number("Private_Dirty:")?))
}

pub fn memory(place: &Place, runtimes: &[Runtime]) -> Vec<Row> {
    let v1 = fs::metadata("/sys/fs/cgroup/memory").is_ok();
    let v2 = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let limits = v1 || v2.split_whitespace().any(|name| name == "memory");
    let bundle = place.bundle("memory-pause", bundle::spec());
    let bundle_true = place.bundle("memory", bundle::spec());
    let mut rows = Vec::new();
    for runtime in able(runtimes, &bundle_true) {
        let mut add = |verb: &str, kib: u64| {
            let numbers = json!({"kib": kib});
            rows.push(Row { verb: verb.to_owned(), runtime: runtime.name.clone(), numbers });
        };
        if limits && !runtime.is_floor() {
            smallest(place, runtime).into_iter().for_each(|kib| add("smallest limit", kib));
        }
        runtime.measure(&runtime.words("create", &bundle, &id()));
        if let Some((proportional, private)) = held(runtime.pid(&bundle, &id())) {
            add("created container, proportional", proportional);
            add("created container, written", private);
        }
        for verb in ["start", "kill"] {
            runtime.measure(&runtime.words(verb, &bundle, &id()));
        }
        Runtime::reap();
        runtime.measure(&runtime.words("delete", &bundle, &id()));
    }
    rows
}
