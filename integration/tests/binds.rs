//! Where mounts come from and where they go: order, sources, destinations, links, id maps.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use integration::{HostMount, Test, test};
use serde_json::json;

pub const TESTS: &[Test] = &[
    test("binds: mounts are made in the listed order", &[16], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let first = json!({"destination": "/mnt", "type": "tmpfs", "source": "one"});
        let bind = json!({"destination": "/mnt/a", "source": "extra", "options": ["bind"]});
        let facts = bundle.mount(first.clone()).mount(bind.clone()).args(&["/guest", "probe", "/mnt/a/file"]).facts();
        facts.is("/paths/~1mnt~1a~1file/read", &json!("ok"));
        let bundle = t.bundle().file("/../extra/file", "bound").mount(bind).mount(first);
        let facts = bundle.args(&["/guest", "probe", "/mnt/a"]).facts();
        facts.is("/paths/~1mnt~1a", &json!(null));
    }),
    test("binds: a relative source is in the bundle", &[21], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let mount = json!({"destination": "/mnt", "source": "extra", "options": ["bind"]});
        bundle.mount(mount).args(&["/guest", "read", "/mnt/file"]).run().ok().says("bound");
        let bundle = t.bundle();
        let path = t.path("elsewhere");
        fs::write(&path, "absolute").unwrap();
        let mount = json!({"destination": "/mnt/file", "source": path, "options": ["bind"]});
        bundle.mount(mount).args(&["/guest", "read", "/mnt/file"]).run().ok().says("absolute");
    }),
    test("binds: a relative destination is below the root", &[17, 18, 19], |t| {
        let bundle = t.bundle().patch(json!({"process": {"cwd": "/tmp"}}));
        let facts = bundle.mount(json!({"destination": "mnt", "type": "tmpfs", "source": "tmpfs"})).facts();
        assert!(facts.mount("/mnt").is_some());
    }),
    test("binds: a mount needs a destination", &[17, 190], |t| {
        t.bundle().mount(json!({"type": "tmpfs", "source": "tmpfs"})).run().fails();
    }),
    test("binds: links in the destination stay inside the root", &[20], |t| {
        let outside = t.path("outside");
        fs::create_dir(&outside).unwrap();
        for (target, seen) in [("/mnt", "/mnt/in"), ("../../../../../mnt", "/mnt/in"), (outside.to_str().unwrap(), "")] {
            let bundle = t.bundle().file("/../extra/file", "bound").link(target, "/link");
            let mount = json!({"destination": "/link/in", "source": "extra", "options": ["bind"]});
            let facts = bundle.mount(mount).args(&["/guest", "probe", "/link/in/file"]).facts();
            facts.is("/paths/~1link~1in~1file/read", &json!("ok"));
            assert!(seen.is_empty() || facts.mount(seen).is_some(), "{target} did not lead to {seen}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "the host's directory was written to");
    }),
    test("binds: missing mount points are made", &[205], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let bundle = bundle
            .mount(json!({"destination": "/new/a/dir", "source": "extra", "options": ["bind"]}))
            .mount(json!({"destination": "/new/file", "source": "extra/file", "options": ["bind"]}))
            .args(&["/guest", "probe", "/new/a/dir/file", "/new/file"]);
        let facts = bundle.facts();
        facts.is("/paths/~1new~1a~1dir~1file/read", &json!("ok")).is("/paths/~1new~1file/read", &json!("ok"));
        facts.is("/paths/~1new~1file/kind", &json!("file"));
    }),
    test("binds: a link at the source is copied, or mounted as it is", &[], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        std::os::unix::fs::symlink("/some/where", bundle.path().join("extra/link")).unwrap();
        let at = |to: &str, options: &[&str]| {
            let options = [&["bind"], options].concat();
            json!({"destination": to, "source": "extra/link", "options": options})
        };
        let bundle = bundle
            .mount(at("/new/copy", &["copy-symlink"]))
            .mount(json!({"destination": "/mnt/file", "source": "extra/file", "options": ["bind", "copy-symlink", "ro"]}))
            .link("/mnt", "/tmp/over")
            .mount(at("/tmp/over", &["src-nofollow", "dest-nofollow"]))
            .args(&["/guest", "probe", "/new/copy", "/mnt/file", "/tmp/over"]);
        let facts = bundle.facts();
        facts.is("/paths/~1mnt~1file/read", &json!("ok")).is("/paths/~1new~1copy/kind", &json!("link"));
        assert!(facts.mount("/mnt/file").is_some() && facts.mount("/tmp/over").is_some());
        assert_eq!(fs::read_link(bundle.rootfs().join("new/copy")).unwrap().to_str(), Some("/some/where"));
        // Again, over what the first run left; then over something else.
        bundle.facts();
        fs::remove_file(bundle.rootfs().join("new/copy")).unwrap();
        fs::write(bundle.rootfs().join("new/copy"), "").unwrap();
        bundle.run().fails().stderr("something else than the same link");
        let both = t.bundle().mount(at("/mnt", &["copy-symlink", "src-nofollow"]));
        both.run().fails().stderr("copy-symlink excludes");
    })
    .known(&[("runc", "does not have these options")]),
    test("binds: a destination that is not followed must be there", &[], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let at = |to: &str| json!({"destination": to, "source": "extra", "options": ["bind", "dest-nofollow"]});
        bundle.mount(at("/new")).run().fails().stderr("ENOENT");
        let bundle = t.bundle().file("/../extra/file", "bound").link("/proc", "/p");
        bundle.mount(at("/p/sys")).run().fails();
    })
    .known(&[("runc", "does not have these options")]),
    test("binds: an id map in the option", &[], |t| {
        let source = HostMount::tmpfs(&t.path("source"), "mode=777");
        fs::write(source.path().join("file"), "").unwrap();
        let mount = |option: &str| json!({"destination": "/mnt", "source": source.path(), "options": ["bind", option]});
        let bundle = t.bundle().mount(mount("idmap=uids=0-1000-1;gids=0-2000-1")).args(&["/guest", "probe", "/mnt/file"]);
        bundle.facts().is("/paths/~1mnt~1file/uid", &json!(1000)).is("/paths/~1mnt~1file/gid", &json!(2000));
        let wrong = t.bundle().mount(mount("idmap=uids=0-1000-1"));
        wrong.run().fails().stderr("both uids= and gids= are needed");
    })
    .known(&[("runc", "does not have these options")]),
    test("binds: type is ignored with bind", &[22, 23], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let mount = json!({"destination": "/mnt", "type": "moonfs", "source": "extra", "options": ["rbind"]});
        bundle.mount(mount).args(&["/guest", "read", "/mnt/file"]).run().ok().says("bound");
        let mount = json!({"destination": "/mnt", "type": "moonfs", "source": "extra"});
        t.bundle().mount(mount).run().fails();
    }),
    test("binds: a missing source is an error", &[206, 229], |t| {
        t.bundle().mount(json!({"destination": "/mnt", "source": "nosuch", "options": ["bind"]})).run().fails().stderr("nosuch");
    }),
    test("binds: the default file systems are there", &[252, 253, 254, 255], |t| {
        let facts = t.bundle().facts();
        for (point, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs"), ("/dev/mqueue", "mqueue")] {
            assert_eq!(facts.mount(point).map(|mount| &mount["type"]), Some(&json!(kind)), "{point}");
        }
    }),
    test("binds: the container's mounts do not reach the host", &[217, 243], |t| {
        let tree = HostMount::tmpfs(&t.path("tree"), "mode=755").propagation(nix::mount::MsFlags::MS_SHARED);
        fs::create_dir(tree.path().join("in")).unwrap();
        let bind = json!({"destination": "/mnt", "source": tree.path(), "options": ["rbind"]});
        let inner = json!({"destination": "/mnt/in", "type": "tmpfs", "source": "inner"});
        let bundle = t.bundle().mount(bind).mount(inner).args(&["/guest", "trap"]);
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!host.contains(tree.path().join("in").to_str().unwrap()), "a mount of the container leaked");
    }),
    test("binds: a slave gets the host's later mounts", &[58, 63], |t| {
        let tree = HostMount::tmpfs(&t.path("tree"), "mode=755").propagation(nix::mount::MsFlags::MS_SHARED);
        let bind = json!({"destination": "/mnt", "source": tree.path(), "options": ["rbind", "rslave"]});
        let mut container = t.bundle().mount(bind).args(&["/guest", "wait-file", "/mnt/late/file"]).start();
        assert_eq!(container.line(), "waiting");
        let late = HostMount::tmpfs(&tree.path().join("late"), "mode=755");
        fs::write(late.path().join("file"), "x").unwrap();
        assert_eq!(container.wait(), 0);
    }),
    test("binds: an id map of its own", &[27, 28, 29, 30, 88, 89, 90, 93], |t| {
        let source = HostMount::tmpfs(&t.path("tree"), "mode=755");
        let file = source.path().join("file");
        fs::write(&file, "x").unwrap();
        chown(&file, Some(5), Some(6)).unwrap();
        let map = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 100}]);
        let mount = json!({"destination": "/mnt", "source": source.path(), "options": ["bind", "idmap"], "uidMappings": map(1000), "gidMappings": map(2000)});
        let facts = t.bundle().mount(mount.clone()).args(&["/guest", "probe", "/mnt/file"]).facts();
        facts.is("/paths/~1mnt~1file/uid", &json!(1005)).is("/paths/~1mnt~1file/gid", &json!(2006));
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (5, 6), "the file itself was changed");
        for missing in ["uidMappings", "gidMappings"] {
            let mut half = mount.clone();
            half.as_object_mut().unwrap().remove(missing);
            t.bundle().mount(half).run().fails();
        }
    })
    .known(&[("runc 1.1", "has no id-mapped mounts")]),
    test("binds: ridmap reaches the mounts below", &[94, 95, 96, 99], |t| {
        let source = HostMount::tmpfs(&t.path("tree"), "mode=755");
        let below = HostMount::tmpfs(&source.path().join("sub"), "mode=755");
        fs::write(below.path().join("file"), "x").unwrap();
        let map = json!([{"containerID": 0, "hostID": 1000, "size": 100}]);
        for (option, uid) in [("ridmap", 1000), ("idmap", 0)] {
            let mount = json!({"destination": "/mnt", "source": source.path(), "options": ["rbind", option], "uidMappings": map, "gidMappings": map});
            let facts = t.bundle().mount(mount).args(&["/guest", "probe", "/mnt/sub/file"]).facts();
            facts.is("/paths/~1mnt~1sub~1file/uid", &json!(uid));
        }
    })
    .known(&[("runc 1.1", "has no id-mapped mounts")]),
    test("binds: idmap without a map needs a user namespace", &[91, 92, 97, 98], |t| {
        let source = HostMount::tmpfs(&t.path("tree"), "mode=755");
        for option in ["idmap", "ridmap"] {
            let mount = json!({"destination": "/mnt", "source": source.path(), "options": ["bind", option]});
            t.bundle().mount(mount).run().fails();
        }
    })
    .known(&[("runc 1.1", "ignores idmap")]),
    test("binds: idmap without a map takes the container's", &[91, 97], |t| {
        let source = HostMount::tmpfs(&t.path("tree"), "mode=755");
        fs::write(source.path().join("file"), "x").unwrap();
        fs::set_permissions(source.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        for option in ["idmap", "ridmap"] {
            let bundle = t.bundle().namespace(json!({"type": "user"})).patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
            let mount = json!({"destination": "/mnt", "source": source.path(), "options": ["bind", option]});
            let output = bundle.mount(mount).args(&["/guest", "probe", "/mnt/file"]).run();
            // The specification leaves the choice between this and an error.
            if output.code == 0 {
                output.facts().is("/paths/~1mnt~1file/uid", &json!(0));
            } else {
                output.fails();
            }
        }
    })
    .known(&[("runc 1.1", "hands idmap to the file system or ignores it")]),
];
