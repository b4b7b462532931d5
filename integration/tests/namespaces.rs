//! Namespaces: new ones, the caller's, and those given by path; what lives in them.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use integration::{Bundle, Container, Context, Facts, Test, test};
use serde_json::{Value, json};

const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("mount", "mnt"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn inode(path: &str) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn own(name: &str) -> u64 {
    inode(&format!("/proc/self/ns/{name}"))
}

/// A container that holds namespaces for others to join.
fn holder(bundle: Bundle) -> Container {
    let mut container = bundle.args(&["/guest", "trap"]).start();
    assert_eq!(container.line(), "ready");
    container
}

fn users(bundle: Bundle) -> Bundle {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.namespace(json!({"type": "user"})).patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}))
}

fn offsets(t: &Context, offsets: &Value) -> Facts {
    t.bundle().namespace(json!({"type": "time"})).patch(json!({"linux": {"timeOffsets": offsets}})).facts()
}

pub const TESTS: &[Test] = &[
    test("namespaces: one of each kind", &[256, 257, 258, 259, 260, 262, 264, 268], |t| {
        let facts = t.bundle().namespace(json!({"type": "cgroup"})).facts();
        for (_, name) in KINDS.iter().filter(|(kind, _)| *kind != "time") {
            assert_ne!(facts.at(&format!("/namespaces/{name}")), &json!(own(name)), "{name}");
        }
        facts.is("/identity/pid", &json!(1)).is("/links", &json!(["lo"]));
    }),
    test("namespaces: those not listed are the caller's", &[269], |t| {
        for (kind, name) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
            let facts = t.bundle().patch(json!({"hostname": null})).without_namespace(kind).facts();
            facts.is(&format!("/namespaces/{name}"), &json!(own(name)));
        }
    }),
    test("namespaces: given by path, they are joined", &[266, 244], |t| {
        for (kind, name) in KINDS.iter().filter(|(kind, _)| !matches!(*kind, "mount" | "time")) {
            let first = holder(t.bundle().namespace(json!({"type": "cgroup"})));
            let path = format!("/proc/{}/ns/{name}", first.pid());
            let bundle = t.bundle().namespace(json!({"type": kind, "path": path}));
            let bundle = if *kind == "uts" { bundle.patch(json!({"hostname": null})) } else { bundle };
            let facts = bundle.facts();
            facts.is(&format!("/namespaces/{name}"), &json!(inode(&path)));
            assert_eq!(first.status(), "running");
        }
    }),
    test("namespaces: a time namespace with offsets", &[263, 273], |t| {
        let now = t.helper(&["probe"]).run().facts();
        let facts = offsets(t, &json!({"monotonic": {"secs": 5000}, "boottime": {"secs": 9000, "nanosecs": 5}}));
        assert_ne!(facts.at("/namespaces/time"), &json!(own("time")));
        for (clock, offset) in [("monotonic", 5000), ("boottime", 9000)] {
            let field = format!("/clocks/{clock}");
            let ahead = facts.at(&field).as_i64().unwrap() - now.at(&field).as_i64().unwrap();
            assert!((offset..offset + 60).contains(&ahead), "{clock} is {ahead} s ahead");
        }
    })
    .known(&[("runc 1.1", "has no time namespaces")]),
    test("namespaces: offsets need a time namespace of one's own", &[273], |t| {
        let patch = json!({"linux": {"timeOffsets": {"monotonic": {"secs": 5}}}});
        t.bundle().patch(patch.clone()).run().fails();
        let bundle =
            t.bundle().namespace(json!({"type": "time", "path": format!("/proc/{}/ns/time", std::process::id())}));
        bundle.patch(patch).run().fails();
        let bundle = t.bundle().namespace(json!({"type": "time"}));
        bundle.patch(json!({"linux": {"timeOffsets": {"moon": {"secs": 5}}}})).run().fails();
    })
    .known(&[("runc 1.1", "has no time namespaces")]),
    test("namespaces: unknown, duplicate and untyped ones are refused", &[264, 270], |t| {
        t.bundle().namespace(json!({"type": "moon"})).run().fails();
        t.bundle()
            .edit(|config| config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "pid"})))
            .run()
            .fails();
        t.bundle().namespace(json!({"path": "/proc/self/ns/net"})).run().fails();
    }),
    test("namespaces: a path must be absolute, there, and of the kind", &[265, 267, 206], |t| {
        symlink("/proc/self/ns/net", t.path("link")).unwrap();
        t.bundle().namespace(json!({"type": "network", "path": "/proc/self/ns/ipc"})).run().fails();
        t.bundle().namespace(json!({"type": "network", "path": "/nosuch"})).run().fails();
        t.bundle().namespace(json!({"type": "network", "path": "/etc/passwd"})).run().fails();
        let relative = t.bundle();
        symlink("/proc/self/ns/net", relative.path().join("net")).unwrap();
        relative.namespace(json!({"type": "network", "path": "net"})).run().fails();
    }),
    test("namespaces: a user namespace with its maps", &[261, 271], |t| {
        let bundle = users(t.bundle()).args(&["/guest", "trap"]);
        let container = holder(bundle);
        let map = |kind: &str| {
            let text = fs::read_to_string(format!("/proc/{}/{kind}", container.pid())).unwrap();
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(map("uid_map"), ["0", "100000", "65536"]);
        assert_eq!(map("gid_map"), ["0", "100000", "65536"]);
        let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        assert!(status.contains("Uid:\t100000\t100000\t100000\t100000"), "{status}");
        assert_ne!(inode(&format!("/proc/{}/ns/user", container.pid())), own("user"));
    }),
    test("namespaces: several lines of a map", &[271], |t| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 10}, {"containerID": 10, "hostID": 300_000, "size": 65526}]);
        let bundle = t
            .bundle()
            .namespace(json!({"type": "user"}))
            .patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
        let container = holder(bundle.patch(json!({"process": {"user": {"uid": 12, "gid": 3}}})));
        let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        assert!(status.contains("Uid:\t300002\t") && status.contains("Gid:\t100003\t"), "{status}");
    }),
    test("namespaces: the files of the root keep their owners", &[272], |t| {
        let bundle = users(t.bundle().patch(json!({"root": {"readonly": false}})));
        let bundle = bundle.args(&["/guest", "probe", "/etc/passwd"]);
        bundle.facts().is("/paths/~1etc~1passwd/uid", &json!(65534));
        assert_eq!(fs::metadata(bundle.rootfs().join("etc/passwd")).unwrap().uid(), 0);
    }),
    test("namespaces: maps and user namespace belong together", &[190, 271], |t| {
        t.bundle().namespace(json!({"type": "user"})).run().fails();
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        t.bundle().patch(json!({"linux": {"uidMappings": map, "gidMappings": map}})).run().fails();
    })
    .known(&[("runc 1.1", "ignores maps without a user namespace")]),
    test("namespaces: a user namespace can be joined", &[266], |t| {
        let first = holder(users(t.bundle()));
        let path = format!("/proc/{}/ns/user", first.pid());
        let facts = t.bundle().namespace(json!({"type": "user", "path": path})).facts();
        facts.is("/namespaces/user", &json!(inode(&path))).is("/uids", &json!([0, 0, 0, 0]));
    })
    .known(&[("runc 1.1", "wants maps for a user namespace that has its own")]),
    test("namespaces: host name and domain name", &[145, 147], |t| {
        let facts = t.bundle().patch(json!({"hostname": "one.example"})).facts();
        facts.is("/hostname", &json!("one.example"));
        assert_ne!(nix::unistd::gethostname().unwrap(), "one.example");
    }),
    test("namespaces: domain name", &[147], |t| {
        let facts = t.bundle().patch(json!({"domainname": "two.example"})).facts();
        facts.is("/domainname", &json!("two.example"));
        t.bundle().patch(json!({"domainname": "two.example", "hostname": null})).without_namespace("uts").run().fails();
    })
    .known(&[("runc 1.1", "does not know domainname")]),
    test("namespaces: no host name without a namespace of one's own", &[146], |t| {
        let before = nix::unistd::gethostname().unwrap();
        t.bundle().without_namespace("uts").run().fails().stderr_any(&["uts", "UTS"]);
        assert_eq!(nix::unistd::gethostname().unwrap(), before);
    }),
    test("namespaces: loopback is up in a new network namespace only", &[257], |t| {
        t.bundle().facts().is("/loopback_up", &json!(true));
        let facts = t
            .bundle()
            .namespace(json!({"type": "network", "path": format!("/proc/{}/ns/net", std::process::id())}))
            .facts();
        facts.is("/namespaces/net", &json!(own("net")));
    }),
    test("namespaces: death of the first process ends the others", &[], |t| {
        let mut container = t.bundle().args(&["/guest", "fork", "3", "stay"]).start();
        assert_eq!(container.line(), "forked 3");
        container.kill("KILL").ok();
        assert_eq!(container.wait(), 137);
        container.delete().ok();
    }),
    test("namespaces: killing all of a shared pid namespace", &[239, 243], |t| {
        let bundle = t.bundle().without_namespace("pid").args(&["/guest", "fork", "3", "stay"]);
        let mut container = bundle.start();
        assert_eq!(container.line(), "forked 3");
        container.kill("KILL").ok();
        assert_eq!(container.wait(), 137);
        container.delete().ok();
    }),
];
