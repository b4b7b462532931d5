//! seccomp: actions, arguments, errnos, flags, the listener; with and without no_new_privs.

use std::fs;

use integration::{Bundle, Context, Running, Test, need, requires, test};
use serde_json::{Value, json};

use crate::exec::running;

/// Numbers of calls nothing the guest needs depends on (x86_64).
const GETPRIORITY: &str = "140";
const SYNC: &str = "162";

fn filtered(t: &Context, seccomp: Value) -> Bundle {
    t.bundle().patch(json!({"linux": {"seccomp": seccomp}}))
}

/// A filter that allows everything but one rule.
fn rule(rule: &Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]})
}

fn agent(t: &Context, errno: &str) -> (Running, String) {
    let path = t.path(&t.unique()).to_str().unwrap().to_owned();
    (agent_at(t, &path, errno), path)
}

fn agent_at(t: &Context, path: &str, errno: &str) -> Running {
    let mut agent = t.helper(&["agent", path, errno]).spawn();
    assert_eq!(agent.line(), "listening");
    agent
}

fn notified(path: &str) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "listenerPath": path, "listenerMetadata": "some words",
        "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_NOTIFY"}],
    })
}

pub const TESTS: &[Test] = &[
    test("seccomp: an errno, by default EPERM", &[388, 403, 404], |t| {
        let filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
        filtered(t, filter).args(&["/guest", "syscall", SYNC]).run().ok().says("EPERM");
        let filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
        filtered(t, filter.clone()).args(&["/guest", "syscall", SYNC]).run().ok().says("ENOSYS");
        filtered(t, filter).args(&["/guest", "syscall", GETPRIORITY]).run().ok().says("ok");
    }),
    test("seccomp: the filter is in force with and without no_new_privs", &[388, 124], |t| {
        for nnp in [true, false] {
            let filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}));
            let bundle = filtered(t, filter).patch(json!({"process": {"noNewPrivileges": nnp}}));
            let facts = bundle.facts();
            facts.is("/seccomp/mode", &json!(2)).is("/seccomp/filters", &json!(1)).is("/no_new_privs", &json!(nnp));
        }
        t.bundle().facts().is("/seccomp/mode", &json!(0));
    }),
    test("seccomp: the default action and its errno", &[388, 389], |t| {
        let deny_late = |action: &str, errno: Value| {
            json!({"defaultAction": action, "defaultErrnoRet": errno, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": []})
        };
        // Everything is refused, so that the exec itself fails: what is seen is that the container does not run.
        assert_ne!(filtered(t, deny_late("SCMP_ACT_ERRNO", json!(5))).run().code, 0);
        filtered(t, deny_late("SCMP_ACT_LOG", json!(null))).run().ok();
    }),
    test("seccomp: kill, trap and log", &[403, 438], |t| {
        for (action, code) in [("SCMP_ACT_KILL_PROCESS", 159), ("SCMP_ACT_KILL", 159), ("SCMP_ACT_TRAP", 159), ("SCMP_ACT_LOG", 0), ("SCMP_ACT_ALLOW", 0)] {
            let bundle = filtered(t, rule(&json!({"names": ["sync"], "action": action})));
            let bundle = bundle.without_namespace("pid").args(&["/guest", "syscall", SYNC]);
            let bundle = if action == "SCMP_ACT_ALLOW" {
                bundle.patch(json!({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_LOG"}}}))
            } else {
                bundle
            };
            assert_eq!(bundle.run().code, code, "{action}");
        }
    }),
    test("seccomp: arguments are compared", &[406, 407, 408, 439], |t| {
        for (op, value, two, hit, miss) in [
            ("SCMP_CMP_EQ", 7, 0, 7, 8),
            ("SCMP_CMP_NE", 7, 0, 8, 7),
            ("SCMP_CMP_LT", 7, 0, 6, 7),
            ("SCMP_CMP_LE", 7, 0, 7, 8),
            ("SCMP_CMP_GT", 7, 0, 8, 7),
            ("SCMP_CMP_GE", 7, 0, 7, 6),
            ("SCMP_CMP_MASKED_EQ", 6, 4, 5, 6),
        ] {
            let args = json!([{"index": 1, "value": value, "valueTwo": two, "op": op}]);
            let filter = rule(&json!({"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": args}));
            let bundle = |argument: i32| {
                let argument = argument.to_string();
                filtered(t, filter.clone()).args(&["/guest", "syscall", GETPRIORITY, "0", &argument]).run().ok().stdout.clone()
            };
            assert_eq!(bundle(hit).trim(), "EADDRNOTAVAIL", "{op} {hit}");
            assert_ne!(bundle(miss).trim(), "EADDRNOTAVAIL", "{op} {miss}");
        }
    }),
    test("seccomp: several conditions must all hold", &[406], |t| {
        let args = json!([{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]);
        let filter = rule(&json!({"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": args}));
        let says = |second: &str| filtered(t, filter.clone()).args(&["/guest", "syscall", GETPRIORITY, "0", second]).run().ok().stdout.clone();
        assert_eq!(says("7").trim(), "EADDRNOTAVAIL");
        assert_ne!(says("8").trim(), "EADDRNOTAVAIL");
    }),
    test("seccomp: unknown system calls are skipped", &[402], |t| {
        let filter = rule(&json!({"names": ["nosuchcall", "sync"], "action": "SCMP_ACT_ERRNO"}));
        filtered(t, filter).args(&["/guest", "syscall", SYNC]).run().ok().says("EPERM");
    }),
    test("seccomp: wrong words are refused", &[190, 388, 403, 408], |t| {
        for filter in [
            json!({"defaultAction": "SCMP_ACT_MOON"}),
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_MOON"], "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO"}]}),
            rule(&json!({"names": ["sync"], "action": "SCMP_ACT_MOON"})),
            rule(&json!({"names": ["sync"]})),
            rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_MOON"}]})),
            rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]})),
        ] {
            filtered(t, filter).run().fails();
        }
    }),
    test("seccomp: missing members are refused", &[402, 406, 407], |t| {
        for filter in [
            json!({"syscalls": []}),
            rule(&json!({"names": [], "action": "SCMP_ACT_ERRNO"})),
            rule(&json!({"action": "SCMP_ACT_ERRNO"})),
            rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [{"value": 1, "op": "SCMP_CMP_EQ"}]})),
            rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "op": "SCMP_CMP_EQ"}]})),
        ] {
            filtered(t, filter).run().fails();
        }
    })
    .known(&[("runc", "takes absent members for 0 or nothing")]),
    test("seccomp: an errno where none can be returned is refused", &[390, 405], |t| {
        filtered(t, rule(&json!({"names": ["sync"], "action": "SCMP_ACT_KILL", "errnoRet": 5}))).run().fails();
        filtered(t, json!({"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 5, "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_KILL"}]})).run().fails();
    })
    .known(&[("runc", "ignores the errno")]),
    test("seccomp: flags", &[392, 441, 442], |t| {
        for flag in ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"] {
            let mut filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
            filter["flags"] = json!([flag]);
            filtered(t, filter).args(&["/guest", "syscall", SYNC]).run().ok().says("EPERM");
        }
        let mut filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
        filter["flags"] = json!(["SECCOMP_FILTER_FLAG_MOON"]);
        filtered(t, filter).run().fails();
    })
    .known(&[("runc 1.1", "knows only some of them")]),
    test("seccomp: every listed architecture is taken", &[391, 440], |t| {
        let listed = t.coracle().bare().arg("features").run().json()["linux"]["seccomp"]["archs"].clone();
        for architecture in listed.as_array().unwrap() {
            let mut filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
            filter["architectures"] = json!(["SCMP_ARCH_X86_64", architecture]);
            filtered(t, filter).run().ok();
        }
    })
    .known(&[("runc 1.1", "lists more than the library takes")]),
    test("seccomp: a listener gets descriptor and state", &[393, 394, 395, 396, 399, 400, 409, 410, 411, 412], |t| {
        let (mut agent, path) = agent(t, "42");
        let bundle = filtered(t, notified(&path)).args(&["/guest", "syscall", SYNC]);
        let mut container = bundle.create();
        let told: Value = serde_json::from_str(&agent.line()).unwrap();
        assert_eq!(told["fds"], 1);
        assert_eq!(told["closed"], true);
        let state = &told["state"];
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "some words");
        assert_eq!(state["pid"], container.pid());
        assert_eq!(state["state"]["id"], container.id());
        assert_eq!(state["state"]["status"], "creating");
        assert_eq!(state["state"]["bundle"], bundle.path().to_str().unwrap());
        assert!(state["ociVersion"].is_string() && state["state"]["pid"] == container.pid());
        container.start().ok();
        assert_eq!(container.line(), "ENOMSG");
        assert_eq!(agent.line(), SYNC);
        assert_eq!(container.wait(), 0);
    }),
    test("seccomp: a listener gets those of every exec", &[393, 395, 410], |t| {
        requires!(need::coracle(t));
        let (mut first, path) = agent(t, "42");
        let container = running(filtered(t, notified(&path)));
        let told: Value = serde_json::from_str(&first.line()).unwrap();
        assert_eq!(told["state"]["pid"], container.pid());
        // Where nobody listens any more it does not run unwatched.
        fs::remove_file(&path).unwrap();
        let output = container.exec(["/guest", "print", "unwatched"]);
        assert!(output.code == 255 && output.stdout.is_empty(), "it ran: {}", output.stdout);
        let mut second = agent_at(t, &path, "38");
        let file = t.path("exec.pid");
        let options = ["--pid-file", file.to_str().unwrap()];
        container.exec_with(&options, &["/guest", "syscall", SYNC]).ok().says("ENOSYS");
        let told: Value = serde_json::from_str(&second.line()).unwrap();
        assert_eq!((&told["fds"], &told["closed"]), (&json!(1), &json!(true)));
        let state = &told["state"];
        assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("some words")));
        assert_eq!(state["pid"].to_string(), fs::read_to_string(file).unwrap());
        assert_eq!((&state["state"]["id"], &state["state"]["status"]), (&json!(container.id()), &json!("running")));
        assert_eq!(state["state"]["pid"], container.pid());
        assert_eq!(second.line(), SYNC);
    }),
    test("seccomp: no listener there is an error", &[397], |t| {
        let path = t.path("nobody");
        filtered(t, notified(path.to_str().unwrap())).run().fails();
    }),
    test("seccomp: notify needs a listener", &[190], |t| {
        let mut filter = notified("/x");
        filter["listenerPath"] = json!(null);
        filter["listenerMetadata"] = json!(null);
        filtered(t, filter).edit(|config| drop(config["linux"]["seccomp"].as_object_mut().unwrap().remove("listenerPath"))).run().fails();
        filtered(t, json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"})).run().fails();
    }),
    test("seccomp: metadata without a listener is refused", &[401], |t| {
        let mut filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
        filter["listenerMetadata"] = json!("words");
        filtered(t, filter).run().fails();
    })
    .known(&[("runc", "ignores it")]),
    test("seccomp: a listener nobody is told to is not asked", &[398], |t| {
        let mut filter = rule(&json!({"names": ["sync"], "action": "SCMP_ACT_ERRNO"}));
        filter["listenerPath"] = json!(t.path("nobody"));
        filtered(t, filter).args(&["/guest", "syscall", SYNC]).run().ok().says("EPERM");
    }),
];
