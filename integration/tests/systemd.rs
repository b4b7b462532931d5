//! `--systemd-cgroup`: scopes, their properties, their names, and users with a service manager of their own.

mod peer;
mod user;

use std::fs;
use std::path::PathBuf;

use integration::{Bundle, Cgroup, Context, Test, need, requires, test};
use serde_json::{Value, json};

/// A bundle whose scope is `it-NAME.scope`, and that name.
fn bundle(t: &Context, resources: Value) -> (Bundle, String) {
    let name = t.unique();
    let path = format!("system.slice:it:{name}");
    let patch = json!({"linux": {"cgroupsPath": path, "resources": resources}});
    let bundle = t.bundle().patch(patch).args(&["/guest", "trap"]).with(t.coracle().systemd());
    (bundle, format!("it-{name}.scope"))
}

fn directory(unit: &str) -> PathBuf {
    PathBuf::from("/sys/fs/cgroup/system.slice").join(unit)
}

/// What `systemctl show` says of these properties, sorted.
fn show(t: &Context, unit: &str, properties: &str) -> Vec<String> {
    let output = t.tool("/bin/systemctl", &["show", unit, "--property", properties]).run();
    let mut lines: Vec<String> = output.ok().stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn state(t: &Context, unit: &str) -> String {
    t.tool("/bin/systemctl", &["show", unit, "--property", "ActiveState", "--value"]).run().stdout.trim().to_owned()
}

fn annotated(t: &Context, name: &str, value: &str) -> (Bundle, String) {
    let (bundle, unit) = bundle(t, json!({}));
    (bundle.patch(json!({"annotations": {name: value}})), unit)
}

pub const TESTS: &[Test] = &[
    test("systemd: refused where there is none", &[], |t| {
        requires!(if need::path("/run/systemd/system").is_ok() { Err("has systemd".to_owned()) } else { Ok(()) });
        bundle(t, json!({})).0.run().fails().stderr("systemd not running on this host");
    }),
    test("systemd: a scope and the properties of its limits", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = bundle(
            t,
            json!({
                "memory": {"limit": 33_554_432, "reservation": 16_777_216, "swap": 67_108_864},
                "cpu": {"shares": 2048, "quota": 33333, "period": 50000, "cpus": "0", "mems": "0"},
                "pids": {"limit": 25}, "blockIO": {"weight": 300}, "unified": {"memory.high": "30000000"},
            }),
        );
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        assert_eq!(fs::read_to_string(directory(&unit).join("cgroup.procs")).unwrap(), format!("{}\n", container.pid()));
        let names = "Slice,Delegate,DefaultDependencies,MemoryMax,MemoryLow,MemorySwapMax,MemoryHigh,CPUWeight,\
                     CPUQuotaPerSecUSec,CPUQuotaPeriodUSec,TasksMax,AllowedCPUs,AllowedMemoryNodes,IOWeight,DevicePolicy";
        let want = [
            "AllowedCPUs=0", "AllowedMemoryNodes=0", "CPUQuotaPerSecUSec=670ms", "CPUQuotaPeriodUSec=50ms", "CPUWeight=174",
            "DefaultDependencies=no", "Delegate=yes", "DevicePolicy=strict", "IOWeight=2300", "MemoryHigh=30000000",
            "MemoryLow=16777216", "MemoryMax=33554432", "MemorySwapMax=33554432", "Slice=system.slice", "TasksMax=25",
        ];
        assert_eq!(show(t, &unit, names), want);
        // Exactly what was asked for, where properties are coarser.
        container.cgroup().holds(&[], &[("cpu.max", "33333 50000"), ("io.bfq.weight", "default 300")]);
        container.call("update").args(["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "26", "--cpu-share", "1024"]).run().ok();
        let want = ["CPUWeight=100", "MemoryMax=67108864", "MemorySwapMax=0", "TasksMax=26"];
        assert_eq!(show(t, &unit, "CPUWeight,MemoryMax,MemorySwapMax,TasksMax"), want);
        container.cgroup().holds(&[], &[("memory.max", "67108864"), ("memory.swap.max", "0"), ("pids.max", "26")]);
        // Nothing changes when one value cannot be.
        container.call("update").args(["--pids-limit", "27", "--cpuset-cpus", "4711"]).run().fails();
        assert_eq!(show(t, &unit, "TasksMax"), ["TasksMax=26"]);
        container.cgroup().holds(&[], &[("pids.max", "26")]);
        // systemd applies what it knows again.
        t.tool("/bin/systemctl", &["daemon-reload"]).run().ok();
        container.cgroup().holds(&[], &[("pids.max", "26"), ("memory.max", "67108864"), ("cpuset.cpus", "0")]);
    })
    .known(&[("runc 1.1.15", "has the older conversion of shares")]),
    test("systemd: annotations are properties", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = annotated(t, "org.systemd.property.TimeoutStopSec", "7");
        let bundle = bundle.patch(json!({"annotations": {"org.systemd.property.CollectMode": "'inactive-or-failed'"}}));
        let container = bundle.create();
        assert_eq!(show(t, &unit, "TimeoutStopUSec,CollectMode"), ["CollectMode=inactive-or-failed", "TimeoutStopUSec=7s"]);
        drop(container);
        for (name, value) in [("Nonsense", "7"), ("MemoryMax", "true"), ("MemoryMax", "tru"), ("A", "1"), ("After", "[]")] {
            let (bundle, unit) = annotated(t, &format!("org.systemd.property.{name}"), value);
            bundle.run().fails();
            assert_eq!(state(t, &unit), "inactive", "{name}={value}");
        }
    })
    .known(&[("runc", "takes an empty array for one of strings")]),
    test("systemd: cgroupsPath has three parts", &[], |t| {
        requires!(need::systemd());
        for path in ["/a/b", "a", "a.slice:b", "a:b:c", "a--b.slice:b:c", "a.slice:b:../c"] {
            let (bundle, _) = bundle(t, json!({}));
            bundle.patch(json!({"linux": {"cgroupsPath": path}})).run().fails();
        }
        let name = t.unique().replace('-', "");
        let (bundle, _) = bundle(t, json!({}));
        let container = bundle.patch(json!({"linux": {"cgroupsPath": format!("it{name}-x.slice:p:q")}})).create();
        let path = format!("/sys/fs/cgroup/it{name}.slice/it{name}-x.slice/p-q.scope");
        assert_eq!(Cgroup::of(container.pid()).directory(""), PathBuf::from(path));
        drop(container);
        t.tool("/bin/systemctl", &["stop", &format!("it{name}.slice")]).run().ok();
    }),
    test("systemd: a name that is taken", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = bundle(t, json!({}));
        let first = bundle.create();
        bundle.run().fails().stderr(&unit);
        assert_eq!((first.status().as_str(), state(t, &unit).as_str()), ("created", "active"));
        drop(first);
        assert_eq!(state(t, &unit), "inactive");
    }),
    test("systemd: a failed unit makes room", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = bundle(t, json!({}));
        let greedy = ["--quiet", "--scope", "--unit", &unit, "--property", "MemoryMax=4M", "--property", "MemorySwapMax=0", "--property"];
        let guest = t.guest().to_str().unwrap();
        t.tool("/bin/systemd-run", &[&greedy[..], &["OOMPolicy=stop", guest, "alloc", "33554432"]].concat()).run().code(137);
        assert_eq!(state(t, &unit), "failed");
        let container = bundle.create();
        assert_eq!(state(t, &unit), "active");
        drop(container);
        assert_eq!(state(t, &unit), "inactive");
    }),
    test("systemd: a scope that was stopped, and one of the same name that is another's", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = bundle(t, json!({}));
        let mut first = bundle.start();
        assert_eq!(first.line(), "ready");
        t.tool("/bin/systemctl", &["kill", "--signal", "KILL", &unit]).run().ok();
        assert_eq!(first.wait(), 137);
        assert_eq!(first.status(), "stopped");
        let second = bundle.create();
        first.delete().ok();
        assert_eq!((second.status().as_str(), state(t, &unit).as_str()), ("created", "active"));
    }),
    test("systemd: a cgroup inside the scope's", &[], |t| {
        requires!(need::systemd());
        let (bundle, unit) = bundle(t, json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 25}}));
        let mut container = bundle.patch(json!({"annotations": {"run.oci.systemd.subgroup": "in/side"}})).start();
        assert_eq!(container.line(), "ready");
        let inside = directory(&unit).join("in/side");
        assert_eq!(container.cgroup().directory(""), inside);
        container.cgroup().holds(&[], &[("memory.max", "33554432"), ("pids.max", "25")]);
        assert_eq!(show(t, &unit, "MemoryMax"), ["MemoryMax=33554432"]);
        assert_eq!(fs::read_to_string(directory(&unit).join("cgroup.procs")).unwrap(), "", "the scope's own is empty");
        let pid = container.exec_detached(&[], &["/guest", "sleep", "100"]);
        assert_eq!(Cgroup::of(pid).directory(""), inside);
        drop(container);
        assert!(fs::symlink_metadata(directory(&unit)).is_err());
        for name in ["/a", "..", "a//b"] {
            annotated(t, "run.oci.systemd.subgroup", name).0.run().fails();
        }
    })
    .known(&[("runc", "has no such annotation")]),
    test("systemd: the same unit and the same files as runc makes", &[], |t| {
        requires!(need::systemd());
        requires!(need::program("/usr/sbin/runc"));
        peer::same(t);
    }),
    test("systemd: a user with a service manager", &[261], |t| {
        requires!(need::systemd());
        requires!(need::disposable());
        user::lives(t);
    }),
    test("systemd: a user without a service manager is told what to do", &[], |t| {
        requires!(need::systemd());
        requires!(need::disposable());
        user::is_told(t);
    }),
];
