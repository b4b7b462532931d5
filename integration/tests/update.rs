//! update: limits of a container that runs, read back from the kernel; all of them or none.

use std::fs;

use integration::{Container, Context, Output, Test, need, requires, test};
use serde_json::{Value, json};

use crate::cgroups::{limited, v1, v2};

/// A running container with these limits, and the name of its cgroup.
fn running(t: &Context, resources: Value) -> (Container, String) {
    let (bundle, name) = limited(t, resources);
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    (container, name)
}

fn update(t: &Context, container: &Container, options: &[&str]) -> Output {
    t.coracle().call(["update"]).args(options).arg(container.id()).run()
}

fn from_stdin(t: &Context, container: &Container, resources: &Value) -> Output {
    t.coracle().call(["update", "-r", "-", container.id()]).stdin(resources.to_string()).run()
}

fn reads(name: &str, files: &[(&str, &str, &str)]) {
    for (controller, file, value) in files {
        assert_eq!(&v1(controller, name, file), value, "{file}");
    }
}

pub const TESTS: &[Test] = &[
    test("update: memory by options, v1", &[320, 321, 322, 328], |t| {
        requires!(need::v1("memory"));
        let (container, name) = running(t, json!({"memory": {"limit": 33_554_432}}));
        update(t, &container, &["--memory", "64m", "--memory-reservation=1.5MiB"]).ok();
        reads(
            &name,
            &[("memory", "memory.limit_in_bytes", "67108864"), ("memory", "memory.soft_limit_in_bytes", "1572864")],
        );
        requires!(need::path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"));
        for (memory, swap, limit, both) in [
            ("20m", "40m", "20971520", "41943040"),
            ("1g", "1g", "1073741824", "1073741824"),
            ("20M", "20M", "20971520", "20971520"),
        ] {
            update(t, &container, &["--memory", memory, "--memory-swap", swap]).ok();
            reads(
                &name,
                &[("memory", "memory.limit_in_bytes", limit), ("memory", "memory.memsw.limit_in_bytes", both)],
            );
        }
        update(t, &container, &["--memory", "-1"]).ok();
        assert!(v1("memory", &name, "memory.limit_in_bytes").len() > 15);
        assert!(v1("memory", &name, "memory.memsw.limit_in_bytes").len() > 15);
    }),
    test("update: cpu by options, v1", &[330, 331, 332, 335, 336], |t| {
        requires!(need::v1("cpu"));
        let (container, name) = running(t, json!({"cpu": {"shares": 512, "quota": 40000, "period": 80000}}));
        let (quota, period) = ("cpu.cfs_quota_us", "cpu.cfs_period_us");
        update(t, &container, &["--cpu-period", "90000"]).ok();
        reads(&name, &[("cpu", quota, "40000"), ("cpu", period, "90000"), ("cpu", "cpu.shares", "512")]);
        update(t, &container, &["--cpu-quota", "60000"]).ok();
        reads(&name, &[("cpu", quota, "60000"), ("cpu", period, "90000")]);
        update(t, &container, &["--cpu-share", "200", "--cpuset-cpus", "0", "--cpuset-mems", "0"]).ok();
        reads(&name, &[("cpu", "cpu.shares", "200"), ("cpuset", "cpuset.cpus", "0"), ("cpuset", "cpuset.mems", "0")]);
        update(t, &container, &["--cpu-quota", "-1"]).ok();
        reads(&name, &[("cpu", quota, "-1"), ("cpu", period, "90000"), ("cpu", "cpu.shares", "200")]);
    }),
    test("update: cpu burst and idle, v1", &[337, 339], |t| {
        requires!(need::v1("cpu"));
        requires!(need::path("/sys/fs/cgroup/cpu/cpu.idle"));
        let (container, name) = running(t, json!({"cpu": {"shares": 512, "quota": 40000, "period": 80000}}));
        update(t, &container, &["--cpu-burst", "20000"]).ok();
        reads(&name, &[("cpu", "cpu.cfs_burst_us", "20000"), ("cpu", "cpu.cfs_quota_us", "40000")]);
        update(t, &container, &["--cpu-burst", "90000"]).fails();
        reads(&name, &[("cpu", "cpu.cfs_burst_us", "20000")]);
        update(t, &container, &["--cpu-idle", "1"]).ok();
        reads(&name, &[("cpu", "cpu.idle", "1")]);
        update(t, &container, &["--cpu-idle", "0", "--cpu-share", "300"]).ok();
        reads(&name, &[("cpu", "cpu.idle", "0"), ("cpu", "cpu.shares", "300")]);
        update(t, &container, &["--cpu-idle", "2"]).fails();
    })
    .known(&[("runc 1.1", "does not know burst and idle")]),
    test("update: processes, v1", &[348, 349], |t| {
        requires!(need::v1("pids"));
        let (container, name) = running(t, json!({"pids": {"limit": 20}}));
        for (limit, value) in [("30", "30"), ("-1", "max"), ("10", "10")] {
            update(t, &container, &[&format!("--pids-limit={limit}")]).ok();
            reads(&name, &[("pids", "pids.max", value)]);
        }
        update(t, &container, &["--cpu-share", "300"]).ok();
        reads(&name, &[("pids", "pids.max", "10")]);
        update(t, &container, &["--pids-limit", "many"]).fails();
    }),
    test("update: a pids limit of 0 is 1", &[349], |t| {
        requires!(need::v1("pids"));
        let (container, name) = running(t, json!({"pids": {"limit": 20}}));
        update(t, &container, &["--pids-limit", "0"]).ok();
        reads(&name, &[("pids", "pids.max", "1")]);
    })
    .known(&[("runc 1.1", "takes it for none")]),
    test("update: from a file and from standard input", &[320, 330, 343, 348], |t| {
        requires!(need::v1("memory"));
        let (container, name) = running(t, json!({}));
        let resources = json!({"memory": {"limit": 33_554_432}, "cpu": {"shares": 100}, "pids": {"limit": 20}});
        let file = t.path("resources.json");
        fs::write(&file, resources.to_string()).unwrap();
        update(t, &container, &["--resources", file.to_str().unwrap(), "--pids-limit", "99"]).ok();
        let files =
            [("memory", "memory.limit_in_bytes", "33554432"), ("cpu", "cpu.shares", "100"), ("pids", "pids.max", "20")];
        reads(&name, &files);
        from_stdin(t, &container, &json!({"pids": {"limit": 25}, "cpu": {"cpus": "0"}})).ok();
        reads(&name, &[("pids", "pids.max", "25"), ("cpuset", "cpuset.cpus", "0"), ("cpu", "cpu.shares", "100")]);
        update(t, &container, &["-r", "/nosuchfile"]).fails().stderr("o such file or directory");
        t.coracle().call(["update", "-r", "-", container.id()]).stdin("{").run().fails();
        from_stdin(t, &container, &json!({"pids": {"limit": "x"}})).fails();
        reads(&name, &[("pids", "pids.max", "25")]);
    }),
    test("update: block devices, v1", &[340, 343], |t| {
        requires!(need::path("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"));
        requires!(need::path("/sys/block/loop0"));
        let throttle =
            |rate: u32| json!({"blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0, "rate": rate}]}});
        let (container, name) = running(t, throttle(1_000_000));
        from_stdin(t, &container, &throttle(2_000_000)).ok();
        reads(&name, &[("blkio", "blkio.throttle.read_bps_device", "7:0 2000000")]);
        from_stdin(t, &container, &json!({"pids": {"limit": 7}})).ok();
        reads(&name, &[("blkio", "blkio.throttle.read_bps_device", "7:0 2000000")]);
    })
    .known(&[("runc 1.1", "takes no block devices from a file")]),
    test("update: after a failure every limit is what it was, v1", &[], |t| {
        requires!(need::v1("memory"));
        let before = json!({
            "memory": {"limit": 33_554_432, "reservation": 16_777_216}, "pids": {"limit": 20},
            "cpu": {"shares": 512, "quota": 40000, "period": 80000, "cpus": "0"},
        });
        let (container, name) = running(t, before);
        let same = || {
            reads(
                &name,
                &[
                    ("memory", "memory.limit_in_bytes", "33554432"),
                    ("memory", "memory.soft_limit_in_bytes", "16777216"),
                    ("pids", "pids.max", "20"),
                    ("cpu", "cpu.shares", "512"),
                    ("cpu", "cpu.cfs_quota_us", "40000"),
                    ("cpu", "cpu.cfs_period_us", "80000"),
                    ("cpuset", "cpuset.cpus", "0"),
                ],
            );
        };
        let others =
            json!({"memory": {"reservation": 1_048_576}, "pids": {"limit": 9}, "cpu": {"shares": 99, "quota": 50000}});
        for (part, field, value) in
            [("memory", "limit", json!(4096)), ("cpu", "cpus", json!("4711")), ("cpu", "period", json!(1))]
        {
            let mut asked = others.clone();
            asked[part][field] = value;
            from_stdin(t, &container, &asked).fails();
            same();
        }
        let low = update(t, &container, &["--memory", "4k"]);
        low.fails().stderr("unable to set memory limit to 4096 (current usage: ").stderr(", peak usage: ");
        same();
        // What failed is forgotten: the next update goes on from what holds.
        update(t, &container, &["--cpu-period", "90000"]).ok();
        reads(&name, &[("cpu", "cpu.cfs_quota_us", "40000"), ("cpu", "cpu.cfs_period_us", "90000")]);
    })
    .known(&[("runc 1.1", "writes back only what its configuration had")]),
    test("update: a limit below the usage is refused when the configuration asks for it", &[329], |t| {
        requires!(need::v1("memory"));
        let (container, name) = running(t, json!({"memory": {"limit": 33_554_432, "checkBeforeUpdate": true}}));
        update(t, &container, &["--memory", "8k"]).fails().stderr("rejecting memory limit 8192 <= usage ");
        let asked = json!({"memory": {"limit": 8192, "checkBeforeUpdate": true}});
        from_stdin(t, &container, &asked).fails().stderr("rejecting memory limit");
        reads(&name, &[("memory", "memory.limit_in_bytes", "33554432")]);
    })
    .known(&[("runc 1.1", "leaves it to the kernel on v1")]),
    test("update: rules for devices stay", &[], |t| {
        requires!(need::v1("devices"));
        let (container, name) = running(t, json!({"devices": [{"allow": false, "access": "rwm"}]}));
        let before = v1("devices", &name, "devices.list");
        fs::write(format!("/sys/fs/cgroup/devices/{name}/devices.allow"), "c 10:229 rw").unwrap();
        let changed = v1("devices", &name, "devices.list");
        assert_ne!(before, changed);
        from_stdin(t, &container, &json!({"pids": {"limit": 9}, "devices": [{"allow": true, "access": "rwm"}]})).ok();
        assert_eq!(v1("devices", &name, "devices.list"), changed);
    }),
    test("update: a plain v2 tree", &[344, 345, 353], |t| {
        requires!(need::v2("hugetlb"));
        let (bundle, name) = limited(t, json!({"unified": {"cgroup.max.depth": "3"}}));
        let mut container = bundle.with(t.coracle().v2()).start();
        assert_eq!(container.line(), "ready");
        let ask = |resources: Value| {
            t.coracle().v2().call(["update", "-r", "-", container.id()]).stdin(resources.to_string()).run()
        };
        ask(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]})).ok();
        assert_eq!(v2(&name, "hugetlb.2MB.max"), "4194304");
        ask(json!({"unified": {"hugetlb.1GB.max": "1073741824"}})).ok();
        assert_eq!(v2(&name, "hugetlb.1GB.max"), "1073741824");
        assert_eq!((v2(&name, "hugetlb.2MB.max"), v2(&name, "cgroup.max.depth")), ("4194304".into(), "3".into()));
        let wrong =
            json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 8_388_608}], "unified": {"hugetlb.1GB.max": "x"}});
        ask(wrong).fails();
        assert_eq!(
            (v2(&name, "hugetlb.2MB.max"), v2(&name, "hugetlb.1GB.max")),
            ("4194304".into(), "1073741824".into())
        );
        ask(json!({"memory": {"swappiness": 5}})).fails();
    })
    .known(&[("runc", "takes only unified settings here, and leaves half of them")]),
    test("update: the container must be there and not have stopped", &[], |t| {
        requires!(need::v1("pids"));
        let (bundle, name) = limited(t, json!({}));
        let mut container = bundle.create();
        update(t, &container, &["--pids-limit", "20"]).ok();
        reads(&name, &[("pids", "pids.max", "20")]);
        container.call("pause").run().ok();
        update(t, &container, &["--pids-limit", "21"]).ok();
        reads(&name, &[("pids", "pids.max", "21")]);
        container.call("resume").run().ok();
        container.kill("KILL").ok();
        container.wait();
        update(t, &container, &["--pids-limit", "22"]).fails().stderr("container not running");
        container.delete().ok();
        update(t, &container, &["--pids-limit", "22"]).fails().stderr("container does not exist");
    }),
    test("update: values that are none", &[], |t| {
        requires!(need::v1("pids"));
        let (container, _) = running(t, json!({}));
        for (option, value) in [
            ("--memory", "12x"),
            ("--memory", "-2"),
            ("--cpu-quota", "x"),
            ("--cpu-period", "-1"),
            ("--cpu-share", "1.5"),
        ] {
            let name = option.trim_start_matches('-');
            update(t, &container, &[option, value]).fails().stderr(&format!("invalid value for {name}: "));
        }
        update(t, &container, &["--cpu-share", "1"]).fails().stderr("the minimum allowed cpu-shares is 2");
        update(t, &container, &["--kernel-memory", "5m"]).ok().stderr("Kernel memory settings are ignored");
        update(t, &container, &[]).ok();
    }),
];
