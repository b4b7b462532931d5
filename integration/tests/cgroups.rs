//! Control groups: where they are, and limits read back from the kernel, in both versions.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use integration::{Bundle, Container, Context, Coracle, Test, need, requires, test};
use serde_json::{Value, json};

/// A bundle whose cgroup is `/NAME`, with these resources.
pub fn limited(t: &Context, resources: Value) -> (Bundle, String) {
    let name = t.unique();
    let patch = json!({"linux": {"cgroupsPath": format!("/{name}"), "resources": resources}});
    (t.bundle().patch(patch).args(&["/guest", "trap"]), name)
}

/// Lets the container change its cgroups.
pub fn writable(config: &mut Value) {
    let mounts = config["mounts"].as_array_mut().unwrap().iter_mut();
    for mount in mounts.filter(|mount| mount["destination"] == "/sys/fs/cgroup") {
        mount["options"].as_array_mut().unwrap().retain(|option| option != "ro");
    }
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

/// Whose the cgroup and its files are, by the names of those that are not the host's root's.
fn owned(directory: &Path, owner: u32) -> Vec<String> {
    assert!([0, owner].contains(&fs::metadata(directory).unwrap().uid()));
    let entries = fs::read_dir(directory).unwrap().flatten();
    let theirs = entries.filter(|entry| entry.metadata().is_ok_and(|file| file.uid() == owner));
    theirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
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
    test("cgroups: none at all, where none is wanted", &[], |t| {
        let (bundle, name) = limited(t, json!({"devices": null}));
        bundle.save();
        let root = t.root();
        let call = |who: &str| t.coracle().bare().args(["--cgroup-manager", who]).arg("--root").arg(&root);
        let mut container = Container::named(&t.coracle(), &bundle.id());
        let create = call("disabled").args(["create", "--bundle"]).arg(bundle.path()).arg(container.id());
        container.attach(create.spawn()).ok();
        container.start().ok();
        assert_eq!(container.line(), "ready");
        assert!(!there(&unified().join(&name)) && !there(&Path::new("/sys/fs/cgroup/pids").join(&name)));
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        assert_eq!(fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap(), own);
        container.call("pause").run().fails().stderr("no cgroup of its own");
        drop(container);
        let limits = bundle.patch(json!({"linux": {"resources": {"pids": {"limit": 5}}}}));
        limits.save();
        let refused = call("disabled").args(["run", "--bundle"]).arg(limits.path()).arg(limits.id());
        refused.run().fails().stderr("--cgroup-manager=disabled");
        let unknown = call("someone").args(["run", "--bundle"]).arg(limits.path()).arg(limits.id());
        unknown.run().fails().stderr("must be cgroupfs, systemd or disabled");
    })
    .known(&[("runc", "has no such option")]),
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
    test("cgroups: where all was killed once, the container's or its creator's, containers run again", &[], |t| {
        requires!(need::unified());
        let killed = |name: &str| {
            let directory = unified().join(name);
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("cgroup.kill"), "1").unwrap();
            directory
        };
        for pure in [false, true] {
            let (mut bundle, name) = limited(t, json!({}));
            let (theirs, callers) = (killed(&name), killed(&t.unique()));
            let seen_by = |coracle: Coracle| if pure { coracle.v2() } else { coracle };
            let from_there = t.coracle().launched(format!("memory={}", callers.display()));
            for (caller, directory) in [(t.coracle(), Some(theirs)), (from_there, None)] {
                bundle = bundle.with(seen_by(caller));
                let container = bundle.create();
                assert_eq!(v2(&name, "cgroup.procs"), container.pid().to_string());
                container.start().ok();
                let seen = container.exec(["/guest", "read", "/proc/self/cgroup"]).ok().stdout.clone();
                assert!(seen.lines().any(|line| line == "0::/"), "{seen}");
                container.call("delete").arg("--force").run().ok();
                directory.into_iter().for_each(|directory| fs::remove_dir(directory).unwrap());
            }
            assert!(!there(&unified().join(name)), "the cgroup stays");
            fs::remove_dir(callers).unwrap();
        }
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
    test(
        "cgroups v2: it is given to the root of a user namespace that may write to it",
        &[306, 307, 309, 311, 313],
        |t| {
            requires!(need::unified());
            let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
            let bundle = |options: Value, namespace: bool| {
                let (bundle, name) = limited(t, json!({"unified": {"cgroup.max.depth": "3"}}));
                let bundle = bundle.namespace(json!({"type": "user"})).with(t.coracle().v2());
                let bundle = bundle.patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
                let bundle = if namespace { bundle } else { bundle.without_namespace("cgroup") };
                let mount =
                    json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options});
                (bundle.without_mounts(&["/sys/fs/cgroup"]).mount(mount), unified().join(name))
            };
            for (options, namespace) in [(json!(["ro"]), true), (json!(["rw"]), false)] {
                let (bundle, directory) = bundle(options, namespace);
                let container = bundle.create();
                assert_eq!((owned(&directory, 100_000), fs::metadata(&directory).unwrap().uid()), (vec![], 0));
                drop(container);
            }
            let (bundle, directory) = bundle(json!(["nosuid"]), true);
            let mut container = bundle.start();
            assert_eq!(container.line(), "ready");
            assert_eq!(fs::metadata(&directory).unwrap().uid(), 100_000);
            let listed = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
            let mut listed: Vec<_> = listed.lines().filter(|file| there(&directory.join(file))).collect();
            let mut found = owned(&directory, 100_000);
            listed.sort_unstable();
            found.sort();
            assert_eq!(found, listed);
            container.exec(["/guest", "mkdir", "/sys/fs/cgroup/below"]).ok();
            container
                .exec(["/guest", "write", "/sys/fs/cgroup/cgroup.max.depth", "9"])
                .fails()
                .stderr("ermission denied");
        },
    )
    .known(&[("runc 1.1", "gives away what systemd has made, nothing else")]),
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
