//! Control groups: where they are, and limits read back from the kernel, in both versions.

use std::fs;
use std::path::{Path, PathBuf};

use integration::{Bundle, Container, Context, Test, need, requires, test};
use serde_json::{Value, json};

/// A bundle whose cgroup is `/NAME`, with these resources.
pub fn limited(t: &Context, resources: Value) -> (Bundle, String) {
    let name = t.unique();
    let patch = json!({"linux": {"cgroupsPath": format!("/{name}"), "resources": resources}});
    (t.bundle().patch(patch).args(&["/guest", "trap"]), name)
}

pub fn v1(controller: &str, name: &str, file: &str) -> String {
    let path = Path::new("/sys/fs/cgroup").join(controller).join(name).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

/// Where the v2 tree is on this host.
pub fn unified() -> PathBuf {
    let hybrid = PathBuf::from("/sys/fs/cgroup/unified");
    if fs::symlink_metadata(&hybrid).is_ok() { hybrid } else { "/sys/fs/cgroup".into() }
}

pub fn v2(name: &str, file: &str) -> String {
    let path = unified().join(name).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).trim().to_owned()
}

fn there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Creates a container with these resources and compares files of its v1 cgroups.
fn reads(t: &Context, resources: Value, files: &[(&str, &str, &str)]) -> Container {
    let (bundle, name) = limited(t, resources);
    let container = bundle.create();
    for (controller, file, value) in files {
        assert_eq!(&v1(controller, &name, file), value, "{file}");
    }
    container
}

pub const TESTS: &[Test] = &[
    test("cgroups v1: an absolute path is below the mount", &[300, 302, 304, 227], |t| {
        requires!(need::v1("pids"));
        let (bundle, name) = limited(t, json!({}));
        let container = bundle.create();
        for controller in ["pids", "devices", "memory", "cpu", "freezer"] {
            assert_eq!(v1(controller, &name, "cgroup.procs"), container.pid().to_string(), "{controller}");
        }
        container.delete().ok();
        for controller in ["pids", "devices", "memory", "cpu", "freezer", "systemd", "unified"] {
            let path = Path::new("/sys/fs/cgroup").join(controller).join(&name);
            assert!(fs::symlink_metadata(&path).is_err(), "{} stays", path.display());
        }
    }),
    test("cgroups v1: a nested path", &[300, 304, 243], |t| {
        requires!(need::v1("pids"));
        let name = t.unique();
        let patch = json!({"linux": {"cgroupsPath": format!("/{name}/a/b")}});
        let container = t.bundle().patch(patch).args(&["/guest", "trap"]).create();
        assert_eq!(v1("pids", &format!("{name}/a/b"), "cgroup.procs"), container.pid().to_string());
        drop(container);
        // The parents may stay, as they may be others'.
        let list = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path().join(&name));
        list.for_each(|path| ["a/b", "a", ""].iter().for_each(|below| drop(fs::remove_dir(path.join(below)))));
    }),
    test("cgroups: parents of a create that was killed before it had a record go with delete", &[], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let theirs = unified().join(&name);
        let ours = [theirs.join("a/b"), theirs.join("a")];
        let bundle = bundle.patch(json!({"linux": {"cgroupsPath": format!("/{name}/a/b/c")}}));
        bundle.save();
        // What there is when the kill comes right after the cgroups are made.
        let state = t.root().join(bundle.id());
        fs::create_dir_all(&state).unwrap();
        fs::copy(bundle.path().join("config.json"), state.join("config.json")).unwrap();
        fs::write(state.join("cgroups.json"), json!(ours).to_string()).unwrap();
        fs::create_dir_all(ours[0].join("c")).unwrap();
        bundle.coracle().call(["delete", "--force"]).arg(state.file_name().unwrap()).run().ok();
        let left = ours.iter().filter(|path| there(path)).count();
        assert_eq!((left, there(&theirs), there(&state)), (0, true, false));
        fs::remove_dir(theirs).unwrap();
    })
    .known(&[("runc", "keeps no such list")]),
    test("cgroups: a create says which parents it is going to make", &[], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let container = bundle.patch(json!({"linux": {"cgroupsPath": format!("/{name}/a/b")}})).create();
        let text = fs::read_to_string(t.root().join(container.id()).join("cgroups.json")).unwrap();
        let listed: Vec<PathBuf> = serde_json::from_str(&text).unwrap();
        for path in [unified().join(&name).join("a"), unified().join(&name)] {
            assert!(listed.contains(&path), "{} is not in {text}", path.display());
        }
        container.call("delete").arg("--force").run().ok();
        assert!(!listed.iter().any(|path| there(path)), "{text}");
    })
    .known(&[("runc", "keeps no such list")]),
    test("cgroups v1: pids", &[348, 227], |t| {
        requires!(need::v1("pids"));
        drop(reads(t, json!({"pids": {"limit": 27}}), &[("pids", "pids.max", "27")]));
        drop(reads(t, json!({"pids": {"limit": -1}}), &[("pids", "pids.max", "max")]));
        let (bundle, _) = limited(t, json!({"pids": {"limit": 3}}));
        let output = bundle.args(&["/guest", "fork", "10"]).run();
        output.ok().stdout("Try again");
    }),
    test("cgroups v1: memory", &[320, 321, 325, 328], |t| {
        requires!(need::v1("memory"));
        let memory = json!({"limit": 33_554_432, "reservation": 16_777_216, "swappiness": 30});
        let files = [
            ("memory", "memory.limit_in_bytes", "33554432"),
            ("memory", "memory.soft_limit_in_bytes", "16777216"),
            ("memory", "memory.swappiness", "30"),
        ];
        drop(reads(t, json!({"memory": memory}), &files));
        let (bundle, name) = limited(t, json!({"memory": {"limit": -1}}));
        let container = bundle.create();
        assert!(v1("memory", &name, "memory.limit_in_bytes").len() > 15);
        drop(container);
    }),
    test("cgroups v1: the out-of-memory killer can be turned off", &[326], |t| {
        requires!(need::v1("memory"));
        let (bundle, name) = limited(t, json!({"memory": {"limit": 33_554_432, "disableOOMKiller": true}}));
        let container = bundle.create();
        assert!(v1("memory", &name, "memory.oom_control").contains("oom_kill_disable 1"));
        drop(container);
    }),
    test("cgroups v1: memory and swap", &[322], |t| {
        requires!(need::v1("memory"));
        requires!(need::path("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"));
        let files =
            [("memory", "memory.memsw.limit_in_bytes", "67108864"), ("memory", "memory.limit_in_bytes", "33554432")];
        drop(reads(t, json!({"memory": {"limit": 33_554_432, "swap": 67_108_864}}), &files));
        let (bundle, _) = limited(t, json!({"memory": {"limit": 33_554_432, "swap": 16_777_216}}));
        bundle.run().fails();
    }),
    test("cgroups v1: too much memory is death", &[320], |t| {
        requires!(need::v1("memory"));
        let (bundle, _) = limited(t, json!({"memory": {"limit": 16_777_216}}));
        bundle.args(&["/guest", "alloc", "67108864"]).run().code(137);
    }),
    test("cgroups v1: cpu", &[330, 331, 332, 335, 336], |t| {
        requires!(need::v1("cpu"));
        let cpu = json!({"shares": 512, "quota": 40000, "period": 80000, "cpus": "0", "mems": "0"});
        let files = [
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "40000"),
            ("cpu", "cpu.cfs_period_us", "80000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("cpuset", "cpuset.mems", "0"),
        ];
        drop(reads(t, json!({"cpu": cpu}), &files));
        let (bundle, _) = limited(t, json!({"cpu": {"cpus": "0"}}));
        bundle.args(&["/guest", "probe"]).facts().is("/affinity", &json!([0]));
        let (bundle, _) = limited(t, json!({"cpu": {"cpus": "4711"}}));
        bundle.run().fails();
    }),
    test("cgroups v1: cpu burst and idle", &[337, 338, 339], |t| {
        requires!(need::v1("cpu"));
        requires!(need::path("/sys/fs/cgroup/cpu/cpu.stat"));
        let cpu = json!({"quota": 40000, "period": 80000, "burst": 20000});
        drop(reads(t, json!({"cpu": cpu}), &[("cpu", "cpu.cfs_burst_us", "20000")]));
        drop(reads(t, json!({"cpu": {"idle": 1}}), &[("cpu", "cpu.idle", "1")]));
    })
    .known(&[("runc 1.1", "does not know burst and idle")]),
    test("cgroups v1: block devices", &[340, 343], |t| {
        requires!(need::v1("blkio"));
        requires!(need::path("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"));
        requires!(need::path("/sys/block/loop0"));
        let device = |rate: u32| json!([{"major": 7, "minor": 0, "rate": rate}]);
        let block = json!({
            "throttleReadBpsDevice": device(1_000_000), "throttleWriteBpsDevice": device(2_000_000),
            "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200),
        });
        let files = [
            ("blkio", "blkio.throttle.read_bps_device", "7:0 1000000"),
            ("blkio", "blkio.throttle.write_bps_device", "7:0 2000000"),
            ("blkio", "blkio.throttle.read_iops_device", "7:0 100"),
            ("blkio", "blkio.throttle.write_iops_device", "7:0 200"),
        ];
        drop(reads(t, json!({"blockIO": block}), &files));
    }),
    test("cgroups v1: unified settings are refused", &[356], |t| {
        requires!(need::v1("pids"));
        let (bundle, _) = limited(t, json!({"unified": {"cgroup.max.depth": "3"}}));
        bundle.run().fails();
    }),
    test("cgroups v1: a group with processes is refused", &[299, 303], |t| {
        requires!(need::v1("pids"));
        let (bundle, name) = limited(t, json!({}));
        let first = bundle.create();
        let second = t.bundle().patch(json!({"linux": {"cgroupsPath": format!("/{name}")}}));
        second.run().fails();
        assert_eq!(first.status(), "created");
        assert_eq!(v1("pids", &name, "cgroup.procs"), first.pid().to_string());
    })
    .known(&[("runc 1.1", "shares it with a warning")]),
    test("cgroups v1: owners are not changed", &[305, 306, 308], |t| {
        requires!(need::v1("pids"));
        let (bundle, name) = limited(t, json!({}));
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let bundle =
            bundle.namespace(json!({"type": "user"})).patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
        let container = bundle.create();
        let owner =
            std::os::unix::fs::MetadataExt::uid(&fs::metadata(Path::new("/sys/fs/cgroup/pids").join(name)).unwrap());
        assert_eq!(owner, 0);
        drop(container);
    }),
    test("cgroups v1: the container sees its own groups", &[], |t| {
        requires!(need::v1("pids"));
        let facts = t.bundle().namespace(json!({"type": "cgroup"})).facts();
        let lines = facts.strings("/cgroup");
        assert!(lines.iter().all(|line| line.ends_with(":/")), "{lines:?}");
        assert_eq!(facts.mount("/sys/fs/cgroup/pids").map(|mount| &mount["type"]), Some(&json!("cgroup")));
    }),
    test("cgroups v2: a plain tree", &[300, 304, 243], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let mut container = bundle.with(t.coracle().v2()).start();
        assert_eq!(container.line(), "ready");
        assert_eq!(v2(&name, "cgroup.procs"), container.pid().to_string());
        container.call("delete").arg("--force").run().ok();
        assert!(fs::symlink_metadata(unified().join(&name)).is_err(), "the cgroup stays");
    }),
    test("cgroups v2: unified settings are written as they are", &[353, 227], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({"unified": {"cgroup.max.depth": "3", "cgroup.max.descendants": "5"}}));
        let container = bundle.with(t.coracle().v2()).create();
        assert_eq!(v2(&name, "cgroup.max.depth"), "3");
        assert_eq!(v2(&name, "cgroup.max.descendants"), "5");
        drop(container);
    }),
    test("cgroups v2: a key of an absent controller is refused", &[354], |t| {
        requires!(need::unified());
        for key in ["moon.max", "cgroup.moon", "a/b"] {
            let (bundle, _) = limited(t, json!({"unified": {key: "1"}}));
            bundle.with(t.coracle().v2()).run().fails();
        }
    }),
    test("cgroups v2: needed controllers are enabled", &[344, 345, 352], |t| {
        requires!(need::v2("hugetlb"));
        let (bundle, name) = limited(t, json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}]}));
        let container = bundle.with(t.coracle().v2()).create();
        assert_eq!(v2(&name, "hugetlb.2MB.max"), "4194304");
        assert_eq!(v2(&name, "hugetlb.2MB.rsvd.max"), "4194304");
        drop(container);
    })
    .known(&[("runc 1.1", "does not limit reservations")]),
    test("cgroups v2: what has no counterpart is refused", &[355], |t| {
        requires!(need::unified());
        let (bundle, _) = limited(t, json!({"memory": {"swappiness": 10}}));
        bundle.with(t.coracle().v2()).run().fails();
    })
    .known(&[("runc", "ignores it")]),
    test("cgroups v2: devices are filtered", &[314, 315, 319], |t| {
        requires!(need::unified());
        let devices = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
        for (rules, read, write) in [
            (
                json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "r"}]),
                true,
                false,
            ),
            (
                json!([{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "access": "rw"}]),
                true,
                true,
            ),
            (
                json!([{"allow": true, "type": "c", "major": 10, "access": "rw"}, {"allow": false, "access": "rwm"}]),
                false,
                false,
            ),
        ] {
            let opens = |how: &str| {
                let (bundle, _) = limited(t, json!({"devices": rules}));
                let bundle = bundle.patch(json!({"linux": {"devices": devices}})).with(t.coracle().v2());
                bundle.args(&["/guest", "open", "/dev/fuse", how]).run().code == 0
            };
            assert_eq!((opens("r"), opens("w")), (read, write), "{rules}");
        }
        let (bundle, _) = limited(t, json!({"devices": [{"allow": false, "access": "rwm"}]}));
        bundle.with(t.coracle().v2()).args(&["/guest", "open", "/dev/null", "rw"]).run().ok();
    }),
];
