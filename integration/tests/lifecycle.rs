//! create, start, state, kill, delete, run: which is allowed when, and what it does.

use std::fs;

use integration::{Container, Context, Test, need, requires, test};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Name and status of what `list` shows.
fn listed(t: &Context) -> Vec<(String, String)> {
    let list = t.coracle().call(["list", "--format", "json"]).run().json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list.as_array().into_iter().flatten().map(|item| (text(&item["id"]), text(&item["status"]))).collect()
}

pub const TESTS: &[Test] = &[
    test("lifecycle: run passes the exit code on", &[213, 226], |t| {
        t.bundle().args(&["/guest", "exit", "7"]).run().code(7);
        t.bundle().args(&["/guest", "exit", "0"]).run().ok();
        t.bundle().args(&["/guest", "exit", "255"]).run().code(255);
    }),
    test("lifecycle: a killed program gives 128 and the signal", &[239], |t| {
        requires!(need::privilege(t, "mount procfs of the host's processes"));
        let bundle = t.bundle().without_namespace("pid").args(&["/guest", "kill-self", "9"]);
        bundle.run().code(137);
    }),
    test("lifecycle: create does not run the program, start does", &[197, 207, 213, 228, 234], |t| {
        let bundle = t.bundle().patch(json!({"root": {"readonly": false}})).args(&["/guest", "write", "/ran"]);
        let mut container = bundle.create();
        assert_eq!(container.status(), "created");
        assert!(fs::metadata(bundle.rootfs().join("ran")).is_err());
        container.start().ok();
        assert_eq!(container.wait(), 0);
        assert!(fs::metadata(bundle.rootfs().join("ran")).is_ok());
        assert_eq!(container.status(), "stopped");
        container.delete().ok();
    }),
    test("lifecycle: status goes from created to running to stopped", &[195, 197, 198, 199, 219], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        assert_eq!(container.status(), "created");
        container.start().ok();
        assert_eq!(container.line(), "ready");
        assert_eq!(container.status(), "running");
        container.kill("TERM").ok();
        assert_eq!(container.wait(), 15);
        assert_eq!(container.status(), "stopped");
        assert_eq!(container.state()["pid"], 0);
        container.delete().ok();
    }),
    test("lifecycle: the state has what the specification asks for", &[192, 193, 201, 202, 203, 204, 222], |t| {
        let bundle = t.bundle().patch(json!({"annotations": {"com.example.a": "b"}})).args(&["/guest", "trap"]);
        let container = bundle.create();
        let state = container.state();
        assert_eq!(state["id"], container.id());
        assert_eq!(state["bundle"], bundle.path().to_str().unwrap());
        assert_eq!(state["rootfs"], bundle.rootfs().to_str().unwrap());
        assert_eq!(state["annotations"], json!({"com.example.a": "b"}));
        assert!(state["ociVersion"].as_str().is_some_and(|version| version.starts_with("1.")));
        assert!(state["created"].as_str().is_some_and(|time| time.ends_with('Z') && time.contains('T')));
        let link = fs::read_link(format!("/proc/{}/exe", container.pid()));
        assert!(link.is_ok(), "the pid is no process of the host");
    }),
    test("lifecycle: state prints indented JSON with its keys in order", &[204, 222], |t| {
        let container = t.bundle().args(&["/guest", "trap"]).create();
        let text = container.call("state").run().ok().stdout.clone();
        let keys: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  \"")?.split('"').next()).collect();
        assert_eq!(keys, ["ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"]);
        assert!(text.starts_with("{\n") && text.ends_with("\n}"), "{text:?}");
    }),
    test("lifecycle: start is refused unless created", &[232, 233], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        container.start().fails().stderr("cannot start an already running container");
        assert_eq!(container.status(), "running");
        container.kill("TERM").ok();
        assert_eq!(container.wait(), 15);
        container.start().fails().stderr("cannot start a container that has stopped");
    }),
    test("lifecycle: delete is refused while there is a process", &[241, 242], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        container.delete().fails().stderr("that is not stopped: running");
        assert_eq!(container.status(), "running");
        container.kill("HUP").ok();
        assert_eq!(container.line(), "SIGHUP");
    }),
    test("lifecycle: delete of a created container kills it", &[243], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        container.delete().ok();
        assert_eq!(container.wait(), 137);
        container.call("state").run().fails().stderr("container does not exist");
    }),
    test("lifecycle: forced delete ends a running container", &[243], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        container.call("delete").arg("--force").run().ok();
        assert_eq!(container.wait(), 137);
        container.call("state").run().fails();
        container.call("delete").arg("--force").run().ok();
        container.delete().fails().stderr("container does not exist");
    }),
    test("lifecycle: an id can be used again after delete", &[245], |t| {
        let bundle = t.bundle().args(&["/guest", "exit", "3"]);
        let id = bundle.id();
        for _ in 0..2 {
            bundle.save();
            let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(&id).run();
            run.code(3);
        }
    }),
    test("lifecycle: run removes its own container, and no other that has got the id meanwhile", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        bundle.save();
        let id = bundle.id();
        let made = |verb: &str| t.coracle().call([verb, "--bundle"]).arg(bundle.path()).arg(&id);
        let mut run = made("run").spawn();
        assert_eq!(run.line(), "ready");
        // It learns of the end only when there is another container.
        run.signal(Signal::SIGSTOP);
        t.coracle().call(["delete", "--force", &id]).run().ok();
        let mut other = Container::named(&t.coracle(), &id);
        other.attach(made("create").spawn()).ok();
        run.signal(Signal::SIGCONT);
        run.wait().code(137);
        assert_eq!(other.status(), "created");
    })
    .known(&[("runc", "removes whatever has the id")]),
    test("lifecycle: an id in use is refused and its container unharmed", &[194, 224], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        let again = bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(container.id()).run();
        again.fails().stderr("container with given ID already exists");
        assert_eq!(container.status(), "running");
        container.kill("USR1").ok();
        assert_eq!(container.line(), "SIGUSR1");
    }),
    test("lifecycle: signals by name, number, case and prefix", &[239], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        for (spelling, name) in
            [("HUP", "SIGHUP"), ("SIGUSR1", "SIGUSR1"), ("usr2", "SIGUSR2"), ("sigint", "SIGINT"), ("28", "SIGWINCH")]
        {
            container.kill(spelling).ok();
            assert_eq!(container.line(), name, "{spelling}");
        }
        container.kill("NOPE").fails().stderr("unknown signal");
        container.call("kill").run().ok();
        assert_eq!(container.line(), "SIGTERM", "the default signal");
        assert_eq!(container.wait(), 15);
    }),
    test("lifecycle: kill reaches a created container and no stopped one", &[237, 238, 239], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        container.kill("KILL").ok();
        assert_eq!(container.wait(), 137);
        assert_eq!(container.status(), "stopped");
        container.kill("TERM").fails().stderr("container not running");
        container.kill("0").fails();
    }),
    test("lifecycle: an unknown container is an error for every verb", &[220, 221, 231, 236, 237, 240], |t| {
        for verb in ["state", "start", "kill", "delete"] {
            t.coracle().call([verb, "nosuchthing"]).run().fails().stderr("container does not exist");
            let without = t.coracle().call([verb]).run();
            without.fails();
        }
        t.coracle().call(["create"]).run().fails();
    }),
    test("lifecycle: unusable ids are refused", &[225], |t| {
        let bundle = t.bundle();
        bundle.save();
        for id in ["..", ".", "a/b", "a b", "a:b", "ä", "a\nb", "/x", "../x"] {
            let create = bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(id).run();
            create.fails().stderr("invalid container ID format");
        }
        bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg("").run().fails();
        let good = format!("{}_+.-", bundle.id());
        bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(good).run().ok();
    }),
    test("lifecycle: list shows every container and its status", &[191], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        let (first, mut second) = (bundle.create(), bundle.start());
        assert_eq!(second.line(), "ready");
        let wanted =
            vec![(first.id().to_owned(), "created".to_owned()), (second.id().to_owned(), "running".to_owned())];
        assert_eq!(listed(t), wanted);
        let quiet = t.coracle().call(["list", "-q"]).run();
        quiet.ok().says(&format!("{}\n{}", first.id(), second.id()));
        let table = t.coracle().call(["list"]).run();
        let head: Vec<&str> = table.ok().stdout.lines().next().unwrap_or_default().split_whitespace().collect();
        assert_eq!(head, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
        t.coracle().call(["list", "-f", "xml"]).run().fails().stderr("invalid format option");
    }),
    test("lifecycle: a regular expression stands for many", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "trap"]);
        bundle.save();
        let name = t.unique();
        let mut containers: Vec<Container> =
            ["a1", "a2", "b1"].iter().map(|id| Container::named(&t.coracle(), &format!("{name}-{id}"))).collect();
        for container in &mut containers {
            let run = t.coracle().call(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(container.id());
            container.attach(run.spawn()).ok();
            assert_eq!(container.line(), "ready");
        }
        let some = format!("{name}-a[0-9]$");
        let list = t.coracle().call(["list", "--quiet", "--regex", &some]).run();
        list.ok().says(&format!("{name}-a1\n{name}-a2"));
        t.coracle().call(["kill", "--regex", &some, "KILL"]).run().ok();
        assert_eq!((containers[0].wait(), containers[1].wait()), (137, 137));
        assert_eq!(containers[2].status(), "running");
        let refused = t.coracle().call(["delete", "-r", &name]).run();
        refused.code(1).stderr("delete failed for one container").stderr("that is not stopped: running");
        assert_eq!(listed(t).len(), 1);
        t.coracle().call(["delete", "--force", "--regex", "."]).run().ok();
        assert_eq!(listed(t), []);
        t.coracle().call(["kill", "-r", "("]).run().fails().stderr("invalid regular expression");
    })
    .known(&[("runc", "has no such option")]),
    test("lifecycle: an empty list is null in JSON", &[], |t| {
        fs::create_dir(t.root()).unwrap();
        t.coracle().call(["list", "-f", "json"]).run().ok().says("null");
    }),
    test("lifecycle: edits of config.json after create change nothing", &[208, 230], |t| {
        let bundle = t.bundle().args(&["/guest", "exit", "5"]);
        let mut container = bundle.create();
        bundle.edit(|config| config["process"]["args"] = json!(["/guest", "exit", "6"])).save();
        container.start().ok();
        assert_eq!(container.wait(), 5);
    }),
    test("lifecycle: the pid file holds digits only", &[], |t| {
        let file = t.path("pid");
        let container = t.bundle().args(&["/guest", "trap"]).create_with(&["--pid-file", file.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(&file).unwrap(), container.pid().to_string());
        assert!(fs::metadata(t.path(".pid")).is_err(), "the temporary file stays");
    }),
    test("lifecycle: a failed create leaves nothing", &[206, 217, 229], |t| {
        let bundle = t.bundle().mount(json!({"destination": "/mnt", "type": "nosuchfs", "source": "x"}));
        let file = t.path("pid");
        let (container, output) = bundle.try_create(&["--pid-file", file.to_str().unwrap()]);
        output.fails();
        container.call("state").run().fails().stderr("container does not exist");
        assert_eq!(listed(t), []);
    }),
    test("lifecycle: no process, no start", &[100, 235], |t| {
        let bundle = t.bundle().patch(json!({"process": null}));
        let (container, output) = bundle.try_create(&[]);
        if output.code == 0 {
            container.start().fails();
        } else {
            output.fails().stderr("process");
        }
    }),
];
