//! ps: the processes of a container, by the host's ps and as a list.

use std::fs;

use integration::{Container, Context, Test, need, requires, test};
use serde_json::{Value, json};

use crate::cgroups::{limited, v1, v2};

fn forked(t: &Context, name: &str) -> Container {
    let patch = json!({"linux": {"cgroupsPath": format!("/{name}")}});
    let mut container = t.bundle().patch(patch).args(&["/guest", "fork", "3", "stay"]).start();
    assert_eq!(container.line(), "forked 3");
    container
}

fn numbers(text: &str) -> Vec<i64> {
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

fn list(container: &Container, t: &Context) -> Value {
    t.coracle().call(["ps", "-f", "json", container.id()]).run().json()
}

pub const TESTS: &[Test] = &[
    test("ps: as JSON it is what the kernel lists", &[], |t| {
        requires!(need::v1("devices"));
        let name = t.unique();
        let container = forked(t, &name);
        let listed = numbers(&v1("devices", &name, "cgroup.procs"));
        assert_eq!(listed.len(), 4);
        assert_eq!(list(&container, t), json!(listed));
    }),
    test("ps: as JSON on a plain v2 tree", &[], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let mut container = bundle.with(t.coracle().v2()).start();
        assert_eq!(container.line(), "ready");
        let output = t.coracle().v2().call(["ps", "--format=json", container.id()]).run();
        assert_eq!(output.json(), json!(numbers(&v2(&name, "cgroup.procs"))));
        assert_eq!(output.json(), json!([container.pid()]));
    }),
    test("ps: the table has the header and the container's lines", &[], |t| {
        requires!(need::program("/bin/ps"));
        let container = forked(t, &t.unique());
        let table = container.call("ps").run();
        let lines: Vec<&str> = table.ok().stdout.lines().collect();
        assert!(lines[0].starts_with("UID ") && lines[0].contains(" PID "), "{}", lines[0]);
        assert_eq!(lines.len(), 5, "{lines:#?}");
        assert!(lines[1..].iter().all(|line| line.contains("guest") || line.contains("/proc/self/exe")), "{lines:#?}");
    }),
    test("ps: everything after the id goes to ps", &[], |t| {
        requires!(need::program("/bin/ps"));
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        let pid = container.pid();
        let short = container.call("ps").args(["-e", "-o", "pid,args"]).run();
        let lines: Vec<&str> = short.ok().stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!(lines[0].split_whitespace().next(), Some("PID"));
        assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), [&*pid.to_string(), "/guest", "trap"]);
        let json = container.call("ps").args(["-f", "json"]).run();
        json.fails();
        container.call("ps").args(["-e", "-o", "args"]).run().fails().stderr("couldn't find PID field in ps output");
        container.call("ps").args(["--no-such-option"]).run().fails();
        let wrong = t.coracle().call(["ps", "--format", "xml", container.id()]).run();
        wrong.fails().stderr("invalid format option");
    }),
    test("ps: it is the host's, found by the caller's PATH", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        fs::hard_link(t.guest(), bundle.rootfs().join("bin/ps")).unwrap();
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        container.call("ps").env("PATH", "/nowhere").run().fails().stderr("o such file or directory");
    })
    .known(&[("runc", "says that it is not in $PATH")]),
    test("ps: a stopped container has no processes", &[], |t| {
        requires!(need::program("/bin/ps"));
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        container.kill("KILL").ok();
        container.wait();
        let table = container.call("ps").run();
        assert_eq!(table.ok().stdout.lines().count(), 1, "{}", table.stdout);
        assert_eq!(list(&container, t), Value::Null);
        t.coracle().call(["ps", "nosuchthing"]).run().fails().stderr("container does not exist");
    }),
];
