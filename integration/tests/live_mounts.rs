//! Mounts that come and go while a container is there.

use std::fs;

use integration::{Bundle, Container, Context, Output, Test, test};
use serde_json::{Value, json};

fn running(bundle: &Bundle) -> Container {
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    container
}

fn change(t: &Context, verb: &str, container: &Container, list: &Value) -> Output {
    let file = t.path("mounts.json");
    fs::write(&file, list.to_string()).unwrap();
    t.coracle().call(["mounts", verb, container.id()]).arg(file).run()
}

fn source(t: &Context) -> std::path::PathBuf {
    let source = t.path("source");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("file"), "bound").unwrap();
    source
}

const NONE_IN_RUNC: &[(&str, &str)] = &[("runc", "has no such command")];

fn trap(t: &Context) -> Bundle {
    t.bundle().patch(json!({"root": {"readonly": false}})).args(&["/guest", "trap"])
}

pub const TESTS: &[Test] = &[
    test("live mounts: a directory, a file and a new file system, and away with them", &[], |t| {
        let source = source(t);
        let container = running(&trap(t));
        let list = json!([
            {"destination": "/mnt/a", "source": source, "options": ["bind", "ro"]},
            {"destination": "/mnt/file", "source": source.join("file"), "options": ["bind"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k", "noexec"]},
        ]);
        change(t, "add", &container, &list).ok();
        container.exec(["/guest", "read", "/mnt/a/file"]).ok().says("bound");
        container.exec(["/guest", "read", "/mnt/file"]).ok().says("bound");
        let facts = container.exec(["/guest", "probe"]).facts();
        assert!(facts.mount_options("/mnt/a").contains(&"ro".to_owned()));
        assert!(facts.mount_options("/tmp").contains(&"size=64k".to_owned()));
        change(t, "remove", &container, &json!({"mounts": list})).ok();
        let facts = container.exec(["/guest", "probe"]).facts();
        assert!(["/mnt/a", "/mnt/file", "/tmp"].iter().all(|point| facts.mount(point).is_none()));
        change(t, "remove", &container, &json!([{"destination": "/mnt/a"}])).fails().stderr("nothing is mounted there");
    })
    .known(NONE_IN_RUNC),
    test("live mounts: in a container with a user namespace", &[], |t| {
        let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let bundle = trap(t).namespace(json!({"type": "user"}));
        let bundle = bundle.patch(json!({"linux": {"uidMappings": maps, "gidMappings": maps}}));
        std::os::unix::fs::chown(bundle.rootfs().join("mnt"), Some(100_000), Some(100_000)).unwrap();
        let container = running(&bundle);
        let mapped = t.path("mapped");
        fs::create_dir(&mapped).unwrap();
        let list = json!([
            {"destination": "/mnt/new", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/tmp", "source": mapped, "options": ["bind", "idmap"]},
        ]);
        change(t, "add", &container, &list).ok();
        container.exec(["/guest", "write", "/mnt/new/x"]).ok();
        container.exec(["/guest", "write", "/tmp/x"]).ok();
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(mapped.join("x")).unwrap());
        assert_eq!(owner, 0, "written by the container's root, who is root through the id mapping");
        change(t, "remove", &container, &list).ok();
    })
    .known(NONE_IN_RUNC),
    test("live mounts: links stay inside, and lead nobody to what is hidden", &[], |t| {
        let (source, outside) = (source(t), t.path("outside"));
        fs::create_dir(&outside).unwrap();
        let bundle = trap(t).link(outside.to_str().unwrap(), "/out").link("/proc", "/shown");
        let container = running(&bundle);
        let at = |destination: &str| json!([{"destination": destination, "source": source, "options": ["bind"]}]);
        change(t, "add", &container, &at("/out/x")).ok();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        change(t, "add", &container, &at("/shown/sys")).fails();
        change(t, "add", &container, &at("/proc/sys")).fails().stderr("inside /proc");
        change(t, "remove", &container, &json!([{"destination": "/shown/kcore"}])).fails();
        change(t, "remove", &container, &json!([{"destination": "/proc/kcore"}])).fails();
    })
    .known(NONE_IN_RUNC),
    test("live mounts: what is refused", &[], |t| {
        let mut container = running(&trap(t));
        change(t, "move", &container, &json!([])).fails().stderr("unknown command mounts move");
        change(t, "add", &container, &json!([{"type": "tmpfs"}])).fails().stderr("destination");
        change(t, "add", &container, &json!([{"destination": "/mnt"}])).fails().stderr("/0/type");
        let missing = json!([{"destination": "/mnt", "source": "/nosuchpath", "options": ["bind"]}]);
        change(t, "add", &container, &missing).fails().stderr("/nosuchpath");
        let file = t.path("nothing.json");
        t.coracle().call(["mounts", "add", container.id()]).arg(&file).run().fails().stderr("not found");
        container.kill("KILL").ok();
        container.wait();
        change(t, "add", &container, &json!([])).fails().stderr("container not running");
    })
    .known(NONE_IN_RUNC),
];
