//! Limits, as the kernel has them afterwards.

use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;

use coracle_cgroup::{Cgroup, Created, Layout, Mode, resources};
use coracle_sys::clone::{Fork, clone3};

use crate::Outcome;
use crate::group::{Shell, directories, limits, make, name, read, wait};

/// Sets the limits of `json`, skipping where the host lacks a controller for them.
fn set(layout: &Layout, cgroup: &Created, json: &str) -> Outcome {
    match resources(&serde_json::from_str(json).unwrap(), layout) {
        Ok(limits) => cgroup.set(&limits.without_devices()).map_err(|error| panic!("{error}")),
        Err(invalid) if invalid.problem.contains("not available") => Err(invalid.to_string()),
        Err(invalid) => panic!("{invalid}"),
    }
}

/// Whether the controller is one of v2 here.
fn on_v2(cgroup: &Created, controller: &str) -> bool {
    !cgroup.location().paths().contains_key(controller)
}

pub fn pids_limit(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "pids").unwrap();
    for (json, want) in [("7", "7"), ("-1", "max"), ("0", "1")] {
        set(layout, &cgroup, &format!(r#"{{"pids": {{"limit": {json}}}}}"#))?;
        assert_eq!(read(&cgroup, "pids", "pids.max"), want);
    }
    assert_eq!(Shell::run(&*cgroup, "(echo one) || echo none").output(), "", "the shell itself is all there may be");
    Ok(())
}

pub fn memory_limits_up_and_down(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "memory").unwrap();
    const MIB: u64 = 1 << 20;
    for (limit, swap) in [(100, 200), (300, 400), (50, 60), (50, 50)] {
        let json = format!(r#"{{"memory": {{"limit": {}, "swap": {}}}}}"#, limit * MIB, swap * MIB);
        set(layout, &cgroup, &json)?;
        if on_v2(&cgroup, "memory") {
            assert_eq!(read(&cgroup, "", "memory.max"), (limit * MIB).to_string());
            assert_eq!(read(&cgroup, "", "memory.swap.max"), ((swap - limit) * MIB).to_string());
        } else {
            assert_eq!(read(&cgroup, "memory", "memory.limit_in_bytes"), (limit * MIB).to_string());
            assert_eq!(read(&cgroup, "memory", "memory.memsw.limit_in_bytes"), (swap * MIB).to_string());
        }
    }
    set(layout, &cgroup, r#"{"memory": {"limit": -1, "reservation": 1048576}}"#)?;
    if on_v2(&cgroup, "memory") {
        assert_eq!(read(&cgroup, "", "memory.max"), "max");
        assert_eq!(read(&cgroup, "", "memory.low"), "1048576");
    } else {
        assert!(read(&cgroup, "memory", "memory.memsw.limit_in_bytes").len() > 15);
        assert_eq!(read(&cgroup, "memory", "memory.soft_limit_in_bytes"), "1048576");
        set(layout, &cgroup, r#"{"memory": {"swappiness": 3, "disableOOMKiller": true}}"#)?;
        assert_eq!(read(&cgroup, "memory", "memory.swappiness"), "3");
        assert!(read(&cgroup, "memory", "memory.oom_control").starts_with("oom_kill_disable 1"));
    }
    let _shell = Shell::run(&*cgroup, "x=$(yes | head -c 4000000); sleep 1000");
    let usage = if on_v2(&cgroup, "memory") { "memory.current" } else { "memory.usage_in_bytes" };
    wait("memory to be used", || read(&cgroup, "memory", usage).parse::<u64>().unwrap() > MIB);
    let low = limits(layout, r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#).without_devices();
    let error = cgroup.set(&low).unwrap_err().to_string();
    assert!(error.starts_with("rejecting memory limit 4096 <= usage "), "{error}");
    Ok(())
}

pub fn cpu_limits_up_and_down(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "cpu").unwrap();
    for (quota, period) in [(50_000, 100_000), (5_000, 10_000), (900_000, 1_000_000), (2_000, 4_000)] {
        set(layout, &cgroup, &format!(r#"{{"cpu": {{"quota": {quota}, "period": {period}, "burst": 1000}}}}"#))?;
        if on_v2(&cgroup, "cpu") {
            assert_eq!(read(&cgroup, "", "cpu.max"), format!("{quota} {period}"));
            assert_eq!(read(&cgroup, "", "cpu.max.burst"), "1000");
        } else {
            assert_eq!(read(&cgroup, "cpu", "cpu.cfs_quota_us"), quota.to_string());
            assert_eq!(read(&cgroup, "cpu", "cpu.cfs_period_us"), period.to_string());
            assert_eq!(read(&cgroup, "cpu", "cpu.cfs_burst_us"), "1000");
        }
    }
    set(layout, &cgroup, r#"{"cpu": {"shares": 512, "quota": -1, "burst": 0}}"#)?;
    set(layout, &cgroup, r#"{"cpu": {"idle": 1}}"#)?;
    assert_eq!(read(&cgroup, "cpu", "cpu.idle"), "1");
    set(layout, &cgroup, r#"{"cpu": {"idle": 0, "shares": 2048}}"#)?;
    let (file, want) = if on_v2(&cgroup, "cpu") { ("cpu.weight", "174") } else { ("cpu.shares", "2048") };
    assert_eq!(read(&cgroup, "cpu", file), want);
    Ok(())
}

pub fn cpuset(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "cpuset").unwrap();
    set(layout, &cgroup, r#"{"cpu": {"cpus": "0", "mems": "0"}}"#)?;
    assert_eq!(read(&cgroup, "cpuset", "cpuset.cpus"), "0");
    assert_eq!(Shell::run(&*cgroup, "grep Cpus_allowed_list /proc/self/status").output(), "Cpus_allowed_list:\t0");
    Ok(())
}

pub fn io_weight(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "io").unwrap();
    set(layout, &cgroup, r#"{"blockIO": {"weight": 20}}"#)?;
    let v2 = on_v2(&cgroup, "blkio");
    let paths = cgroup.location().paths();
    let dir = paths.get("blkio").or(paths.get("")).unwrap();
    let names = if v2 { ["io.bfq.weight", "io.weight"] } else { ["blkio.weight", "blkio.bfq.weight"] };
    let values: Vec<_> = names.iter().filter_map(|name| std::fs::read_to_string(dir.join(name)).ok()).collect();
    assert!(values[0].contains(if v2 && !dir.join(names[0]).is_file() { "102" } else { "20" }), "{values:?}");
    Ok(())
}

pub fn hugetlb_limit(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "hugetlb").unwrap();
    set(layout, &cgroup, r#"{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}"#)?;
    let file = if on_v2(&cgroup, "hugetlb") { "max" } else { "limit_in_bytes" };
    for kind in ["", "rsvd."] {
        assert_eq!(read(&cgroup, "hugetlb", &format!("hugetlb.2MB.{kind}{file}")), "4194304");
    }
    let other = limits(layout, r#"{"hugepageLimits": [{"pageSize": "16KB", "limit": 0}]}"#);
    let error = cgroup.set(&other).unwrap_err().to_string();
    assert_eq!(error, format!("set hugetlb.16KB.{file} to 0: No such file or directory (ENOENT)"));
    Ok(())
}

pub fn unified(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "unified").unwrap();
    let parse = |json: &str| resources(&serde_json::from_str(json).unwrap(), layout);
    let depth = r#"{"unified": {"cgroup.max.depth": "3"}}"#;
    if layout.mode() != Mode::V2 {
        let invalid = parse(depth).unwrap_err();
        assert_eq!(invalid.pointer, "/linux/resources/unified/cgroup.max.depth");
        return Ok(());
    }
    set(layout, &cgroup, depth)?;
    assert_eq!(read(&cgroup, "", "cgroup.max.depth"), "3");
    let invalid = parse(r#"{"unified": {"nosuch.max": "3"}}"#).unwrap_err();
    assert_eq!(invalid.problem, "controller \"nosuch\" not available");
    let file = limits(layout, r#"{"unified": {"cgroup.nosuch": "3"}}"#);
    let error = cgroup.set(&file).unwrap_err().to_string();
    assert_eq!(error, "set cgroup.nosuch to 3: No such file or directory (ENOENT)");
    Ok(())
}

pub fn refused_limits_say_why(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "refused").unwrap();
    set(layout, &cgroup, r#"{"pids": {"limit": 5}}"#)?;
    let far = limits(layout, r#"{"pids": {"limit": 9223372036854775807}}"#);
    let error = cgroup.set(&far).unwrap_err();
    assert_eq!(error.to_string(), "set pids.max to 9223372036854775807: Invalid argument (EINVAL)");
    Ok(())
}

/// Prints which accesses to memory devices a process has, whatever the modes of their nodes.
const PROBE: &str = "for d in null zero kmsg; do (exec < $DIR/$d) 2>/dev/null && echo $d; done";

/// A directory with nodes of the devices that [`PROBE`] tries.
struct Nodes(std::path::PathBuf);

impl Nodes {
    fn new() -> Nodes {
        use nix::sys::stat::{Mode, SFlag, makedev, mknod};
        let dir = std::env::temp_dir().join(name("nodes"));
        std::fs::create_dir(&dir).unwrap();
        for (name, minor) in [("null", 3), ("zero", 5), ("kmsg", 11)] {
            mknod(&dir.join(name), SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(1, minor)).unwrap();
        }
        assert!(std::fs::metadata(dir.join("kmsg")).unwrap().file_type().is_char_device());
        Nodes(dir)
    }

    fn probe(&self, cgroup: &dyn Cgroup) -> String {
        let script = PROBE.replace("$DIR", self.0.to_str().unwrap());
        Shell::run(cgroup, &script).output().replace('\n', " ")
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const DENY_ALL: &str = r#"{"devices": [{"allow": false, "access": "rwm"}]}"#;
const ALLOW_ALL: &str = r#"{"devices": [{"allow": true, "access": "rwm"}]}"#;
const KMSG: &str = r#"{"devices": [{"allow": false, "access": "rwm"},
    {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]}"#;

pub fn device_rules(layout: &Layout) -> Outcome {
    let nodes = Nodes::new();
    for (json, want) in
        [("{}", "null zero"), (DENY_ALL, "null zero"), (ALLOW_ALL, "null zero kmsg"), (KMSG, "null zero kmsg")]
    {
        let cgroup = make(layout, "devices").unwrap();
        cgroup.set(&limits(layout, json)).unwrap();
        assert_eq!(nodes.probe(&*cgroup), want, "{json}");
    }
    Ok(())
}

pub fn device_rules_are_exchanged(layout: &Layout) -> Outcome {
    let nodes = Nodes::new();
    let cgroup = make(layout, "exchange").unwrap();
    assert_eq!(nodes.probe(&*cgroup), "null zero kmsg");
    for (json, want) in
        [(KMSG, "null zero kmsg"), (DENY_ALL, "null zero"), (KMSG, "null zero kmsg"), (ALLOW_ALL, "null zero kmsg")]
    {
        cgroup.set(&limits(layout, json)).unwrap();
        assert_eq!(nodes.probe(&*cgroup), want, "{json}");
        if let Some(dir) = cgroup.dir().filter(|_| layout.mode() == Mode::V2) {
            let (n, _) = coracle_sys::bpf::query_device(dir.as_fd(), &mut [0; 8]).unwrap();
            assert_eq!(n, usize::from(json != ALLOW_ALL), "{json}");
        }
    }
    Ok(())
}

pub fn clone_into_the_cgroup(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "clone").unwrap();
    let Some(dir) = cgroup.dir() else { return Err("no v2 hierarchy".into()) };
    match clone3(0, Some(dir)).unwrap() {
        Fork::Child => loop {
            nix::unistd::pause();
        },
        Fork::Parent { pid, .. } => {
            if cgroup.needs_add() {
                cgroup.add(pid).unwrap();
            }
            for dir in directories(&cgroup) {
                assert_eq!(std::fs::read_to_string(dir.join("cgroup.procs")).unwrap().trim_end(), pid.to_string());
            }
            drop(cgroup);
            nix::sys::wait::waitpid(pid, None).unwrap();
        }
    }
    Ok(())
}
