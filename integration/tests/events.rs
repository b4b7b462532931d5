//! events: statistics against the kernel's files and against another runtime's, and word of memory running out.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use integration::{Bundle, Cgroup, Container, Context, Running, Test, need, requires, test};
use serde_json::{Value, json};

use crate::cgroups::{limited, unified, v1, v2};

const RUNC: &str = "/usr/sbin/runc";

fn running(bundle: &Bundle) -> Container {
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    container
}

/// The data of `events --stats`, once its frame is found to be right.
fn stats(container: &Container) -> Value {
    let output = container.call("events").arg("--stats").run();
    assert_eq!(output.stdout.lines().count(), 1, "{}", output.stdout);
    let event = output.json();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!(container.id())));
    event["data"].clone()
}

fn event(running: &mut Running) -> Value {
    serde_json::from_str(&running.line()).unwrap()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

fn keys(value: &Value) -> BTreeSet<&String> {
    value.as_object().unwrap().keys().collect()
}

/// A stream of events of which one has come already.
fn stream(t: &Context, container: &Container, v2: bool) -> Running {
    let coracle = if v2 { t.coracle().v2() } else { t.coracle() };
    let mut running = coracle.call(["events", "--interval", "100ms", container.id()]).spawn();
    assert_eq!(event(&mut running)["type"], "stats");
    running
}

pub const TESTS: &[Test] = &[
    test("events: the statistics are the kernel's, v1", &[], |t| {
        requires!(need::v1("memory"));
        let (bundle, name) =
            limited(t, json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 30}, "cpu": {"cpus": "0"}}));
        let container = running(&bundle);
        let data = stats(&container);
        assert_eq!(data["pids"], json!({"current": 1, "limit": 30}));
        assert_eq!(data["memory"]["usage"]["limit"], 33_554_432);
        assert_eq!(data["memory"]["usage"]["failcnt"], number(&v1("memory", &name, "memory.failcnt")));
        assert_eq!(data["memory"]["raw"]["hierarchical_memory_limit"], 33_554_432);
        let lines = v1("memory", &name, "memory.stat").lines().count();
        assert_eq!(data["memory"]["raw"].as_object().unwrap().len(), lines);
        assert_eq!((&data["cpuset"]["cpus"], &data["cpuset"]["sched_relax_domain_level"]), (&json!([0]), &json!(-1)));
        assert_eq!(data["cpu"]["usage"]["total"], number(&v1("cpuacct", &name, "cpuacct.usage")));
        let usage: Vec<u64> = v1("cpuacct", &name, "cpuacct.usage_percpu").split(' ').map(number).collect();
        assert_eq!(data["cpu"]["usage"]["percpu"], json!(usage));
        assert_eq!((&data["intel_rdt"], &data["network_interfaces"]), (&json!({}), &Value::Null));
    }),
    test("events: the statistics have the shape of another runtime's", &[], |t| {
        requires!(need::program(RUNC));
        requires!(need::controller("memory"));
        let resources = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 30}});
        let of = |coracle| {
            let (bundle, _) = limited(t, resources.clone());
            stats(&running(&bundle.with(coracle)))
        };
        let (mut ours, mut theirs) = (of(t.coracle()), of(t.peer(RUNC)));
        for stats in [&mut ours, &mut theirs] {
            // runc 1.1 does not tell of pressure, and nobody of a cache without anything in it.
            for (part, key) in [("cpu", "psi"), ("memory", "psi"), ("blkio", "psi"), ("memory", "cache")] {
                stats[part].as_object_mut().unwrap().remove(key);
            }
        }
        assert_eq!(keys(&ours), keys(&theirs));
        for part in ["cpu", "cpuset", "memory", "pids"] {
            assert_eq!(keys(&ours[part]), keys(&theirs[part]), "{part}");
        }
        let mut groups = vec![("memory", "raw"), ("memory", "usage"), ("memory", "swap"), ("memory", "kernel")];
        // v2 may have counted nothing yet, which is left out.
        groups.extend((!Cgroup::is_v2()).then_some(("cpu", "usage")));
        for (part, below) in groups {
            assert_eq!(keys(&ours[part][below]), keys(&theirs[part][below]), "{part} {below}");
        }
        assert_eq!(ours["cpuset"], theirs["cpuset"]);
        assert_eq!(ours["memory"]["kernelTCP"], theirs["memory"]["kernelTCP"]);
    }),
    test("events: the statistics are the kernel's, v2", &[], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let container = running(&bundle.with(t.coracle().v2()));
        let data = stats(&container);
        let value = |key: &str| {
            let text = v2(&name, "cpu.stat");
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ').map(str::to_owned));
            1000 * number(&line.unwrap())
        };
        for (key, file) in [("total", "usage_usec"), ("user", "user_usec"), ("kernel", "system_usec")] {
            // Nothing is left out where the kernel counts by ticks and has seen none.
            assert_eq!(data["cpu"]["usage"][key].as_u64().unwrap_or(0), value(file), "{key}");
        }
        assert_eq!(data["pids"]["current"], 1);
        if std::fs::read_to_string(unified().join(&name).join("cpu.pressure")).is_ok() {
            for part in ["cpu", "memory", "blkio"] {
                for which in ["some", "full"] {
                    let wanted = json!(["avg10", "avg300", "avg60", "total"]);
                    assert_eq!(json!(keys(&data[part]["psi"][which])), wanted, "{part}");
                }
            }
        }
        if need::v2("hugetlb").is_ok() {
            assert_eq!(data["hugetlb"]["2MB"], json!({"failcnt": 0}));
        }
    })
    .known(&[("runc 1.1", "does not tell of pressure")]),
    test("events: the statistics are the kernel's, of every controller of v2", &[], |t| {
        requires!(if Cgroup::is_v2() { need::controller("memory") } else { Err("no plain cgroup v2 tree".into()) });
        let memory = json!({"limit": 33_554_432, "swap": 50_331_648});
        let cpu = json!({"quota": 10_000, "period": 50_000});
        let container = running(&limited(t, json!({"memory": memory, "cpu": cpu, "pids": {"limit": 30}})).0);
        container.exec(["/guest", "burn", "0.2"]).ok();
        container.exec(["/guest", "pull", "/guest", "262144"]).ok();
        let (data, cgroup) = (stats(&container), container.cgroup());
        let (cpu, memory) = (&data["cpu"], &data["memory"]);
        let time = |key: &str| 1000 * cgroup.number("cpu.stat", key);
        assert_eq!(cpu["usage"]["total"], time("usage_usec"));
        let throttling = &cpu["throttling"];
        assert_eq!(throttling["throttledPeriods"], cgroup.number("cpu.stat", "nr_throttled"));
        assert_eq!(throttling["throttledTime"], time("throttled_usec"));
        // A last one may have ended since.
        let (periods, told) = (cgroup.number("cpu.stat", "nr_periods"), throttling["periods"].as_u64().unwrap());
        assert!(told > 1 && periods - told < 3, "{told} and then {periods}");
        assert_eq!((&memory["usage"]["limit"], &memory["swap"]["limit"]), (&json!(33_554_432), &json!(50_331_648)));
        assert_eq!(memory["usage"]["max"], number(&cgroup.read("memory.peak")));
        let (used, told) = (number(&cgroup.read("memory.current")), memory["usage"]["usage"].as_u64().unwrap());
        assert!(used.abs_diff(told) < 1 << 20, "{told} and then {used}");
        let raw = memory["raw"].as_object().unwrap();
        assert_eq!(raw.len(), cgroup.read("memory.stat").lines().count());
        assert_eq!(raw["pgfault"], cgroup.number("memory.stat", "pgfault"));
        assert_eq!(data["pids"], json!({"current": 1, "limit": 30}));
        let io = cgroup.read("io.stat");
        let (device, words) = io.lines().next().unwrap().split_once(' ').unwrap();
        let word =
            |key: &str| number(words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap());
        let first = |list: &str| data["blkio"][list][0].clone();
        let (major, minor) = device.split_once(':').unwrap();
        let entry = |op: &str, value: u64| {
            let mut entry = json!({"major": number(major), "op": op, "value": value});
            // Zero is left out.
            if minor != "0" {
                entry["minor"] = json!(number(minor));
            }
            entry
        };
        assert!(word("rbytes") >= 262_144, "{io}");
        assert_eq!(first("ioServiceBytesRecursive"), entry("Read", word("rbytes")));
        assert_eq!(first("ioServicedRecursive"), entry("Read", word("rios")));
    }),
    test("events: a stream ends with the container", &[], |t| {
        for v2 in [false, true] {
            if v2 {
                requires!(need::unified());
            }
            let coracle = if v2 { t.coracle().v2() } else { t.coracle() };
            let mut container = running(&t.bundle().args(&["/guest", "trap"]).with(coracle));
            let mut events = stream(t, &container, v2);
            let second = event(&mut events);
            assert_eq!((&second["type"], &second["id"]), (&json!("stats"), &json!(container.id())));
            container.kill("TERM").ok();
            assert_eq!(container.wait(), 15);
            events.wait().ok();
        }
    })
    .known(&[("runc 1.1.5", "goes on until the cgroup is removed, and needs a memory controller")]),
    test("events: memory that runs out is told", &[], |t| {
        requires!(need::controller("memory"));
        requires!(need::verb(t, "exec"));
        let (bundle, _) = limited(t, json!({"memory": {"limit": 16_777_216}}));
        let mut container = running(&bundle);
        let mut events = stream(t, &container, false);
        container.exec(["/guest", "alloc", "67108864"]).code(137);
        let told = loop {
            let event = event(&mut events);
            if event["type"] != "stats" {
                break event;
            }
        };
        assert_eq!(told, json!({"type": "oom", "id": container.id()}));
        assert_eq!(container.status(), "running");
        container.kill("TERM").ok();
        container.wait();
    }),
    test("events: the container's own end for want of memory is told", &[], |t| {
        requires!(need::controller("memory"));
        let (bundle, _) = limited(t, json!({"memory": {"limit": 16_777_216}}));
        let mut container = bundle.args(&["/guest", "alloc", "67108864"]).create();
        let mut events = t.coracle().call(["events", "--interval", "10s", container.id()]).spawn();
        let end = Instant::now() + Duration::from_secs(10);
        while !listens(&events) {
            assert!(Instant::now() < end, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        container.start().ok();
        assert_eq!(container.wait(), 137);
        let output = events.wait();
        assert_eq!(output.json(), json!({"type": "oom", "id": container.id()}));
    })
    .known(&[("runc 1.1.5", "goes on until the cgroup is removed")]),
    test("events: what is refused", &[], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        for interval in ["0", "-1s", "0ms"] {
            let refused = container.call("events").args(["--interval", interval]).run();
            refused.fails().stderr("duration interval must be greater than 0");
        }
        let wrong = container.call("events").args(["--interval", "5"]).run();
        wrong.fails().stderr("for flag -interval: parse error");
        container.kill("KILL").ok();
        container.wait();
        for option in ["--stats", "--interval=1s"] {
            let text = format!("container with id {} is not running", container.id());
            container.call("events").arg(option).run().fails().stderr(&text);
        }
        t.coracle().call(["events", "nosuchthing"]).run().fails().stderr("container does not exist");
    }),
];

/// Whether `events` has something open that tells of memory; it says nothing when it begins to listen.
fn listens(events: &Running) -> bool {
    let list = std::fs::read_dir(format!("/proc/{}/fd", events.pid())).into_iter().flatten().flatten();
    list.filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .any(|link| ["eventfd", "memory.events"].iter().any(|name| link.to_string_lossy().contains(name)))
}
