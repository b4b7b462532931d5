//! From `linux.resources` in JSON to what is written, or to what is wrong.

use super::*;
use crate::write::lines;
use crate::{v1, v2};

fn parse(layout: &Layout, json: &str) -> Result<Resources, Invalid> {
    resources(&serde_json::from_str(json).unwrap(), layout)
}

fn all_v1() -> Layout {
    Layout::v1_with(&[
        "cpuset", "cpu", "memory", "devices", "freezer", "blkio", "pids", "hugetlb", "net_cls", "net_prio", "rdma",
    ])
}

fn written(layout: &Layout, json: &str) -> Vec<String> {
    let resources = parse(layout, json).unwrap().without_devices();
    if layout.mode() == Mode::V2 {
        return lines(&v2::writes(&resources, |_| false));
    }
    let controllers = layout.hierarchies.iter().flat_map(|h| &h.controllers);
    controllers.flat_map(|name| lines(&v1::writes(name, &resources).unwrap())).collect()
}

#[test]
fn written_on_both() {
    // linux.resources, v1, v2
    let cases: [(&str, &[&str], &[&str]); 18] = [
        ("{}", &[], &[]),
        (
            r#"{"memory": {"limit": 0, "reservation": 0, "swap": 0}, "cpu": {"shares": 0, "quota": 0, "period": 0}}"#,
            &[],
            &[],
        ),
        (r#"{"cpu": {"cpus": "", "mems": ""}, "blockIO": {"weight": 0}}"#, &[], &[]),
        (r#"{"memory": {"limit": 5}}"#, &["memory.limit_in_bytes = 5"], &["memory.max = 5"]),
        (
            r#"{"memory": {"limit": 5, "swap": 7}}"#,
            &["memory.limit_in_bytes = 5", "memory.memsw.limit_in_bytes = 7"],
            &["memory.swap.max = 2", "memory.max = 5"],
        ),
        (
            r#"{"memory": {"limit": 5, "swap": -1}}"#,
            &["memory.limit_in_bytes = 5", "memory.memsw.limit_in_bytes = -1"],
            &["memory.swap.max = max", "memory.max = 5"],
        ),
        (
            r#"{"memory": {"limit": -1}}"#,
            &["memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1"],
            &["memory.swap.max = max", "memory.max = max"],
        ),
        (r#"{"memory": {"swap": -1}}"#, &["memory.memsw.limit_in_bytes = -1"], &["memory.swap.max = max"]),
        (r#"{"memory": {"reservation": 3}}"#, &["memory.soft_limit_in_bytes = 3"], &["memory.low = 3"]),
        (r#"{"memory": {"disableOOMKiller": false}}"#, &["memory.oom_control = 0"], &[]),
        (r#"{"memory": {"kernel": 9, "kernelTCP": 9, "useHierarchy": true}}"#, &[], &[]),
        (
            r#"{"cpu": {"shares": 1024, "quota": 100, "period": 2000, "burst": 50, "cpus": "0-1", "mems": "0"}}"#,
            &[
                "cpuset.cpus = 0-1",
                "cpuset.mems = 0",
                "cpu.shares = 1024",
                "cpu.cfs_period_us = 2000",
                "cpu.cfs_burst_us = 50",
                "cpu.cfs_quota_us = 100",
            ],
            &["cpuset.cpus = 0-1", "cpuset.mems = 0", "cpu.weight = 100", "cpu.max.burst = 50", "cpu.max = 100 2000"],
        ),
        (r#"{"cpu": {"idle": 1}}"#, &["cpu.idle = 1"], &["cpu.idle = 1"]),
        (r#"{"pids": {"limit": 0}}"#, &["pids.max = 1"], &["pids.max = 1"]),
        (r#"{"pids": {"limit": -1}}"#, &["pids.max = max"], &["pids.max = max"]),
        (
            r#"{"blockIO": {"weight": 10, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 9}]}}"#,
            &["blkio.weight = 10", "blkio.throttle.read_bps_device = 8:0 9"],
            &["io.bfq.weight = 10", "io.max = 8:0 rbps=9"],
        ),
        (
            r#"{"hugepageLimits": [{"pageSize": "2048KB", "limit": 4096}]}"#,
            &["hugetlb.2MB.limit_in_bytes = 4096", "hugetlb.2MB.rsvd.limit_in_bytes = 4096"],
            &["hugetlb.2MB.max = 4096", "hugetlb.2MB.rsvd.max = 4096"],
        ),
        (
            r#"{"rdma": {"mlx5": {"hcaHandles": 0}}}"#,
            &["rdma.max = mlx5 hca_handle=0"],
            &["rdma.max = mlx5 hca_handle=0"],
        ),
    ];
    for (json, on_v1, on_v2) in cases {
        assert_eq!(written(&all_v1(), json), on_v1, "v1 {json}");
        assert_eq!(written(&Layout::all_v2(), json), on_v2, "v2 {json}");
    }
}

#[test]
fn written_on_one() {
    let v1: [(&str, &[&str]); 5] = [
        (r#"{"memory": {"swap": 7}}"#, &["memory.memsw.limit_in_bytes = 7"]),
        (
            r#"{"memory": {"swappiness": 0, "disableOOMKiller": true}}"#,
            &["memory.oom_control = 1", "memory.swappiness = 0"],
        ),
        (r#"{"cpu": {"realtimeRuntime": 5, "realtimePeriod": 7}}"#, &["cpu.rt_period_us = 7", "cpu.rt_runtime_us = 5"]),
        (
            r#"{"network": {"classID": 3, "priorities": [{"name": "eth0", "priority": 4}]}}"#,
            &["net_cls.classid = 3", "net_prio.ifpriomap = eth0 4"],
        ),
        (
            r#"{"blockIO": {"leafWeight": 30, "weightDevice": [{"major": 8, "minor": 1, "leafWeight": 40}]}}"#,
            &["blkio.leaf_weight = 30", "blkio.leaf_weight_device = 8:1 40"],
        ),
    ];
    for (json, want) in v1 {
        assert_eq!(written(&all_v1(), json), want, "{json}");
    }
    let v2: [(&str, &[&str]); 2] = [
        (
            r#"{"memory": {"limit": 5}, "unified": {"memory.max": "max", "cgroup.max.depth": "2", "misc.max": "a 1\nb 2"}}"#,
            &["memory.max = 5", "cgroup.max.depth = 2", "memory.max = max", "misc.max = a 1", "misc.max = b 2"],
        ),
        (r#"{"cpu": {"shares": 1}}"#, &["cpu.weight = 1"]),
    ];
    for (json, want) in v2 {
        assert_eq!(written(&Layout::all_v2(), json), want, "{json}");
    }
}

#[test]
fn refused() {
    let (v1, v2, none) = (&all_v1(), &Layout::all_v2(), &Layout::v1_with(&["freezer"]));
    let (minus, only_v1) = ("neither -1", "cgroup v2 has no such setting");
    let cases = [
        (v2, r#"{"memory": {"limit": -2}}"#, "memory/limit", minus),
        (v1, r#"{"memory": {"limit": 9, "swap": 8}}"#, "memory/swap", "less than memory alone"),
        (v2, r#"{"memory": {"limit": 9, "swap": 8}}"#, "memory/swap", "less than memory alone"),
        (v2, r#"{"memory": {"swap": 8}}"#, "memory/swap", "needs a memory limit"),
        (v2, r#"{"memory": {"limit": -1, "swap": 8}}"#, "memory/swap", "needs a memory limit"),
        (v1, r#"{"memory": {"swappiness": 101}}"#, "memory/swappiness", "0 to 100"),
        (v2, r#"{"memory": {"swappiness": 1}}"#, "memory/swappiness", only_v1),
        (v2, r#"{"memory": {"disableOOMKiller": true}}"#, "memory/disableOOMKiller", only_v1),
        (v2, r#"{"cpu": {"realtimePeriod": 1}}"#, "cpu/realtimePeriod", only_v1),
        (v2, r#"{"cpu": {"quota": 10, "burst": 11}}"#, "cpu/burst", "more than the quota"),
        (v2, r#"{"cpu": {"idle": 2}}"#, "cpu/idle", "neither 0 nor 1"),
        (v1, r#"{"cpu": {"shares": 1}}"#, "cpu/shares", "minimum allowed cpu-shares is 2"),
        (v1, r#"{"cpu": {"shares": 262145}}"#, "cpu/shares", "maximum allowed cpu-shares is 262144"),
        (v2, r#"{"cpu": {"cpus": "0;1"}}"#, "cpu/cpus", "not a list"),
        (v2, r#"{"blockIO": {"weight": 9}}"#, "blockIO/weight", "10 to 1000"),
        (v2, r#"{"blockIO": {"leafWeight": 10}}"#, "blockIO/leafWeight", only_v1),
        (
            v1,
            r#"{"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}"#,
            "blockIO/weightDevice/0",
            "needs weight or",
        ),
        (
            v2,
            r#"{"blockIO": {"throttleWriteIOPSDevice": [{"major": -1, "minor": 0, "rate": 1}]}}"#,
            "blockIO/throttleWriteIOPSDevice/0",
            "not the number of a device",
        ),
        (v2, r#"{"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}"#, "hugepageLimits/0/pageSize", "not a size"),
        (v2, r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": -3}]}"#, "hugepageLimits/0/limit", minus),
        (v2, r#"{"network": {"classID": 1}}"#, "network/classID", only_v1),
        (
            v1,
            r#"{"network": {"priorities": [{"name": "", "priority": 1}]}}"#,
            "network/priorities/0/name",
            "not the name",
        ),
        (v2, r#"{"rdma": {"mlx5": {}}}"#, "rdma/mlx5", "needs hcaHandles or hcaObjects"),
        (v1, r#"{"unified": {"memory.max": "1"}}"#, "unified/memory.max", "cgroup v2 alone"),
        (v2, r#"{"unified": {"../memory.max": "1"}}"#, "unified/..~1memory.max", "not the name of a file"),
        (v2, r#"{"unified": {"dmem.max": "1"}}"#, "unified/dmem.max", "controller \"dmem\" not available"),
        (none, r#"{"memory": {"limit": 1}}"#, "memory/limit", "controller \"memory\" not available on this host"),
        (none, r#"{"cpu": {"shares": 2}}"#, "cpu/shares", "controller \"cpu\" not available on this host"),
        (none, r#"{"cpu": {"mems": "0"}}"#, "cpu/mems", "controller \"cpuset\" not available on this host"),
        (none, r#"{"pids": {"limit": 1}}"#, "pids/limit", "controller \"pids\" not available on this host"),
        (none, r#"{"network": {"classID": 1}}"#, "network/classID", "controller \"net_cls\" not available"),
        (
            none,
            r#"{"devices": [{"allow": false, "access": "rwm"}]}"#,
            "devices",
            "controller \"devices\" not available",
        ),
        (
            v1,
            r#"{"devices": [{"allow": true, "type": "c", "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "access": "w"}]}"#,
            "devices",
            "cannot except c 1:* w from c *:* rwm",
        ),
    ];
    for (layout, json, field, problem) in cases {
        let invalid = parse(layout, json).unwrap_err();
        assert_eq!(invalid.pointer, format!("/linux/resources/{field}"), "{json}");
        assert!(invalid.problem.contains(problem), "{json}: {invalid}");
    }
}

#[test]
fn what_is_not_asked_for_needs_nothing() {
    let bare = Layout::v1_with(&["freezer"]);
    let zeros =
        r#"{"memory": {"limit": 0, "disableOOMKiller": false}, "cpu": {"shares": 0}, "network": {"classID": 0}}"#;
    for json in ["{}", zeros, r#"{"devices": []}"#] {
        assert_eq!(parse(&bare, json).unwrap(), Resources::default(), "{json}");
    }
}

#[test]
fn warnings_name_what_is_ignored() {
    let resources = parse(&all_v1(), r#"{"memory": {"kernel": 1, "useHierarchy": false}}"#).unwrap();
    assert_eq!(resources.warnings().len(), 2);
    assert!(resources.is_empty());
    assert!(parse(&all_v1(), r#"{"memory": {"kernel": -1}}"#).unwrap().warnings().len() == 1);
}
