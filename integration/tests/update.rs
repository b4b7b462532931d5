//! update: limits of a container that runs, read back from the kernel; all of them or none.

use std::fs;

use integration::{Cgroup, Container, Context, Output, Test, need, requires, test};
use serde_json::{Value, json};

use crate::cgroups::{limited, v2};
use crate::limits::OLDER_WEIGHTS;

/// A running container with these limits, and its cgroup.
fn running(t: &Context, resources: Value) -> (Container, Cgroup) {
    let mut container = limited(t, resources).0.start();
    assert_eq!(container.line(), "ready");
    let cgroup = container.cgroup();
    (container, cgroup)
}

fn update(t: &Context, container: &Container, options: &[&str]) -> Output {
    t.coracle().call(["update"]).args(options).arg(container.id()).run()
}

fn from_stdin(t: &Context, container: &Container, resources: &Value) -> Output {
    t.coracle().call(["update", "-r", "-", container.id()]).stdin(resources.to_string()).run()
}

/// Processor time as the kernel has it.
fn cpu(cgroup: &Cgroup, quota: &str, period: &str, shares: &str) {
    let weight = match shares {
        "1024" => "100",
        "512" => "59",
        "300" => "39",
        "200" => "29",
        _ => "17",
    };
    let max = format!("{} {period}", if quota == "-1" { "max" } else { quota });
    cgroup.holds(
        &[("cpu.cfs_quota_us", quota), ("cpu.cfs_period_us", period), ("cpu.shares", shares)],
        &[("cpu.max", &max), ("cpu.weight", weight)],
    );
}

fn pids(cgroup: &Cgroup, limit: &str) {
    cgroup.holds(&[("pids.max", limit)], &[("pids.max", limit)]);
}

/// Processors, and memory nodes.
fn sets(cgroup: &Cgroup, cpus: &str, mems: &str) {
    let both = [("cpuset.cpus", cpus), ("cpuset.mems", mems)];
    cgroup.holds(&both, &both);
}

fn memory(cgroup: &Cgroup, limit: &str, reservation: &str) {
    cgroup.holds(
        &[("memory.limit_in_bytes", limit), ("memory.soft_limit_in_bytes", reservation)],
        &[("memory.max", limit), ("memory.low", reservation)],
    );
}

pub const TESTS: &[Test] = &[
    test("update: memory by options", &[320, 321, 322, 328], |t| {
        requires!(need::controller("memory"));
        let (container, cgroup) = running(t, json!({"memory": {"limit": 33_554_432}}));
        update(t, &container, &["--memory", "64m", "--memory-reservation=1.5MiB"]).ok();
        memory(&cgroup, "67108864", "1572864");
        for (memory, both, limit, sum, swap) in [
            ("20m", "40m", "20971520", "41943040", "20971520"),
            ("1g", "1g", "1073741824", "1073741824", "0"),
            ("20M", "20M", "20971520", "20971520", "0"),
        ] {
            update(t, &container, &["--memory", memory, "--memory-swap", both]).ok();
            cgroup.holds(
                &[("memory.limit_in_bytes", limit), ("memory.memsw.limit_in_bytes", sum)],
                &[("memory.max", limit), ("memory.swap.max", swap)],
            );
        }
        update(t, &container, &["--memory", "-1"]).ok();
        let none = if Cgroup::is_v2() {
            ["memory.max", "memory.swap.max"]
        } else {
            ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        };
        for value in none.map(|file| cgroup.read(file)) {
            assert!(value == "max" || value.len() > 15, "{value}");
        }
    }),
    test("update: processor time by options", &[330, 331, 332, 335, 336], |t| {
        requires!(need::controller("cpu"));
        requires!(need::controller("cpuset"));
        let (container, cgroup) = running(t, json!({"cpu": {"shares": 512, "quota": 40000, "period": 80000}}));
        update(t, &container, &["--cpu-period", "90000"]).ok();
        cpu(&cgroup, "40000", "90000", "512");
        update(t, &container, &["--cpu-quota", "60000"]).ok();
        cpu(&cgroup, "60000", "90000", "512");
        update(t, &container, &["--cpu-share", "200", "--cpuset-cpus", "0", "--cpuset-mems", "0"]).ok();
        cpu(&cgroup, "60000", "90000", "200");
        sets(&cgroup, "0", "0");
        update(t, &container, &["--cpu-quota", "-1"]).ok();
        cpu(&cgroup, "-1", "90000", "200");
    })
    .known(OLDER_WEIGHTS),
    test("update: burst and idle by options", &[337, 339], |t| {
        requires!(need::controller("cpu"));
        let (container, cgroup) = running(t, json!({"cpu": {"shares": 512, "quota": 40000, "period": 80000}}));
        let burst = |value| cgroup.holds(&[("cpu.cfs_burst_us", value)], &[("cpu.max.burst", value)]);
        let idle = |value| cgroup.holds(&[("cpu.idle", value)], &[("cpu.idle", value)]);
        update(t, &container, &["--cpu-burst", "20000"]).ok();
        burst("20000");
        cpu(&cgroup, "40000", "80000", "512");
        update(t, &container, &["--cpu-burst", "90000"]).fails();
        burst("20000");
        update(t, &container, &["--cpu-idle", "1"]).ok();
        idle("1");
        update(t, &container, &["--cpu-idle", "0", "--cpu-share", "300"]).ok();
        idle("0");
        cpu(&cgroup, "40000", "80000", "300");
        update(t, &container, &["--cpu-idle", "2"]).fails();
    })
    .known(&[("runc 1.1", "does not know burst and idle")]),
    test("update: processes by options", &[348, 349], |t| {
        requires!(need::controller("pids"));
        let (container, cgroup) = running(t, json!({"pids": {"limit": 20}}));
        for (limit, value) in [("30", "30"), ("-1", "max"), ("10", "10")] {
            update(t, &container, &[&format!("--pids-limit={limit}")]).ok();
            pids(&cgroup, value);
        }
        update(t, &container, &["--cpu-share", "300"]).ok();
        pids(&cgroup, "10");
        update(t, &container, &["--pids-limit", "many"]).fails();
    }),
    test("update: a pids limit of 0 is 1", &[349], |t| {
        requires!(need::controller("pids"));
        let (container, cgroup) = running(t, json!({"pids": {"limit": 20}}));
        update(t, &container, &["--pids-limit", "0"]).ok();
        pids(&cgroup, "1");
    })
    .known(&[("runc 1.1", "takes it for none")]),
    test("update: from a file and from standard input", &[320, 330, 343, 348], |t| {
        requires!(need::controller("memory"));
        requires!(need::controller("cpuset"));
        let (container, cgroup) = running(t, json!({"memory": {"reservation": 1_048_576}}));
        let quota = json!({"shares": 100, "quota": 40000, "period": 80000});
        let resources = json!({"memory": {"limit": 33_554_432}, "cpu": quota, "pids": {"limit": 20}});
        let file = t.path("resources.json");
        fs::write(&file, resources.to_string()).unwrap();
        update(t, &container, &["--resources", file.to_str().unwrap(), "--pids-limit", "99"]).ok();
        memory(&cgroup, "33554432", "1048576");
        cpu(&cgroup, "40000", "80000", "100");
        pids(&cgroup, "20");
        from_stdin(t, &container, &json!({"pids": {"limit": 25}, "cpu": {"cpus": "0", "mems": "0"}})).ok();
        pids(&cgroup, "25");
        sets(&cgroup, "0", "0");
        cpu(&cgroup, "40000", "80000", "100");
        update(t, &container, &["-r", "/nosuchfile"]).fails().stderr("o such file or directory");
        t.coracle().call(["update", "-r", "-", container.id()]).stdin("{").run().fails();
        from_stdin(t, &container, &json!({"pids": {"limit": "x"}})).fails();
        pids(&cgroup, "25");
    })
    .known(OLDER_WEIGHTS),
    test("update: after a failure every limit is what it was", &[], |t| {
        requires!(need::controller("memory"));
        requires!(need::controller("cpuset"));
        let before = json!({
            "memory": {"limit": 33_554_432, "reservation": 16_777_216}, "pids": {"limit": 20},
            "cpu": {"shares": 512, "quota": 40000, "period": 80000, "cpus": "0", "mems": "0"},
        });
        let (container, cgroup) = running(t, before);
        let same = || {
            memory(&cgroup, "33554432", "16777216");
            pids(&cgroup, "20");
            cpu(&cgroup, "40000", "80000", "512");
            sets(&cgroup, "0", "0");
        };
        let others =
            json!({"memory": {"reservation": 1_048_576}, "pids": {"limit": 9}, "cpu": {"shares": 99, "quota": 50000}});
        // v2 takes any limit on memory, and kills until it holds.
        let v1 = (!Cgroup::is_v2()).then(|| ("memory", "limit", json!(4096)));
        let wrong = [("cpu", "cpus", json!("4711")), ("cpu", "period", json!(1))];
        for (part, field, value) in wrong.into_iter().chain(v1) {
            let mut asked = others.clone();
            asked[part][field] = value;
            from_stdin(t, &container, &asked).fails();
            same();
        }
        if !Cgroup::is_v2() {
            let low = update(t, &container, &["--memory", "4k"]);
            low.fails().stderr("unable to set memory limit to 4096 (current usage: ").stderr(", peak usage: ");
            same();
        }
        // What failed is forgotten: the next update goes on from what holds.
        update(t, &container, &["--cpu-period", "90000"]).ok();
        cpu(&cgroup, "40000", "90000", "512");
    })
    .known(&[("runc 1.1", "writes back only what its configuration had")]),
    test("update: a limit below the usage is refused when the configuration asks for it", &[329], |t| {
        requires!(need::controller("memory"));
        let limit = json!({"limit": 33_554_432, "reservation": 1_048_576, "checkBeforeUpdate": true});
        let (container, cgroup) = running(t, json!({"memory": limit}));
        update(t, &container, &["--memory", "8k"]).fails().stderr("rejecting memory limit 8192 <= usage ");
        let asked = json!({"memory": {"limit": 8192, "checkBeforeUpdate": true}});
        from_stdin(t, &container, &asked).fails().stderr("rejecting memory limit");
        memory(&cgroup, "33554432", "1048576");
    })
    .known(&[("runc 1.1", "leaves it to the kernel")]),
    test("update: rules for devices stay", &[], |t| {
        requires!(need::v1("devices"));
        let (container, cgroup) = running(t, json!({"devices": [{"allow": false, "access": "rwm"}]}));
        let before = cgroup.read("devices.list");
        fs::write(cgroup.directory("devices").join("devices.allow"), "c 10:229 rw").unwrap();
        let changed = cgroup.read("devices.list");
        assert_ne!(before, changed);
        from_stdin(t, &container, &json!({"pids": {"limit": 9}, "devices": [{"allow": true, "access": "rwm"}]})).ok();
        assert_eq!(cgroup.read("devices.list"), changed);
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
        requires!(need::controller("pids"));
        let mut container = limited(t, json!({})).0.create();
        let cgroup = container.cgroup();
        update(t, &container, &["--pids-limit", "20"]).ok();
        pids(&cgroup, "20");
        container.call("pause").run().ok();
        update(t, &container, &["--pids-limit", "21"]).ok();
        pids(&cgroup, "21");
        container.call("resume").run().ok();
        container.kill("KILL").ok();
        container.wait();
        update(t, &container, &["--pids-limit", "22"]).fails().stderr("container not running");
        container.delete().ok();
        update(t, &container, &["--pids-limit", "22"]).fails().stderr("container does not exist");
    }),
    test("update: values that are none", &[], |t| {
        requires!(need::controller("pids"));
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
        if !Cgroup::is_v2() {
            update(t, &container, &["--cpu-share", "1"]).fails().stderr("the minimum allowed cpu-shares is 2");
        }
        update(t, &container, &["--kernel-memory", "5m"]).ok().stderr("Kernel memory settings are ignored");
        update(t, &container, &[]).ok();
    }),
];
