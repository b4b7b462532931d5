//! Many containers, one after the other and at once. Processes, mounts, cgroups and files that stay behind on the host fail
//! the run as a whole.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use integration::{Bundle, Container, Context, Test, need, requires, test};
use serde_json::json;

const IN_A_ROW: usize = 500;
const AT_ONCE: usize = 200;

fn statuses(t: &Context) -> Vec<String> {
    let list = t.coracle().call(["list", "--format", "json"]).run();
    let list = list.ok().json();
    list.as_array().into_iter().flatten().map(|item| item["status"].as_str().unwrap().to_owned()).collect()
}

/// Creates, starts, kills and deletes many containers of `bundle`, each step at once for all.
fn at_once(t: &Context, bundle: Bundle) {
    let bundle = bundle.args(&["/guest", "trap"]);
    bundle.save();
    let before = cgroups(t);
    let coracle = bundle.coracle();
    let mut containers: Vec<Container> = (0..AT_ONCE).map(|_| Container::named(coracle, &bundle.id())).collect();
    let create = |c: &Container| coracle.call(["create", "--bundle"]).arg(bundle.path()).arg(c.id()).spawn();
    let creations: Vec<_> = containers.iter().map(create).collect();
    for (container, creation) in containers.iter_mut().zip(creations) {
        container.attach(creation).ok();
    }
    assert_eq!(statuses(t), vec!["created"; AT_ONCE]);
    let all = |verb: &str, operands: &[&str]| {
        let calls: Vec<_> = containers.iter().map(|c| c.call(verb).args(operands).spawn()).collect();
        for mut call in calls {
            call.wait().ok();
        }
    };
    all("start", &[]);
    assert_eq!(statuses(t), vec!["running"; AT_ONCE]);
    all("kill", &["KILL"]);
    all("delete", &["--force"]);
    assert_eq!(statuses(t), Vec::<String>::new());
    containers.iter_mut().for_each(|container| assert_eq!(container.wait(), 137));
    assert_eq!(cgroups(t), before);
}

/// Every cgroup of the machine; where that is not this test's alone, those that might be the test's.
fn cgroups(t: &Context) -> BTreeSet<PathBuf> {
    let all = need::disposable().is_ok();
    let mut found = BTreeSet::new();
    let mut left = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = left.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        left.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()));
        if all || directory.to_string_lossy().contains(t.token()) {
            found.insert(directory);
        }
    }
    found
}

pub const TESTS: &[Test] = &[
    test("scale: five hundred containers in a row", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        for _ in 0..IN_A_ROW {
            let mut container = bundle.create();
            container.start().ok();
            assert_eq!(container.line(), "ready");
            container.kill("KILL").ok();
            assert_eq!(container.wait(), 137);
            container.delete().ok();
        }
        assert_eq!(statuses(t), Vec::<String>::new());
    }),
    test("scale: two hundred containers at once leave the cgroups as they were", &[], |t| {
        at_once(t, t.bundle());
    }),
    test("scale: two hundred scopes of systemd at once leave the cgroups as they were", &[], |t| {
        requires!(need::systemd());
        at_once(t, t.bundle().with(t.coracle().systemd()));
    }),
    test("scale: more mounts than the caller may have open files", &[], |t| {
        const MOUNTS: usize = 1200;
        let source = t.path("source");
        fs::create_dir(&source).unwrap();
        let coracle = t.coracle().launched("nofile=100:4096");
        let bundle = t.bundle().with(coracle).edit(|config| {
            let mount = |i| json!({"destination": format!("/mnt/{i}"), "source": source, "options": ["bind"]});
            config["mounts"].as_array_mut().unwrap().extend((0..MOUNTS).map(mount));
        });
        let facts = bundle.facts();
        let ours = facts
            .at("/mounts")
            .as_array()
            .unwrap()
            .iter()
            .filter(|mount| mount["point"].as_str().is_some_and(|point| point.starts_with("/mnt/")));
        assert_eq!(ours.count(), MOUNTS);
    }),
    test("scale: an engine's directories may be deeper than a socket address", &[224], |t| {
        let deep = t.path(&"d".repeat(150));
        fs::create_dir(&deep).unwrap();
        let bundle = t.bundle().args(&["/guest", "exit", "3"]);
        bundle.save();
        let id = format!("{}-{}", bundle.id(), "i".repeat(100));
        let call = |verb: &str| bundle.coracle().bare().arg("--root").arg(&deep).arg(verb);
        call("create").arg("--bundle").arg(bundle.path()).arg(&id).run().ok();
        call("start").arg(&id).run().ok();
        call("delete").arg("--force").arg(&id).run().ok();
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }),
];
