//! The six kinds of hooks: when, where, with what, and what their failure does.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use integration::{Bundle, Context, Test, test};
use serde_json::{Value, json};

const KINDS: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

/// A hook that notes what it is given in `log`, called by its kind.
fn hook(t: &Context, kind: &str, words: &[&str]) -> Value {
    // startContainer hooks are found in the container; the directory of the log is bound there.
    let (path, log) = match kind {
        "startContainer" => (PathBuf::from("/guest"), PathBuf::from("/mnt/hooks")),
        _ => (t.guest().to_owned(), log(t)),
    };
    let args: Vec<&str> = [&[kind, "hook", log.to_str().unwrap()], words].concat();
    json!({"path": path, "args": args, "env": ["KIND=x", "B=2"]})
}

fn log(t: &Context) -> PathBuf {
    fs::create_dir_all(t.path("log")).unwrap();
    t.path("log").join("hooks")
}

/// Lines of the log, in their order.
fn noted(t: &Context) -> Vec<Value> {
    let text = fs::read_to_string(log(t)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn kinds(t: &Context) -> Vec<String> {
    noted(t).iter().map(|fact| fact["args"][0].as_str().unwrap().to_owned()).collect()
}

/// A bundle that may run hooks; the root is writable so that they may look around.
fn bundle(t: &Context, hooks: Value) -> Bundle {
    drop(log(t));
    let mount = json!({"destination": "/mnt", "source": t.path("log"), "options": ["bind"]});
    t.bundle().mount(mount).patch(json!({"hooks": hooks})).args(&["/guest", "trap"])
}

fn every(t: &Context) -> Value {
    Value::Object(KINDS.iter().map(|kind| ((*kind).to_owned(), json!([hook(t, kind, &[])]))).collect())
}

fn fact(t: &Context, kind: &str) -> Value {
    let found = noted(t).into_iter().find(|fact| fact["args"][0] == kind);
    found.unwrap_or_else(|| panic!("no {kind} hook ran"))
}

pub const TESTS: &[Test] = &[
    test("hooks: each kind at its time, in order", &[153, 160, 163, 166, 169, 175, 209, 210, 211, 212, 216], |t| {
        let mut container = bundle(t, every(t)).create();
        let created: Vec<String> = kinds(t).into_iter().filter(|kind| kind != "poststart").collect();
        assert_eq!(created, ["prestart", "createRuntime", "createContainer"]);
        container.start().ok();
        assert_eq!(container.line(), "ready");
        assert!(kinds(t).contains(&"startContainer".to_owned()));
        container.kill("TERM").ok();
        assert_eq!(container.wait(), 15);
        assert!(!kinds(t).contains(&"poststop".to_owned()), "poststop ran before delete");
        container.delete().ok();
        assert_eq!(kinds(t).last().map(String::as_str), Some("poststop"));
    }),
    test("hooks: delete -f ends what is left when the runtime is killed meanwhile", &[], |t| {
        let kill = json!({"path": "/bin/sh", "args": ["sh", "-c", "kill -KILL $PPID"]});
        let bundle = bundle(t, json!({"createRuntime": [kill]}));
        let (container, output) = bundle.try_create(&[]);
        output.code(137);
        container.call("delete").arg("--force").limit(Duration::from_secs(5)).run().ok();
    }),
    test("hooks: open files are limited as the caller is", &[], |t| {
        let hooks = bundle(t, every(t));
        let container = hooks.with(t.coracle().launched("nofile=77:4096")).start();
        for kind in &KINDS[..5] {
            assert_eq!(fact(t, kind)["report"]["rlimits"]["RLIMIT_NOFILE"], json!([77, 4096]), "{kind}");
        }
        drop(container);
    }),
    test("hooks: poststart comes with start, after the program began", &[155, 170, 171, 172, 214], |t| {
        let mut container = bundle(t, every(t)).create();
        assert!(!kinds(t).contains(&"poststart".to_owned()), "poststart ran at create");
        container.start().ok();
        assert_eq!(kinds(t), &KINDS[..5]);
        assert_eq!(fact(t, "poststart")["state"]["status"], "running");
        assert_eq!(container.line(), "ready");
    })
    .known(&[("runc 1.1", "runs poststart hooks at the end of create")]),
    test("hooks: several of a kind run in the listed order", &[153], |t| {
        let hooks: Vec<Value> = ["first", "second", "third"].iter().map(|name| hook(t, "prestart", &[name])).collect();
        let container = bundle(t, json!({"prestart": hooks})).create();
        let names: Vec<Value> = noted(t).iter().map(|fact| fact["args"][3].clone()).collect();
        assert_eq!(names, ["first", "second", "third"]);
        drop(container);
    }),
    test("hooks: arguments and environment are the configured ones", &[149, 150], |t| {
        let container = bundle(t, every(t)).start();
        for kind in &KINDS[..5] {
            let fact = fact(t, kind);
            assert_eq!(fact["args"].as_array().map(|args| args[..2].to_vec()), Some(vec![json!(kind), json!("hook")]));
            let mut env: Vec<&str> = fact["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            env.sort_unstable();
            assert_eq!(env, ["B=2", "KIND=x"], "{kind}");
        }
        drop(container);
    }),
    test("hooks: the state is on standard input", &[154, 155, 156, 196, 202], |t| {
        let annotations = json!({"annotations": {"com.example.a": "b"}});
        let bundle = bundle(t, every(t)).patch(annotations);
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        for kind in &KINDS[..5] {
            let state = &fact(t, kind)["state"];
            assert_eq!(state["id"], container.id(), "{kind}");
            assert_eq!(state["bundle"], bundle.path().to_str().unwrap(), "{kind}");
            assert_eq!(state["annotations"], json!({"com.example.a": "b"}), "{kind}");
            assert!(state["ociVersion"].is_string(), "{kind}");
        }
        for kind in &KINDS[..2] {
            let state = &fact(t, kind)["state"];
            assert_eq!(state["pid"], container.pid(), "{kind}");
            assert_eq!(state["status"], "creating", "{kind}");
        }
        assert_eq!(fact(t, "createContainer")["state"]["status"], "creating");
        assert_eq!(fact(t, "startContainer")["state"]["status"], "created");
        container.kill("KILL").ok();
        container.wait();
        container.delete().ok();
        assert_eq!(fact(t, "poststop")["state"]["status"], "stopped");
    }),
    test("hooks: inside the container the pid is that of its namespace", &[157], |t| {
        let container = bundle(t, every(t)).start();
        for kind in ["createContainer", "startContainer"] {
            assert_eq!(fact(t, kind)["state"]["pid"], 1, "{kind}");
        }
        drop(container);
    }),
    test("hooks: each runs in its namespaces", &[158, 159, 161, 162, 164, 165, 167, 168, 173, 174], |t| {
        let mut container = bundle(t, every(t)).start();
        assert_eq!(container.line(), "ready");
        let host = t.helper(&["probe"]).run().facts();
        let inside = t.tool("/bin/readlink", &[&format!("/proc/{}/ns/mnt", container.pid())]).run().ok().stdout.clone();
        let outside = host.at("/namespaces/mnt").to_string();
        container.kill("KILL").ok();
        container.wait();
        container.delete().ok();
        for kind in KINDS {
            let own = fact(t, kind)["report"]["namespaces"]["mnt"].to_string();
            match kind {
                "createContainer" | "startContainer" => assert!(inside.contains(&own), "{kind} ran outside"),
                _ => assert_eq!(own, outside, "{kind} ran inside"),
            }
        }
    }),
    test("hooks: create hooks see the root before it is entered", &[160, 163, 166], |t| {
        let bundle = bundle(t, json!({}));
        let guest = bundle.rootfs().join("guest");
        let look = format!("look={}", guest.display());
        let hooks: Value = KINDS[..3]
            .iter()
            .map(|kind| ((*kind).to_owned(), json!([hook(t, kind, &[&look])])))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let container = bundle.patch(json!({"hooks": hooks})).create();
        noted(t).iter().for_each(|fact| assert_eq!(fact["look"], true, "{}", fact["args"][0]));
        assert_eq!(noted(t).len(), 3);
        drop(container);
    }),
    test("hooks: a failing create hook leaves no container", &[176, 177, 178, 217], |t| {
        for kind in &KINDS[..3] {
            let bundle =
                bundle(t, json!({*kind: [hook(t, kind, &["exit=3"])], "poststop": [hook(t, "poststop", &[])]}));
            let (container, output) = bundle.try_create(&[]);
            output.fails().stderr("hook #0");
            container.call("state").run().fails().stderr("does not exist");
            assert!(kinds(t).contains(&(*kind).to_owned()));
        }
    }),
    test("hooks: poststop hooks run after a failed create", &[176, 177, 178], |t| {
        for kind in &KINDS[..3] {
            let _ = fs::remove_file(log(t));
            let bundle =
                bundle(t, json!({*kind: [hook(t, kind, &["exit=3"])], "poststop": [hook(t, "poststop", &[])]}));
            let (_container, output) = bundle.try_create(&[]);
            output.fails();
            assert_eq!(kinds(t), [*kind, "poststop"]);
        }
    }),
    test("hooks: a failing startContainer hook stops the container", &[179], |t| {
        let container = bundle(t, json!({"startContainer": [hook(t, "startContainer", &["exit=3"])]})).create();
        container.start().fails();
        assert_eq!(container.call("state").run().code, 1, "the container is still there");
    })
    .known(&[("runc 1.1", "start succeeds, the container stops")]),
    test("hooks: a failing poststart hook stops the container", &[180], |t| {
        let container = bundle(t, json!({"poststart": [hook(t, "poststart", &["exit=3"])]})).create();
        container.start().fails();
        assert_eq!(container.call("state").run().code, 1, "the container is still there");
    })
    .known(&[("runc 1.1", "runs poststart hooks at the end of create")]),
    test("hooks: a failing poststop hook is a warning", &[181], |t| {
        let hooks = json!({"poststop": [hook(t, "poststop", &["exit=3"]), hook(t, "poststop", &["second"])]});
        let mut container = bundle(t, hooks).start();
        container.kill("KILL").ok();
        container.wait();
        container.delete().ok();
        assert_eq!(noted(t).len(), 2, "the second hook did not run");
        container.call("state").run().fails();
    })
    .known(&[("runc", "delete fails after all is gone")]),
    test("hooks: one that takes too long is stopped", &[151, 152], |t| {
        let mut slow = hook(t, "createRuntime", &["sleep=20"]);
        slow["timeout"] = json!(1);
        let begin = std::time::Instant::now();
        let (_container, output) = bundle(t, json!({"createRuntime": [slow]})).try_create(&[]);
        output.fails().stderr("hook ran past specified timeout");
        assert!(begin.elapsed().as_secs() < 10);
    }),
    test("hooks: a limit of no time is refused", &[151], |t| {
        for limit in [0, -1] {
            let mut wrong = hook(t, "createRuntime", &[]);
            wrong["timeout"] = json!(limit);
            let (_container, output) = bundle(t, json!({"createRuntime": [wrong]})).try_create(&[]);
            output.fails();
        }
    }),
    test("hooks: a path is absolute and there", &[148], |t| {
        for path in [json!("guest"), json!(""), json!(null), json!("/nosuch")] {
            let (_container, output) = bundle(t, json!({"createRuntime": [{"path": path}]})).try_create(&[]);
            output.fails();
        }
    }),
    test("hooks: createContainer finds its program on the host, startContainer in the container", &[164, 167], |t| {
        let mut outside = hook(t, "createContainer", &[]);
        outside["path"] = json!("/guest");
        let (_container, output) = bundle(t, json!({"createContainer": [outside]})).try_create(&[]);
        output.fails();
        let mut inside = hook(t, "startContainer", &[]);
        inside["path"] = json!(t.guest());
        let container = bundle(t, json!({"startContainer": [inside]})).create();
        let _ = container.start().code;
        assert_eq!(noted(t).len(), 0);
    }),
    test("hooks: what a hook says does not reach the output", &[], |t| {
        let bundle =
            bundle(t, json!({"prestart": [hook(t, "prestart", &["say=words"])]})).args(&["/guest", "print", "done"]);
        bundle.run().ok().says("done");
    }),
];
