//! Further processes in a container: exec, and freezing and thawing it all.

use std::fs;

use integration::{Bundle, ConsoleSocket, Container, Context, Facts, Ordinary, Test, need, requires, test};
use serde_json::json;

/// A running container that does nothing.
pub fn running(bundle: Bundle) -> Container {
    let mut container = bundle.args(&["/guest", "trap"]).start();
    assert_eq!(container.line(), "ready");
    container
}

/// The probe's report from within, by `exec` with these options.
pub fn facts(container: &Container, options: &[&str]) -> Facts {
    container.exec_with(options, &["/guest", "probe"]).facts()
}

fn can(t: &Context) {
    requires!(need::verb(t, "exec"));
}

pub const TESTS: &[Test] = &[
    test("exec: exit codes of the program, 255 for the runtime's errors", &[], |t| {
        can(t);
        let container = running(t.bundle());
        container.exec(["/guest", "exit", "7"]).code(7);
        container.exec(["/guest", "print", "x"]).ok().says("x");
        container.exec(["/guest", "kill-self", "9"]).code(137);
        container.exec(["/nosuch"]).code(255).stderr("no such file or directory");
        t.coracle().call(["exec", "nosuchthing", "/guest"]).run().code(255).stderr("does not exist");
    }),
    test("exec: it is in every namespace of the container", &[], |t| {
        can(t);
        let container = running(t.bundle().namespace(json!({"type": "cgroup"})));
        let facts = facts(&container, &[]);
        for name in ["pid", "net", "mnt", "ipc", "uts", "cgroup"] {
            let link =
                fs::read_link(format!("/proc/{}/ns/{name}", container.pid())).unwrap().to_string_lossy().into_owned();
            assert!(link.contains(&facts.at(&format!("/namespaces/{name}")).to_string()), "{name}: {link}");
        }
        facts.is("/hostname", &json!("coracle")).is("/cwd", &json!("/")).is("/no_new_privs", &json!(true));
        assert_ne!(facts.at("/identity/pid"), 1);
    }),
    test("exec: user, directory, environment, groups", &[], |t| {
        can(t);
        let container = running(t.bundle());
        let facts =
            facts(&container, &["--user", "1000:1001", "--cwd", "/tmp", "--env", "A=b", "--additional-gids", "7"]);
        facts.is("/uids", &json!([1000, 1000, 1000, 1000])).is("/gids", &json!([1001, 1001, 1001, 1001]));
        facts.is("/cwd", &json!("/tmp"));
        assert!(
            facts.strings("/env").contains(&"A=b") && facts.strings("/env").contains(&"HOME=/home/user"),
            "{}",
            facts.at("/env")
        );
        assert!(facts.at("/groups").to_string().contains('7'));
    }),
    test("exec: a capability is added to three sets", &[], |t| {
        can(t);
        let container = running(t.bundle());
        let facts = facts(&container, &["--cap", "CAP_CHOWN"]);
        for (set, held) in
            [("bounding", true), ("permitted", true), ("effective", true), ("inheritable", false), ("ambient", false)]
        {
            assert_eq!(facts.strings(&format!("/capabilities/{set}")).contains(&"CAP_CHOWN"), held, "{set}");
        }
    }),
    test("exec: a whole process from a file", &[], |t| {
        can(t);
        let container = running(t.bundle());
        let file = t.path("process.json");
        let process = json!({
            "args": ["/guest", "probe"], "cwd": "/tmp", "env": ["HOME=/x", "A=1"], "user": {"uid": 5, "gid": 6, "umask": 0o27},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}], "capabilities": {"bounding": ["CAP_KILL"]},
        });
        fs::write(&file, process.to_string()).unwrap();
        let facts = t.coracle().call(["exec", "--process"]).arg(&file).arg(container.id()).run().facts();
        facts.is("/uids", &json!([5, 5, 5, 5])).is("/cwd", &json!("/tmp")).is("/env", &json!(["HOME=/x", "A=1"]));
        facts.is("/rlimits/RLIMIT_NOFILE", &json!([50, 60])).is("/capabilities/bounding", &json!(["CAP_KILL"]));
    }),
    test("exec: arguments after the first are the program's", &[], |t| {
        can(t);
        let container = running(t.bundle());
        container.exec(["/guest", "print", "-d", "--tty", "x"]).ok().says("-d --tty x");
        container.exec_with(&[], &["--", "/guest", "print", "x"]).code(255);
        t.coracle().call(["exec", "--", container.id(), "/guest", "print", "x"]).run().ok().says("x");
    }),
    test("exec: created containers can be entered, stopped ones cannot", &[], |t| {
        can(t);
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        match t.caller() {
            None => drop(container.exec(["/guest", "print", "in"]).ok().says("in")),
            Some(_) => drop(container.exec(["/guest", "print", "in"]).code(255).stderr("start it first")),
        }
        container.kill("KILL").ok();
        container.wait();
        container.exec(["/guest", "print", "in"]).code(255).stderr("stopped");
    }),
    test("exec: detached, with a pid file", &[], |t| {
        can(t);
        let container = running(t.bundle());
        let pid = container.exec_detached(&[], &["/guest", "sleep", "50"]);
        let groups = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert_eq!(groups(pid), groups(container.pid()));
        let own = t.caller().is_none_or(Ordinary::has_cgroups);
        assert_eq!(groups(pid).contains(container.id()), own, "{}", groups(pid));
    }),
    test("exec: a terminal over the console socket", &[], |t| {
        can(t);
        let container = running(t.bundle());
        let mut socket = ConsoleSocket::listen(t);
        container.exec_detached(&["--tty", "--console-socket", socket.path()], &["/guest", "isatty"]);
        assert_eq!(socket.received()["fds"], 1);
        assert_eq!(socket.line(), "true");
    }),
    test("exec: standard input reaches the program", &[], |t| {
        can(t);
        let container = running(t.bundle());
        container.call("exec").args(["/guest", "copy"]).stdin("some text").run().ok().says("some text");
    }),
    test("exec: a paused container refuses it and goes on afterwards", &[200], |t| {
        requires!(need::verb(t, "pause"));
        requires!(need::own_cgroup(t));
        let mut container = running(t.bundle());
        container.call("pause").run().ok();
        assert_eq!(container.status(), "paused");
        container.exec(["/guest", "print", "x"]).code(255).stderr("paused");
        container.delete().fails();
        container.call("pause").run().fails();
        container.call("resume").run().ok();
        assert_eq!(container.status(), "running");
        container.kill("HUP").ok();
        assert_eq!(container.line(), "SIGHUP");
        container.call("resume").run().fails().stderr("not paused");
    }),
    test("exec: what a paused container is not to refuse runs when it is resumed", &[], |t| {
        requires!(need::verb(t, "pause"));
        requires!(need::own_cgroup(t));
        let container = running(t.bundle());
        container.call("pause").run().ok();
        let mut exec = t.coracle().call(["exec", "--ignore-paused", container.id(), "/guest", "print", "in"]).spawn();
        let processes = || t.coracle().call(["ps", "--format", "json", container.id()]).run().json();
        while processes().as_array().unwrap().len() < 2 {
            std::thread::yield_now();
        }
        assert_eq!(container.status(), "paused");
        container.call("resume").run().ok();
        exec.wait().ok().says("in");
    }),
    test("exec: a paused container can be removed by force", &[], |t| {
        requires!(need::verb(t, "pause"));
        requires!(need::own_cgroup(t));
        let mut container = running(t.bundle());
        container.call("pause").run().ok();
        container.call("delete").arg("--force").run().ok();
        assert_eq!(container.wait(), 137);
    }),
];
