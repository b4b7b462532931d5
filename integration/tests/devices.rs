//! /dev: the default devices and links, further devices, and which of them may be used.

use std::os::unix::fs::symlink;

use integration::{Bundle, Facts, Test, test};
use serde_json::{Value, json};

const DEFAULT: [(&str, &str); 6] = [
    ("/dev/null", "1:3"),
    ("/dev/zero", "1:5"),
    ("/dev/full", "1:7"),
    ("/dev/random", "1:8"),
    ("/dev/urandom", "1:9"),
    ("/dev/tty", "5:0"),
];

const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

fn device<'a>(facts: &'a Facts, path: &str) -> &'a Value {
    &facts.at("/dev")[path]
}

fn deny_all() -> Value {
    json!([{"allow": false, "access": "rwm"}])
}

/// Whether a container with these rules can open the device 10:229, which anybody may open who may open it at all.
fn opens(bundle: Bundle, rules: &Value, how: &str) -> bool {
    let devices = json!([{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}]);
    let bundle = bundle.patch(json!({"linux": {"devices": devices, "resources": {"devices": rules}}}));
    bundle.args(&["/guest", "open", "/dev/fuse", how]).run().code == 0
}

pub const TESTS: &[Test] = &[
    test("devices: the six default devices", &[282, 283, 284, 285, 286, 287, 319], |t| {
        let paths: Vec<&str> = ["/guest", "probe"].into_iter().chain(DEFAULT.map(|(path, _)| path)).collect();
        let facts = t.bundle().args(&paths).facts();
        for (path, rdev) in DEFAULT {
            let node = json!({"kind": "c", "mode": "0666", "uid": 0, "gid": 0, "rdev": rdev});
            assert_eq!(device(&facts, path), &node, "{path}");
            if path != "/dev/tty" {
                facts.is(&format!("/paths/{}/read", path.replace('/', "~1")), &json!("ok"));
            }
        }
    }),
    test("devices: links to the standard streams", &[247, 248, 249, 250], |t| {
        let facts = t.bundle().facts();
        for (path, target) in LINKS {
            assert_eq!(device(&facts, path), &json!({"kind": "link", "target": target}));
        }
    }),
    test("devices: ptmx is that of the container", &[289], |t| {
        let facts = t.bundle().facts();
        let link = device(&facts, "/dev/ptmx") == &json!({"kind": "link", "target": "pts/ptmx"});
        assert!(link || facts.mount("/dev/ptmx").is_some(), "{}", device(&facts, "/dev/ptmx"));
        assert_eq!(facts.mount("/dev/pts").map(|mount| &mount["root"]), Some(&json!("/")));
    }),
    test("devices: no link without its source", &[251], |t| {
        let bundle =
            t.bundle().without_mounts(&["/proc"]).patch(json!({"linux": {"maskedPaths": null, "readonlyPaths": null}}));
        let facts = bundle.facts();
        for (path, _) in LINKS {
            assert_eq!(device(&facts, path), &json!(null), "{path}");
        }
    })
    .known(&[("runc 1.1", "needs /proc to start a container")]),
    test("devices: a device with mode and owner", &[274, 276, 278, 279, 280], |t| {
        let devices = json!([
            {"path": "/dev/one", "type": "c", "major": 1, "minor": 11, "fileMode": 0o640, "uid": 7, "gid": 8},
            {"path": "/dev/sub/two", "type": "b", "major": 7, "minor": 3, "fileMode": 0o600},
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622},
        ]);
        let facts = t.bundle().patch(json!({"linux": {"devices": devices}})).facts();
        assert_eq!(
            device(&facts, "/dev/one"),
            &json!({"kind": "c", "mode": "0640", "uid": 7, "gid": 8, "rdev": "1:11"})
        );
        assert_eq!(
            device(&facts, "/dev/sub/two"),
            &json!({"kind": "b", "mode": "0600", "uid": 0, "gid": 0, "rdev": "7:3"})
        );
        assert_eq!(device(&facts, "/dev/pipe"), &json!({"kind": "p", "mode": "0622", "uid": 0, "gid": 0}));
    }),
    test("devices: an unbuffered character device is one", &[275], |t| {
        let devices = json!([{"path": "/dev/one", "type": "u", "major": 1, "minor": 11, "fileMode": 0o640}]);
        let facts = t.bundle().patch(json!({"linux": {"devices": devices}})).facts();
        assert_eq!(device(&facts, "/dev/one")["rdev"], "1:11");
    }),
    test("devices: a device outside of /dev", &[276], |t| {
        let devices = json!([{"path": "/mnt/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666}]);
        let patch = json!({"root": {"readonly": false}, "linux": {"devices": devices}});
        let facts = t.bundle().patch(patch).args(&["/guest", "probe", "/mnt/zero"]).facts();
        facts.is("/paths/~1mnt~1zero/rdev", &json!("1:5"));
    }),
    test("devices: unknown types and missing members are refused", &[275, 276, 278], |t| {
        for device in [
            json!({"path": "/dev/one", "type": "x", "major": 1, "minor": 11}),
            json!({"path": "/dev/one", "major": 1, "minor": 11}),
        ] {
            t.bundle().patch(json!({"linux": {"devices": [device]}})).run().fails();
        }
    }),
    test("devices: a device needs a path", &[276], |t| {
        for device in
            [json!({"type": "c", "major": 1, "minor": 11}), json!({"path": "", "type": "c", "major": 1, "minor": 11})]
        {
            t.bundle().patch(json!({"linux": {"devices": [device]}})).run().fails();
        }
    })
    .known(&[("runc 1.1", "ignores a device without a path")]),
    test("devices: numbers may be left out of a fifo only", &[278], |t| {
        for device in [
            json!({"path": "/dev/one", "type": "c", "minor": 11}),
            json!({"path": "/dev/one", "type": "b", "major": 1}),
        ] {
            t.bundle().patch(json!({"linux": {"devices": [device]}})).run().fails();
        }
    })
    .known(&[("runc", "takes absent numbers for 0")]),
    test("devices: something else at the path is an error", &[277], |t| {
        let devices = json!([{"path": "/mnt/zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666}]);
        let patch = json!({"root": {"readonly": false}, "linux": {"devices": devices}});
        let bundle = t.bundle().file("/mnt/zero", "a file").patch(patch.clone());
        bundle.run().fails();
        let bundle = t.bundle().patch(patch);
        symlink("/dev/null", bundle.rootfs().join("mnt/zero")).unwrap();
        bundle.run().fails();
        let node = t.bundle();
        let path = node.rootfs().join("mnt/zero");
        t.helper(&["mknod", path.to_str().unwrap(), "c", "1", "5"]).run().ok();
        node.patch(json!({"root": {"readonly": false}, "linux": {"devices": devices}})).run().ok();
    })
    .known(&[("runc", "leaves a file of another kind as it is")]),
    test("devices: rules apply in their order", &[314, 315, 318, 319], |t| {
        let all = deny_all()[0].clone();
        let allow = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"});
        let deny = json!({"allow": false, "type": "c", "major": 10, "minor": 229, "access": "w"});
        for (rules, read, write) in [
            (json!([all, allow]), true, true),
            (json!([allow, all]), false, false),
            (json!([all, allow, deny]), true, false),
            (json!([all, {"allow": true, "type": "c", "major": 10, "access": "r"}]), true, false),
        ] {
            let opens = |how: &str| opens(t.bundle(), &rules, how);
            assert_eq!((opens("r"), opens("w"), opens("rw")), (read, write, read && write), "{rules}");
        }
    }),
    test("devices: a rule may take away what all have", &[314], |t| {
        let rules = json!([{"allow": true, "access": "rwm"}, {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "w"}]);
        assert!(opens(t.bundle(), &rules, "r") && !opens(t.bundle(), &rules, "w"));
    }),
    test("devices: nodes can be made but not opened", &[317, 319], |t| {
        let patch = json!({"process": {"capabilities": {"bounding": ["CAP_MKNOD"], "effective": ["CAP_MKNOD"], "permitted": ["CAP_MKNOD"]}}});
        let bundle = t.bundle().patch(patch).args(&["/guest", "mknod", "/dev/x", "c", "1", "11"]);
        bundle.run().ok();
        let devices = json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 4, "fileMode": 0o666}]);
        let rules = json!([{"allow": false, "access": "rwm"}, {"allow": false, "type": "c", "major": 1, "minor": 4, "access": "rwm"}]);
        let patch = json!({"linux": {"devices": devices, "resources": {"devices": rules}}});
        t.bundle().patch(patch).args(&["/guest", "open", "/dev/x", "r"]).run().code(1);
    }),
    test("devices: type and numbers left out mean all", &[316, 317], |t| {
        for rule in [
            json!({"allow": true, "access": "rwm"}),
            json!({"allow": true, "type": "a", "access": "rwm"}),
            json!({"allow": true, "type": "c", "major": 1, "access": "rwm"}),
        ] {
            let devices = json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 11, "fileMode": 0o666}]);
            let patch = json!({"linux": {"devices": devices, "resources": {"devices": [deny_all()[0], rule]}}});
            t.bundle().patch(patch).args(&["/guest", "open", "/dev/x", "w"]).run().ok();
        }
    }),
    test("devices: a bound /dev is left as it is", &[], |t| {
        let bundle = t.bundle().without_mounts(&["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
        let facts = bundle.mount(json!({"destination": "/dev", "source": "/dev", "options": ["rbind"]})).facts();
        assert_eq!(device(&facts, "/dev/null")["rdev"], "1:3");
    }),
];
