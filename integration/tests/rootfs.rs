//! The root file system: where it is, whether it can be written to, how mounts spread to and from it.

use std::fs;

use integration::{HostMount, Test, test};
use nix::mount::MsFlags;
use serde_json::json;

pub const TESTS: &[Test] = &[
    test("rootfs: a read-only root refuses writes", &[14], |t| {
        let bundle = t.bundle().patch(json!({"root": {"readonly": true}})).args(&["/guest", "write", "/x"]);
        bundle.run().code(1).stderr("write /x: Read-only file system");
    }),
    test("rootfs: a root is writable otherwise", &[15], |t| {
        for readonly in [json!(false), json!(null)] {
            let bundle =
                t.bundle().patch(json!({"root": {"readonly": readonly}})).args(&["/guest", "write", "/x", "text"]);
            bundle.run().ok();
            assert_eq!(fs::read_to_string(bundle.rootfs().join("x")).unwrap(), "text");
        }
    }),
    test("rootfs: the path is taken from the bundle, or absolute", &[4, 10, 11], |t| {
        let bundle = t.bundle();
        fs::rename(bundle.rootfs(), bundle.path().join("other")).unwrap();
        bundle.patch(json!({"root": {"path": "other"}})).run().ok();
        let bundle = t.bundle();
        fs::rename(bundle.rootfs(), t.path("far")).unwrap();
        bundle.patch(json!({"root": {"path": t.path("far")}})).run().ok();
    }),
    test("rootfs: it must be given and be there", &[8, 9, 13], |t| {
        t.bundle().patch(json!({"root": null})).run().fails().stderr("root");
        t.bundle().patch(json!({"root": {"path": "nosuch"}})).run().fails();
        t.bundle().patch(json!({"root": {"path": null}})).run().fails();
        t.bundle().file("/../file", "").patch(json!({"root": {"path": "file"}})).run().fails();
    }),
    test("rootfs: nothing of the host is left in the mount table", &[205], |t| {
        let facts = t.bundle().facts();
        facts.is("/root", &json!(["bin", "dev", "etc", "guest", "mnt", "proc", "sys", "tmp"]));
        let points: Vec<&str> =
            facts.at("/mounts").as_array().unwrap().iter().filter_map(|mount| mount["point"].as_str()).collect();
        assert_eq!(points.first(), Some(&"/"));
        let known = ["/", "/proc", "/dev", "/sys"];
        let strange: Vec<_> =
            points.iter().filter(|point| !known.iter().any(|start| point.starts_with(start))).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(points.iter().filter(|point| **point == "/").count(), 1);
    }),
    test("rootfs: propagation of the root", &[413, 414, 415, 416], |t| {
        for (kind, signs) in [
            ("shared", &["shared:"][..]),
            ("rshared", &["shared:"]),
            ("slave", &["master:"]),
            ("rslave", &["master:"]),
            ("private", &[]),
            ("rprivate", &[]),
            ("unbindable", &["unbindable"]),
            ("runbindable", &["unbindable"]),
        ] {
            let bundle = t.bundle().patch(json!({"linux": {"rootfsPropagation": kind}}));
            // A slave needs something to be a slave of.
            let _shared = HostMount::bind(bundle.path()).propagation(MsFlags::MS_SHARED);
            let facts = bundle.facts();
            let tags = facts.mount("/").map(|mount| mount["propagation"].to_string()).unwrap_or_default();
            signs.iter().for_each(|sign| assert!(tags.contains(sign), "{kind}: {tags}"));
            assert!(!signs.is_empty() || tags == "[]", "{kind}: {tags}");
        }
    })
    .known(&[("runc 1.1", "a slave root shows no master on a host where the root's parent is made private first")]),
    test("rootfs: an unknown propagation is an error", &[190, 417], |t| {
        t.bundle().patch(json!({"linux": {"rootfsPropagation": "moon"}})).run().fails();
    }),
    test("rootfs: without pivot_root", &[], |t| {
        let facts = t.bundle().run_with(&["--no-pivot"]).facts();
        facts.is("/root", &json!(["bin", "dev", "etc", "guest", "mnt", "proc", "sys", "tmp"]));
    }),
    test("rootfs: the bundle may be the current directory", &[223], |t| {
        let bundle = t.bundle().args(&["/guest", "print", "here"]);
        bundle.save();
        let run = bundle.coracle().call(["run", &bundle.id()]).cwd(bundle.path()).run();
        run.ok().says("here");
        let relative = bundle.path().file_name().unwrap().to_str().unwrap();
        let run = bundle
            .coracle()
            .call(["run", "--bundle", relative, &bundle.id()])
            .cwd(bundle.path().parent().unwrap())
            .run();
        run.ok().says("here");
    }),
    test("rootfs: the bundle holds a config.json", &[1, 3, 5], |t| {
        let bundle = t.bundle();
        let run = || bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        run().fails().stderr("config.json");
        fs::write(bundle.path().join("config.json"), b"{\"ociVersion\": \"1.0.2\xff\"}").unwrap();
        run().fails();
        fs::write(bundle.path().join("config.json"), b"{").unwrap();
        run().fails();
    }),
    test("rootfs: every 1.x version up to the supported one is taken", &[6, 7], |t| {
        for version in ["1.0.0", "1.0.2", "1.0.2-dev", "1.1.0", "1.2.0", "1.2.1", "1.3.0"] {
            t.bundle().patch(json!({"ociVersion": version})).run().ok();
        }
    }),
    test("rootfs: a version that is none is refused", &[5], |t| {
        for version in [json!(null), json!(""), json!("1"), json!("one"), json!("2.0.0"), json!(1.3)] {
            t.bundle().patch(json!({"ociVersion": version})).run().fails();
        }
    })
    .known(&[("runc", "does not look at ociVersion")]),
];
