//! Users, capabilities and cgroups that are more than was asked for, and text that says more than it should.

use std::fs;

use integration::{Bundle, Context, HostMount, Test, need, requires, test};
use serde_json::{Value, json};

use super::Canary;
use crate::exec::{facts, running};
use crate::rootless;

const RAW: &str = "CAP_NET_RAW";

/// A program that may have CAP_NET_RAW if it is inheritable: VFS_CAP_REVISION_2 with the effective bit, little-endian.
fn capable(t: &Context, bundle: &Bundle) {
    let path = bundle.rootfs().join("capable");
    fs::copy(t.guest(), &path).unwrap();
    let value = "0x0100000200000000002000000000000000000000";
    let setfattr = ["-n", "security.capability", "-v", value, path.to_str().unwrap()];
    t.tool("/usr/bin/setfattr", &setfattr).run().ok();
}

/// What the program above may do as an ordinary user whose inheritable set is this.
fn gained(t: &Context, inheritable: Option<Value>) -> Value {
    let sets = json!({"bounding": [RAW], "permitted": [RAW], "effective": [RAW]});
    let user = json!({"uid": 1000, "gid": 1000});
    let patch = json!({"process": {"capabilities": null, "user": user, "noNewPrivileges": false}});
    let bundle = t.bundle().patch(patch).args(&["/capable", "probe"]);
    let bundle = bundle.edit(|config| {
        config["process"]["capabilities"] = sets;
        if let Some(set) = inheritable {
            config["process"]["capabilities"]["inheritable"] = set;
        }
    });
    capable(t, &bundle);
    bundle.facts().at("/capabilities/effective").clone()
}

pub const TESTS: &[Test] = &[
    test("escapes: CVE-2022-24769 CVE-2022-27650, nothing is inheritable that was not asked for", &[], |t| {
        requires!(need::program("/usr/bin/setfattr"));
        let written = t.path("written");
        fs::create_dir(&written).unwrap();
        t.coracle().call(["spec", "--bundle"]).arg(&written).run().ok();
        let spec: Value = serde_json::from_slice(&fs::read(written.join("config.json")).unwrap()).unwrap();
        let sets = spec["process"]["capabilities"].as_object().unwrap();
        assert!(sets.get("inheritable").is_none_or(|set| set == &json!([])), "{sets:?}");
        t.bundle().facts().is("/capabilities/inheritable", &json!([]));
        assert_eq!(gained(t, None), json!([]));
        // The program does gain the capability of a process that has it to pass on.
        assert_eq!(gained(t, Some(json!([RAW]))), json!([RAW]));
    }),
    test("escapes: CVE-2022-29162, exec adds nothing that is inheritable", &[], |t| {
        let container = running(t.bundle());
        let facts = facts(&container, &["--cap", RAW]);
        for (set, held) in [("effective", true), ("permitted", true), ("inheritable", false), ("ambient", false)] {
            assert_eq!(facts.strings(&format!("/capabilities/{set}")).contains(&RAW), held, "{set}");
        }
        let user = container.exec_with(&["--cap", RAW, "--user", "1000"], &["/guest", "probe"]).facts();
        user.is("/capabilities/effective", &json!([])).is("/capabilities/inheritable", &json!([]));
        // What the configuration has in it is seen by the same reading.
        let sets = json!({"bounding": [RAW], "permitted": [RAW], "effective": [RAW], "inheritable": [RAW]});
        let asked = running(t.bundle().edit(|config| config["process"]["capabilities"] = sets));
        crate::exec::facts(&asked, &[]).is("/capabilities/inheritable", &json!([RAW]));
    }),
    test("escapes: CVE-2026-30892, exec is of the user that was named", &[], |t| {
        let container = running(t.bundle());
        for (user, uid, gid) in [("1", 1, 0), ("1:2", 1, 2), ("0", 0, 0), ("65534:7", 65534, 7)] {
            let facts = facts(&container, &["--user", user]);
            facts.is("/uids", &json!([uid, uid, uid, uid])).is("/gids", &json!([gid, gid, gid, gid]));
        }
        let wrong =
            ["x", "1:", ":1", "-1", "1:-1", "4294967296", "4294967295", " 1", "1 ", "1x", "0x1", "1:2:3", "1.0", "1;0"];
        for user in wrong {
            let output = container.exec_with(&["--user", user], &["/guest", "probe"]);
            assert!(output.code != 0 && output.stdout.is_empty(), "--user {user:?} ran: {}", output.stdout);
        }
    })
    .known(&[("runc 1.1", "takes a number that is none"), ("crun 1.8", "takes a group that is none")]),
    test("escapes: CVE-2023-25809, cgroups of a user are read-only at every level", &[], |t| {
        let user = json!([{"containerID": 0, "hostID": 65534, "size": 1}]);
        for v2 in [false, true] {
            if v2 && need::unified().is_err() {
                continue;
            }
            let bundle = rootless::bundle_of(t, 65534, &user).without_namespace("cgroup");
            let coracle = if v2 { t.coracle().v2() } else { t.coracle() };
            let facts = bundle.with(coracle.launched("user=65534")).facts();
            super::cgroups_are_readonly(&facts);
        }
    })
    .known(&[
        ("runc 1.1", "leaves the tmpfs of the v1 hierarchies writable"),
        ("crun 1.8", "is run by a script for root"),
    ]),
    test("escapes: CVE-2021-43784, more maps than the kernel takes", &[], |t| {
        let maps: Vec<Value> =
            (0..5000).map(|id| json!({"containerID": id, "hostID": 100_000 + id, "size": 1})).collect();
        let bundle = t.bundle().namespace(json!({"type": "user"}));
        let bundle = bundle.patch(json!({"linux": {"uidMappings": maps, "gidMappings": maps}}));
        let (container, output) = bundle.try_create(&[]);
        output.fails();
        container.call("state").run().fails();
    }),
    test("escapes: CVE-2021-43784, the path of a namespace with a separator in it", &[], |t| {
        use std::os::unix::fs::MetadataExt;
        let other = running(t.bundle());
        let path = t.path("a,ipc:b");
        fs::write(&path, "").unwrap();
        let _pinned = HostMount::bind_of(std::path::Path::new(&format!("/proc/{}/ns/net", other.pid())), &path);
        let inode = fs::metadata(&path).unwrap().ino();
        let output = t.bundle().namespace(json!({"type": "network", "path": path})).run();
        if output.code == 0 {
            // The whole path is that of the namespace.
            output.facts().is("/namespaces/net", &json!(inode));
        } else {
            output.fails();
        }
        let ipc = format!("/proc/{0}/ns/net,ipc:/proc/{0}/ns/ipc", other.pid());
        t.bundle().namespace(json!({"type": "network", "path": ipc})).run().fails();
    }),
    test("escapes: CVE-2025-24965, files of the image that the runtime reads or makes are the image's", &[], |t| {
        let canary = Canary::new(t);
        fs::write(canary.0.join("bird"), "user:x:1000:1000::/alive:/guest\nalive").unwrap();
        let outside = canary.0.to_str().unwrap();
        let ordinary = json!({"process": {"user": {"uid": 1000, "gid": 1000}}, "root": {"readonly": false}});
        for up in ["", "../../../../../../../../../../.."] {
            let bundle = t.bundle().patch(ordinary.clone());
            fs::remove_file(bundle.rootfs().join("etc/passwd")).unwrap();
            let bundle = bundle.link(&format!("{up}{outside}/bird"), "/etc/passwd");
            let named = fs::read_to_string(bundle.rootfs().join("etc/passwd")).unwrap();
            assert!(named.contains("alive"), "by its path it is the host's, or this test could not fail");
            let output = bundle.run();
            let home = output.facts().at("/env").to_string();
            assert!(!home.contains("alive"), "the home directory comes from the host: {home}");
            let bundle =
                bundle.link(&format!("{up}{outside}"), "/work").patch(json!({"process": {"cwd": "/work/made"}}));
            // It may refuse such an image.
            let _ = bundle.run().code;
            assert_eq!(fs::read_dir(&canary.0).unwrap().count(), 1, "the directory was made on the host");
            fs::create_dir(bundle.rootfs().join("work/made")).unwrap();
            fs::remove_dir(canary.0.join("made"))
                .expect("made by its path it is on the host, or this test could not fail");
        }
    }),
];
