//! The process: directory, environment, arguments, user, limits, priorities.

use std::fs;

use integration::{Bundle, Context, Test, need, requires, test};
use serde_json::{Value, json};

fn process(t: &Context, patch: Value) -> Bundle {
    t.bundle().patch(json!({"process": patch}))
}

pub const TESTS: &[Test] = &[
    test("process: it runs in its directory", &[105, 107], |t| {
        process(t, json!({"cwd": "/tmp"})).facts().is("/cwd", &json!("/tmp"));
        process(t, json!({"cwd": null})).run().fails();
        process(t, json!({"cwd": ""})).run().fails();
    }),
    test("process: the directory is absolute", &[106, 190], |t| {
        process(t, json!({"cwd": "tmp"})).run().fails().stderr_any(&["absolute", "cwd"]);
    }),
    test("process: a missing directory is made", &[107], |t| {
        let bundle = process(t, json!({"cwd": "/work/deep"})).patch(json!({"root": {"readonly": false}}));
        bundle.facts().is("/cwd", &json!("/work/deep"));
    }),
    test("process: a directory only its user may enter", &[107], |t| {
        let user = json!({"cwd": "/private", "user": {"uid": 1000, "gid": 1000}});
        let bundle = process(t, user).directory("/private");
        std::os::unix::fs::chown(bundle.rootfs().join("private"), Some(1000), Some(1000)).unwrap();
        fs::set_permissions(bundle.rootfs().join("private"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        bundle.facts().is("/cwd", &json!("/private"));
    }),
    test("process: the environment is the configured one", &[108], |t| {
        let bundle = process(t, json!({"env": ["PATH=/bin", "A=b=c", "EMPTY=", "HOME=/x"]}));
        bundle.save();
        let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).env("LEAK", "1").run();
        run.facts().is("/env", &json!(["PATH=/bin", "A=b=c", "EMPTY=", "HOME=/x"]));
    }),
    test("process: HOME comes from the container's passwd", &[108], |t| {
        let home = |uid: u32| {
            let facts = process(t, json!({"user": {"uid": uid, "gid": 0}, "env": ["PATH=/bin"]})).facts();
            facts.strings("/env").iter().find_map(|entry| entry.strip_prefix("HOME=").map(str::to_owned)).unwrap_or_default()
        };
        assert_eq!(home(0), "/root");
        assert_eq!(home(1000), "/home/user");
        assert_eq!(home(4321), "/");
    }),
    test("process: of equal names the last is kept", &[108], |t| {
        let facts = process(t, json!({"env": ["A=1", "PATH=/bin", "A=2", "HOME=/"]})).facts();
        let values: Vec<&str> = facts.strings("/env").into_iter().filter(|entry| entry.starts_with("A=")).collect();
        assert_eq!(values.last(), Some(&"A=2"));
    }),
    test("process: arguments arrive unchanged", &[109, 110], |t| {
        let args = ["/guest", "probe", "a b", "", "--x", "ä"];
        t.bundle().args(&args).facts().is("/args", &json!(args));
        t.bundle().args(&[]).run().fails().stderr("args");
        process(t, json!({"args": null})).run().fails().stderr("args");
    }),
    test("process: the program is looked up in the PATH of the container", &[110], |t| {
        process(t, json!({"args": ["guest", "probe"], "env": ["PATH=/nosuch:/bin"]})).facts();
        let output = process(t, json!({"args": ["guest", "probe"], "env": ["PATH=/nosuch:/tmp"]})).run();
        output.fails().stderr("executable file not found in $PATH");
        process(t, json!({"args": ["./guest", "probe"]})).facts();
    }),
    test("process: a missing program fails create", &[205, 206], |t| {
        let (_, output) = t.bundle().args(&["/nosuch"]).try_create(&[]);
        output.fails().stderr("no such file or directory");
        let (_, output) = t.bundle().args(&["/etc/passwd"]).try_create(&[]);
        output.fails().stderr("permission denied");
    }),
    test("process: user, group and further groups", &[140, 141, 144], |t| {
        let facts = process(t, json!({"user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 60000]}})).facts();
        facts.is("/uids", &json!([1000, 1000, 1000, 1000])).is("/gids", &json!([1001, 1001, 1001, 1001]));
        let groups: Vec<_> = facts.at("/groups").as_array().unwrap().iter().filter(|group| **group != 1001).cloned().collect();
        assert_eq!(groups, [5, 60000]);
    }),
    test("process: the caller's groups are dropped", &[144], |t| {
        let bundle = t.bundle();
        let bundle = bundle.with(t.coracle().launched("groups=7,8,9"));
        let facts = bundle.facts();
        assert!(!facts.at("/groups").to_string().contains('7'), "{}", facts.at("/groups"));
    }),
    test("process: umask", &[142], |t| {
        process(t, json!({"user": {"uid": 0, "gid": 0, "umask": 0o77}})).facts().is("/umask", &json!("0077"));
        process(t, json!({"user": {"uid": 0, "gid": 0, "umask": 0}})).facts().is("/umask", &json!("0000"));
    }),
    test("process: resource limits", &[111, 113, 114, 115], |t| {
        let limits = json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 4096},
            {"type": "RLIMIT_CPU", "soft": 50, "hard": 60}, {"type": "RLIMIT_FSIZE", "soft": 1u64 << 40, "hard": 1u64 << 41},
            {"type": "RLIMIT_NPROC", "soft": 50, "hard": 60}, {"type": "RLIMIT_STACK", "soft": 1 << 22, "hard": 1 << 23},
            {"type": "RLIMIT_AS", "soft": 1u64 << 40, "hard": 1u64 << 41}, {"type": "RLIMIT_DATA", "soft": 1u64 << 40, "hard": 1u64 << 41},
            {"type": "RLIMIT_RSS", "soft": 1 << 30, "hard": 1 << 30}, {"type": "RLIMIT_LOCKS", "soft": 10, "hard": 20},
            {"type": "RLIMIT_MEMLOCK", "soft": 4096, "hard": 8192}, {"type": "RLIMIT_MSGQUEUE", "soft": 4096, "hard": 8192},
            {"type": "RLIMIT_NICE", "soft": 0, "hard": 0}, {"type": "RLIMIT_RTPRIO", "soft": 0, "hard": 0},
            {"type": "RLIMIT_RTTIME", "soft": 5000, "hard": 6000}, {"type": "RLIMIT_SIGPENDING", "soft": 10, "hard": 20},
        ]);
        let facts = process(t, json!({"rlimits": limits})).facts();
        for limit in limits.as_array().unwrap() {
            let name = limit["type"].as_str().unwrap();
            assert_eq!(facts.at("/rlimits")[name], json!([limit["soft"], limit["hard"]]), "{name}");
        }
    }),
    test("process: unknown, incomplete and duplicate limits are refused", &[111, 112, 114, 115], |t| {
        for limits in [
            json!([{"type": "RLIMIT_MOON", "soft": 1, "hard": 1}]),
            json!([{"soft": 1, "hard": 1}]),
            json!([{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 200}]),
        ] {
            process(t, json!({"rlimits": limits})).run().fails();
        }
    }),
    test("process: duplicate and incomplete limits are refused", &[114, 115, 116], |t| {
        for limits in [
            json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]),
            json!([{"type": "RLIMIT_NOFILE", "hard": 200}]),
            json!([{"type": "RLIMIT_NOFILE", "soft": 100}]),
        ] {
            process(t, json!({"rlimits": limits})).run().fails();
        }
    })
    .known(&[("runc", "takes the last of duplicates, and absent limits for 0")]),
    test("process: open files are limited as the caller is", &[], |t| {
        let coracle = t.coracle().launched("nofile=77:4096");
        let bundle = process(t, json!({"rlimits": null})).with(coracle);
        bundle.facts().is("/rlimits/RLIMIT_NOFILE", &json!([77, 4096]));
        let mut container = bundle.args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        container.exec(["/guest", "probe"]).facts().is("/rlimits/RLIMIT_NOFILE", &json!([77, 4096]));
    }),
    test("process: the score of the out-of-memory killer", &[125, 126], |t| {
        process(t, json!({"oomScoreAdj": 321})).facts().is("/oom_score_adj", &json!(321));
        let bundle = t.bundle();
        let bundle = bundle.with(t.coracle().launched("oom=123"));
        bundle.facts().is("/oom_score_adj", &json!(123));
    }),
    test("process: scheduling policy and nice value", &[127, 128], |t| {
        let facts = process(t, json!({"scheduler": {"policy": "SCHED_BATCH", "nice": 5}})).facts();
        facts.is("/scheduler/policy", &json!("SCHED_BATCH")).is("/scheduler/nice", &json!(5));
        let facts = process(t, json!({"scheduler": {"policy": "SCHED_IDLE"}})).facts();
        facts.is("/scheduler/policy", &json!("SCHED_IDLE"));
        process(t, json!({"scheduler": {"policy": "SCHED_MOON"}})).run().fails();
        process(t, json!({"scheduler": {"nice": 5}})).run().fails();
    })
    .known(&[("runc 1.1", "does not know scheduler")]),
    test("process: real-time policies with priority", &[127, 129, 130], |t| {
        // In a group of v1 a kernel with RT_GROUP_SCHED gives no real-time time that was not asked for, and in one of v2
        // none at all.
        let here = t.tool("/usr/bin/chrt", &["-f", "7", "/bin/true"]).run();
        requires!(if here.code == 0 { Ok(()) } else { Err("no real-time time where this runs") });
        let process = |t: &Context, patch| process(t, patch).with(t.coracle().v2());
        for policy in ["SCHED_FIFO", "SCHED_RR"] {
            let facts = process(t, json!({"scheduler": {"policy": policy, "priority": 7}})).facts();
            facts.is("/scheduler/policy", &json!(policy)).is("/scheduler/priority", &json!(7));
        }
        let flags = json!({"policy": "SCHED_FIFO", "priority": 7, "flags": ["SCHED_FLAG_RESET_ON_FORK"]});
        process(t, json!({"scheduler": flags})).facts().is("/scheduler/flags", &json!(1));
        process(t, json!({"scheduler": {"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_MOON"]}})).run().fails();
    })
    .known(&[("runc 1.1", "does not know scheduler")]),
    test("process: the deadline policy", &[131], |t| {
        let scheduler = json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000, "deadline": 20_000_000, "period": 30_000_000});
        let facts = process(t, json!({"scheduler": scheduler})).facts();
        facts.is("/scheduler/policy", &json!("SCHED_DEADLINE"));
        facts.is("/scheduler/timing", &json!([10_000_000, 20_000_000, 30_000_000]));
    })
    .known(&[("runc 1.1", "does not know scheduler")]),
    test("process: priority of input and output", &[132, 133], |t| {
        for (class, level) in [("IOPRIO_CLASS_BE", 3), ("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_IDLE", 0)] {
            let facts = process(t, json!({"ioPriority": {"class": class, "priority": level}})).facts();
            facts.is("/io_priority/class", &json!(class)).is("/io_priority/level", &json!(level));
        }
        for wrong in [
            json!({"class": "IOPRIO_CLASS_MOON", "priority": 1}),
            json!({"priority": 1}),
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            json!({"class": "IOPRIO_CLASS_BE", "priority": -1}),
        ] {
            process(t, json!({"ioPriority": wrong})).run().fails();
        }
    })
    .known(&[("runc 1.1", "does not know ioPriority")]),
    test("process: the caller's processor affinity is not inherited", &[136], |t| {
        requires!(need::processors(1));
        let bundle = process(t, json!({"execCPUAffinity": {"initial": "0", "final": "0"}}));
        let bundle = bundle.with(t.coracle().launched("cpus=0"));
        let facts = bundle.facts();
        assert!(facts.at("/affinity").as_array().is_some_and(|cpus| cpus.len() > 1), "{}", facts.at("/affinity"));
    })
    .known(&[("runc 1.1", "inherits the affinity")]),
    test("process: personality", &[423], |t| {
        // Where there are other personalities.
        requires!(need::path("/proc/sys/abi/vsyscall32"));
        let patch = |personality: Value| t.bundle().patch(json!({"linux": {"personality": personality}}));
        patch(json!({"domain": "LINUX32"})).facts().is("/personality", &json!(8)).is("/machine", &json!("i686"));
        patch(json!({"domain": "LINUX"})).facts().is("/personality", &json!(0));
        patch(json!({"domain": "MOON"})).run().fails();
        patch(json!({})).run().fails();
    })
    .known(&[("runc 1.1", "does not know personality")]),
    test("process: memory policy", &[383, 384, 385], |t| {
        requires!(need::path("/proc/self/numa_maps"));
        let patch = |policy: Value| t.bundle().patch(json!({"linux": {"memoryPolicy": policy}}));
        let facts = patch(json!({"mode": "MPOL_BIND", "nodes": "0"})).facts();
        facts.is("/memory_policy/mode", &json!(2)).is("/memory_policy/nodes", &json!([0]));
        let facts = patch(json!({"mode": "MPOL_INTERLEAVE", "nodes": "0-0", "flags": ["MPOL_F_STATIC_NODES"]})).facts();
        facts.is("/memory_policy/mode", &json!(3)).is("/memory_policy/flags", &json!(8));
        patch(json!({"mode": "MPOL_MOON", "nodes": "0"})).run().fails();
        patch(json!({"nodes": "0"})).run().fails();
        patch(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_MOON"]})).run().fails();
        patch(json!({"mode": "MPOL_BIND", "nodes": "x"})).run().fails();
    })
    .known(&[("runc 1.1", "does not know memoryPolicy")]),
    test("process: a session keyring of its own", &[], |t| {
        let bundle = t.bundle();
        let facts = bundle.facts();
        let id = format!("_ses.{}-1", bundle.path().file_name().unwrap().to_str().unwrap());
        assert!(facts.at("/keyring").as_str().is_some_and(|text| text.ends_with(&id)), "{}", facts.at("/keyring"));
        let facts = t.bundle().run_with(&["--no-new-keyring"]).facts();
        assert!(!facts.at("/keyring").to_string().contains("_ses.it"), "{}", facts.at("/keyring"));
    }),
    test("process: signals are neither blocked nor ignored", &[], |t| {
        let facts = t.bundle().facts();
        facts.is("/signals/blocked", &json!("0000000000000000")).is("/death_signal", &json!(0));
        facts.is("/identity/pid", &json!(1)).is("/identity/sid", &json!(1));
    }),
    test("process: unknown members are ignored", &[187, 189], |t| {
        let patch = json!({"moon": {"full": true}, "annotations": {"com.example.moon": "full"}, "process": {"moon": 1}, "linux": {"moon": []}});
        t.bundle().patch(patch).run().ok();
    }),
    test("process: annotations are strings with a name", &[182, 183, 188], |t| {
        t.bundle().patch(json!({"annotations": {"com.example.a": 1}})).run().fails();
        let container = t.bundle().patch(json!({"annotations": {"com.example.a": ""}})).create();
        assert_eq!(container.state()["annotations"], json!({"com.example.a": ""}));
    }),
    test("process: an annotation without a name is refused", &[183], |t| {
        t.bundle().patch(json!({"annotations": {"": "x"}})).run().fails();
    })
    .known(&[("runc", "takes it")]),
    test("process: the host's null device keeps its owner", &[], |t| {
        let owner = || std::os::unix::fs::MetadataExt::uid(&fs::metadata("/dev/null").unwrap());
        let before = owner();
        let bundle = process(t, json!({"user": {"uid": 1000, "gid": 1000}}));
        bundle.save();
        let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).null_stdin().run();
        run.ok();
        assert_eq!(owner(), before);
        let detached = bundle.coracle().call(["run", "--detach", "--bundle"]).arg(bundle.path());
        let container = integration::Container::named(bundle.coracle(), &bundle.id());
        detached.arg(container.id()).null_stdin().run().ok();
        assert_eq!(owner(), before);
    }),
    test("process: standard streams are passed through", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "copy"]);
        bundle.save();
        let id = bundle.id();
        let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(id).stdin("some text").run();
        run.ok().says("some text");
    }),
];
