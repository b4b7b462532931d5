//! Limits: set at create, changed by update, read back from the kernel and felt by a process. The same in both versions
//! of cgroups, and whoever makes them.

mod cpu;
mod disk;
mod memory;

pub use disk::numbers_below as disk_below;

use std::time::{Duration, Instant};

use integration::{Bundle, Cgroup, Container, Context, Output, Test, need, requires, test};
use serde_json::{Value, json};

use crate::cgroups::limited;

const MIB: u64 = 1 << 20;

/// Where shares become a weight of v2, runc 1.1 has another curve. (Debian 12's is run on v1 alone.)
pub const OLDER_WEIGHTS: &[(&str, &str)] = &[("runc 1.1.15", "has the older conversion of shares")];

/// Who makes the cgroup.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Cgroupfs,
    Systemd,
}

/// A bundle with these limits, below one parent for all of the same driver.
fn bundle(t: &Context, driver: Driver, resources: Value) -> Bundle {
    let (bundle, name) = limited(t, resources);
    if driver == Driver::Cgroupfs {
        return bundle;
    }
    requires!(need::systemd());
    let path = json!({"linux": {"cgroupsPath": format!("system.slice:it:{name}")}});
    bundle.patch(path).with(t.coracle().systemd())
}

/// What became of a container with limits that may not be set.
fn tried(t: &Context, driver: Driver, resources: Value) -> Output {
    bundle(t, driver, resources).args(&["/guest", "exit", "0"]).run()
}

/// A container that runs, and its cgroup.
struct Limited {
    container: Container,
    cgroup: Cgroup,
}

impl Limited {
    #[track_caller]
    fn start(bundle: &Bundle) -> Limited {
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        let cgroup = container.cgroup();
        Limited { container, cgroup }
    }

    #[track_caller]
    fn new(t: &Context, driver: Driver, resources: Value) -> Limited {
        Limited::start(&bundle(t, driver, resources))
    }

    fn update(&self, resources: &Value) -> Output {
        self.container.call("update").args(["-r", "-"]).stdin(resources.to_string()).run()
    }

    fn does(&self, deed: &[&str]) -> Output {
        self.container.exec([&["/guest"], deed].concat())
    }

    /// Processor time used so far.
    fn used(&self) -> Duration {
        if Cgroup::is_v2() {
            return Duration::from_micros(self.cgroup.number("cpu.stat", "usage_usec"));
        }
        Duration::from_nanos(self.cgroup.read("cpuacct.usage").parse().unwrap())
    }
}

fn pids(t: &Context, driver: Driver) {
    requires!(need::controller("pids"));
    let limits = |limit: i64| json!({"pids": {"limit": limit}});
    let holds = |limited: &Limited, value| limited.cgroup.holds(&[("pids.max", value)], &[("pids.max", value)]);
    let limited = Limited::new(t, driver, limits(20));
    holds(&limited, "20");
    limited.does(&["fork", "30"]).ok().stdout("Try again");
    limited.update(&limits(60)).ok();
    holds(&limited, "60");
    limited.does(&["fork", "30"]).ok().says("forked 30");
    limited.update(&limits(20)).ok();
    limited.does(&["fork", "30"]).ok().stdout("Try again");
    limited.update(&limits(-1)).ok();
    holds(&limited, "max");
    limited.does(&["fork", "30"]).ok().says("forked 30");
}

fn devices(t: &Context, driver: Driver) {
    requires!(need::controller("devices"));
    let node = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    let none = json!({"allow": false, "access": "rwm"});
    let read = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"});
    let node = json!({"linux": {"devices": node}});
    let limited = Limited::start(&bundle(t, driver, json!({"devices": [none, read]})).patch(node.clone()));
    let holds = || {
        limited.does(&["open", "/dev/fuse", "r"]).ok();
        limited.does(&["open", "/dev/fuse", "w"]).fails().stderr("not permitted");
        limited.does(&["open", "/dev/null", "rw"]).ok();
    };
    holds();
    limited.update(&json!({"pids": {"limit": 50}})).ok();
    holds();
    if driver == Driver::Systemd {
        t.tool("/bin/systemctl", &["daemon-reload"]).run().ok();
        holds();
    }
    let limited = Limited::start(&bundle(t, driver, json!({"devices": [none]})).patch(node));
    limited.does(&["open", "/dev/fuse", "r"]).fails().stderr("not permitted");
}

fn unified(t: &Context, driver: Driver) {
    requires!(if Cgroup::is_v2() { need::controller("memory") } else { Err("no plain cgroup v2 tree".into()) });
    let limits = |high: &str| json!({"unified": {"memory.high": high, "pids.max": "30"}});
    let limited = Limited::new(t, driver, limits("16777216"));
    limited.cgroup.holds(&[], &[("memory.high", "16777216"), ("pids.max", "30")]);
    let often = || limited.cgroup.number("memory.events", "high");
    assert_eq!(often(), 0);
    let mut greedy = limited.container.call("exec").args(["/guest", "alloc", "33554432"]).spawn();
    let end = Instant::now() + Duration::from_secs(10);
    while often() == 0 {
        assert!(Instant::now() < end, "never above memory.high");
        std::thread::sleep(Duration::from_millis(5));
    }
    limited.update(&limits("max")).ok();
    limited.cgroup.holds(&[], &[("memory.high", "max")]);
    greedy.wait().ok();
    for (key, value) in
        [("memory.high", "x"), ("misc.max", "moon 1"), ("rdma.max", "moon hca_handle=1"), ("moon.max", "1")]
    {
        limited.update(&json!({"unified": {key: value}})).fails().stderr(key);
        tried(t, driver, json!({"unified": {key: value}})).fails().stderr(key);
    }
}

macro_rules! by_both_drivers {
    ($($name:literal, $covers:expr, $known:expr, $body:path;)*) => {
        pub const TESTS: &[Test] = &[$(
            test(concat!("limits: ", $name), $covers, |t| $body(t, Driver::Cgroupfs)).known($known),
            test(concat!("limits: ", $name, ", by systemd"), $covers, |t| $body(t, Driver::Systemd)).known($known),
        )*];
    };
}

// Read back and not felt, for what comes of them is left to the kernel: memory.reservation and swappiness (they count when
// the whole machine reclaims memory, and then as a preference) and the weights of a disk (bfq's, which share out the time
// of a disk while it has more to do than it can).
by_both_drivers! {
    "memory", &[320, 321, 328, 227], &[], memory::memory;
    "too much memory of its own is the container's death", &[320], &[], memory::own_memory;
    "swap", &[322], &[], memory::swap;
    "swappiness and no killer", &[325, 326, 355], &[("runc 1.1", "does not update them, and ignores them on v2")], memory::swappiness;
    "huge pages", &[344, 345, 352], &[("runc 1.1", "does not limit reservations")], memory::huge_pages;
    "processes", &[348, 227], &[], pids;
    "processor time", &[331, 332], &[], cpu::quota;
    "shares of a processor", &[330], OLDER_WEIGHTS, cpu::shares;
    "idle and burst", &[337, 338, 339], &[("runc 1.1", "does not know burst and idle")], cpu::idle;
    "a burst above the quota", &[337], &[("runc 1.1", "does not know burst and idle")], cpu::burst;
    "processors and memory nodes", &[335, 336], &[], cpu::cpuset;
    "real-time processor time", &[333, 334, 355], &[("runc 1.1.15", "ignores it on v2")], cpu::realtime;
    "rates of a disk", &[343], &[("runc 1.1", "takes no block devices from a file")], disk::throttle;
    "weights of a disk", &[340], &[("runc 1.1", "takes no block devices from a file")], disk::weight;
    "devices", &[314, 315, 319], &[], devices;
    "unified settings", &[353, 354, 227], &[], unified;
}
