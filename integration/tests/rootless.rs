//! Containers of an ordinary user: no privilege anywhere, with and without ids of /etc/subuid.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

use integration::{Bundle, Context, Test, need, requires, test};
use serde_json::{Value, json};

/// A user that every machine has, with a name for newuidmap.
const USER: u32 = 65534;

fn itself() -> Value {
    json!([{"containerID": 0, "hostID": USER, "size": 1}])
}

fn range() -> Value {
    json!([{"containerID": 0, "hostID": USER, "size": 1}, {"containerID": 1, "hostID": 200_000, "size": 65535}])
}

/// The default bundle as `spec --rootless` has it, called by the ordinary user.
fn bundle(t: &Context, maps: &Value) -> Bundle {
    bundle_of(t, USER, maps)
}

/// The same of that user, who must be among the host's ids of `maps`.
pub fn bundle_of(t: &Context, user: u32, maps: &Value) -> Bundle {
    let bundle = t.bundle().rootless(user, maps);
    fs::create_dir_all(t.root()).unwrap();
    chown(t.root(), Some(user), Some(user)).unwrap();
    let coracle = bundle.coracle().clone();
    bundle.with(coracle.launched(format!("user={user}")))
}

/// The same, with a range of ids that the user has by a file nobody else sees.
fn with_range(t: &Context) -> Bundle {
    let ids = t.path("subids");
    fs::write(&ids, "nobody:200000:65536\n").unwrap();
    let bundle = bundle(t, &range());
    let coracle = t.coracle();
    let bind = |to: &str| format!("bind={}:{to}", ids.display());
    let coracle = coracle.launched(bind("/etc/subuid")).launched(bind("/etc/subgid"));
    bundle.with(coracle.launched(format!("user={USER}")))
}

pub const TESTS: &[Test] = &[
    test("rootless: a container that maps the user alone", &[261, 271], |t| {
        let facts = bundle(t, &itself()).facts();
        facts.is("/uids", &json!([0, 0, 0, 0])).is("/identity/pid", &json!(1)).is("/hostname", &json!("coracle"));
    }),
    test("rootless: nothing of the host's user is in reach", &[], |t| {
        let mut container = bundle(t, &itself()).args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        assert!(status.contains(&format!("Uid:\t{USER}\t{USER}\t{USER}\t{USER}")), "{status}");
        assert_eq!(fs::read_to_string(format!("/proc/{}/setgroups", container.pid())).unwrap().trim(), "deny");
        assert_eq!(container.status(), "running");
    }),
    test("rootless: created, started, executed in, killed and deleted", &[], |t| {
        let mut container = bundle(t, &itself()).args(&["/guest", "trap"]).create();
        assert_eq!(container.status(), "created");
        container.start().ok();
        assert_eq!(container.line(), "ready");
        container.exec(["/guest", "print", "inside"]).ok().says("inside");
        container.kill("KILL").ok();
        assert_eq!(container.wait(), 137);
        container.delete().ok();
    }),
    test("rootless: without a state root of the user's own it is said what to do", &[], |t| {
        let denied = t.path("denied");
        fs::create_dir_all(denied.join("coracle")).unwrap();
        fs::set_permissions(denied.join("coracle"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let coracle = t.coracle().launched(format!("bind={}:/run", denied.display()));
        for verb in [&["list"][..], &["state", "x"]] {
            let call = coracle.clone().launched(format!("user={USER}")).bare().args(["--log-format", "json"]);
            call.args(verb).run().fails().stderr("XDG_RUNTIME_DIR");
        }
    })
    .known(&[("runc", "gives the bare error")]),
    test("rootless: groups cannot be set without a range", &[], |t| {
        let bundle = bundle(t, &itself()).patch(json!({"process": {"user": {"additionalGids": [0]}}}));
        bundle.run().fails().stderr("additionalGids");
    }),
    test("rootless: hooks in the container's namespaces are for root, of a user namespace too", &[], |t| {
        let hook = |word: &str, value: &str| json!({"path": t.guest(), "args": ["guest", word, value]});
        let hooks = |hook: Value| json!({"hooks": {"createContainer": [hook]}});
        let refused = bundle(t, &itself()).patch(hooks(hook("exit", "0")));
        refused.run().fails().stderr("createContainer hook #0").stderr("an ordinary user's hooks cannot enter");
        // Root of a user namespace and of nothing else.
        let root = |hook: Value| {
            let itself = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
            let bundle = t.bundle().rootless(0, &itself).patch(hooks(hook)).args(&["/guest", "exit", "5"]);
            bundle.save();
            let id = bundle.id();
            let (coracle, root) = (t.coracle(), t.path("mapped"));
            let call = t.tool("/usr/bin/unshare", &["--map-root-user"]).arg(coracle.program()).arg("--root").arg(root);
            call.args(["--rootless", "true", "run", "--bundle"]).arg(bundle.path()).arg(id).run()
        };
        root(hook("exit", "0")).code(5);
        root(hook("exit", "7")).fails().stderr("exit status 7");
        root(hook("kill-self", "9")).fails().stderr("killed by signal 9");
    }),
    test("rootless: a user namespace is needed", &[], |t| {
        let bundle = bundle(t, &itself()).without_namespace("user");
        let bundle = bundle.patch(json!({"linux": {"uidMappings": null, "gidMappings": null}}));
        bundle.run().fails().stderr("user namespace");
    }),
    test("rootless: ids of /etc/subuid, and groups among them", &[271], |t| {
        requires!(need::program("/usr/bin/newuidmap"));
        let user = json!({"uid": 5, "gid": 6, "additionalGids": [7, 8]});
        let facts = with_range(t).patch(json!({"process": {"user": user}})).facts();
        facts.is("/uids", &json!([5, 5, 5, 5])).is("/gids", &json!([6, 6, 6, 6])).is("/groups", &json!([7, 8]));
    }),
    test("rootless: ids of others are refused with the words of newuidmap", &[271], |t| {
        requires!(need::program("/usr/bin/newuidmap"));
        bundle(t, &range()).run().fails().stderr("newuidmap");
    }),
    test("rootless: clocks of its own", &[273], |t| {
        requires!(need::path("/proc/self/ns/time"));
        let patch = json!({"linux": {"timeOffsets": {"monotonic": {"secs": 500_000_000}}}});
        let facts = bundle(t, &itself()).namespace(json!({"type": "time"})).patch(patch).facts();
        assert!(facts.at("/clocks/monotonic").as_i64().unwrap() > 500_000_000);
    }),
    test("rootless: the namespaces of another container of the user", &[266], |t| {
        let mut first = bundle(t, &itself()).args(&["/guest", "trap"]).start();
        assert_eq!(first.line(), "ready");
        let mut joining = bundle(t, &itself());
        for (kind, name) in [("user", "user"), ("ipc", "ipc"), ("pid", "pid")] {
            let path = format!("/proc/{}/ns/{name}", first.pid());
            joining = joining.namespace(json!({"type": kind, "path": path}));
        }
        let facts = joining.facts();
        for name in ["user", "ipc", "pid"] {
            let inode = fs::metadata(format!("/proc/{}/ns/{name}", first.pid())).unwrap().ino();
            facts.is(&format!("/namespaces/{name}"), &json!(inode));
        }
    }),
    test("rootless: CVE-2016-9962: a created process belongs to the host's root", &[], |t| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let users = t.bundle().namespace(json!({"type": "user"}));
        let users = users.patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
        for container in [users.create(), bundle(t, &itself()).create()] {
            let file = fs::metadata(format!("/proc/{}/environ", container.pid())).unwrap();
            assert_eq!((file.uid(), file.gid()), (0, 0));
        }
    })
    .known(&[("runc 1.1", "leaves that of a user to the user")]),
];
