//! Further processes at the edges: cgroups below the container's, many at once, ends of every kind, and the same facts
//! as another runtime.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use integration::{Cgroup, Context, Facts, Pty, Test, need, requires, test};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::differential::compare;
use crate::exec::{facts, running};

/// The directory of a process's cgroup, with v1 in the hierarchy of `controller`.
fn cgroup(pid: i32, controller: &str) -> PathBuf {
    Cgroup::of(pid).directory(controller)
}

/// What `exec` with these options is like, as the other runtime sees it too.
fn comparable(t: &Context, peer: Option<&str>, patch: &Value, options: &[&str]) -> Value {
    let coracle = peer.map_or_else(|| t.coracle(), |program| t.peer(program));
    let bundle = t.bundle().patch(json!({"ociVersion": "1.0.2"})).patch(patch.clone()).args(&["/guest", "trap"]);
    let bundle = bundle.with(coracle);
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    let facts = container.exec_with(options, &["/guest", "probe"]).facts();
    let mut facts = compare::normalise(facts.0, &bundle);
    // What the container itself is like is compared elsewhere.
    for same in ["mounts", "dev", "root", "paths", "sysctls", "clocks"] {
        facts.as_object_mut().unwrap().remove(same);
    }
    facts
}

pub const TESTS: &[Test] = &[
    test("exec: the same facts as of another runtime", &[], |t| {
        requires!(need::program("/usr/sbin/runc"));
        requires!(need::privilege(t, "set groups with runc"));
        let plain = json!({});
        let other = json!({"process": {"user": {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o27}, "noNewPrivileges": false,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 200, "hard": 200}], "oomScoreAdj": 100, "cwd": "/tmp",
            "env": ["PATH=/bin", "A=1", "A=2"]},
            "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
                [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}]}}});
        let cases: [(&Value, &[&str]); 6] = [
            (&plain, &[]),
            (&plain, &["--user", "1000:1000", "--cwd", "/tmp", "--env", "B=1", "--additional-gids", "9"]),
            (&plain, &["--cap", "CAP_NET_RAW", "--no-new-privs"]),
            (&other, &[]),
            (&other, &["--user", "0"]),
            (&other, &["--cap", "CAP_NET_RAW", "--env", "HOME="]),
        ];
        for (patch, options) in cases {
            let table = compare::table(
                &comparable(t, None, patch, options),
                &comparable(t, Some("/usr/sbin/runc"), patch, options),
            );
            // The name of a keyring has the container's id, streams are pipes of runc's, and runc 1.1 forgets the umask.
            let accepted = |field: &str| ["fds", "keyring", "umask"].iter().any(|name| field.starts_with(name));
            let table: Vec<_> = table.iter().filter(|(field, ..)| !accepted(field)).collect();
            assert!(table.is_empty(), "{options:?} {table:#?}");
        }
    }),
    test("exec: a cgroup below the container's", &[], |t| {
        requires!(need::v1("pids"));
        requires!(need::v1("cpu"));
        requires!(need::own_cgroup(t));
        let container = running(t.bundle());
        let (pids, cpu) = (cgroup(container.pid(), "pids"), cgroup(container.pid(), "cpu"));
        fs::create_dir(pids.join("sub")).unwrap();
        let pid = container.exec_detached(&["--cgroup", "pids:sub"], &["/guest", "sleep", "50"]);
        assert_eq!((cgroup(pid, "pids"), cgroup(pid, "cpu")), (pids.join("sub"), cpu.clone()));
        let exec = |cgroup: &str| container.exec_with(&["--cgroup", cgroup], &["/guest", "print", "in"]);
        exec("/").ok().says("in");
        exec("pids:/").ok().says("in");
        for path in ["..", "../x", "sub/../../sub", "pids:.."] {
            exec(path).code(255).stderr("bad sub cgroup path: ");
        }
        exec("cpu:nosuch").code(255).stderr("o such file or directory");
        exec("nosuch:sub").code(255).stderr("nosuch");
        exec(":sub").code(255).stderr("invalid --cgroup argument");
        let twice = ["--cgroup", "pids:sub", "--cgroup", "sub"];
        container.exec_with(&twice, &["/guest", "print", "in"]).code(255).stderr("invalid --cgroup argument");
    })
    .known(&[("runc 1.1", "joins by path and says other words")]),
    test("exec: a cgroup below the container's in a v2 tree", &[], |t| {
        requires!(need::unified());
        requires!(need::privilege(t, "mount a tree of cgroups"));
        let bundle = t.bundle().with(t.coracle().v2()).patch(json!({"linux": {"resources": null}}));
        let container = running(bundle);
        let text = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
        let own = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        let mount = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().find(|m| Path::new(m).join(own).is_dir());
        let directory = Path::new(mount.unwrap()).join(own).join("sub");
        fs::create_dir(&directory).unwrap();
        let pid = container.exec_detached(&["--cgroup", "/sub"], &["/guest", "sleep", "50"]);
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        assert!(text.contains(&format!("0::/{own}/sub\n")), "{text}");
        container.exec_with(&["--cgroup", "no"], &["/guest", "print"]).code(255).stderr("o such file");
    }),
    test("exec: many at once, and nothing stays", &[], |t| {
        let container = running(t.bundle());
        let spawn = |n: u8| container.call("exec").args(["/guest", "exit", &n.to_string()]).spawn();
        let mut all: Vec<_> = (0..200u8).map(|n| (n, spawn(n))).collect();
        for (n, running) in &mut all {
            running.wait().code(i32::from(*n));
        }
        let inside = container.exec(["/guest", "list", "/proc"]);
        let processes = inside.ok().stdout.lines().filter(|name| name.parse::<u32>().is_ok()).count();
        assert_eq!(processes, 2, "the first process and the one that counts");
    }),
    test("exec: ends of every kind", &[], |t| {
        let container = running(t.bundle().file("/plain", "no program").directory("/folder"));
        for code in [0, 1, 126, 127, 128, 254, 255] {
            container.exec(["/guest", "exit", &code.to_string()]).code(code);
        }
        // All that end a process, but for SIGBUS, SIGSEGV and SIGPIPE, which the guest's library takes.
        for signal in (1..7).chain(8..11).chain([12, 14, 15, 16]).chain(24..28).chain(29..32) {
            container.exec(["/guest", "kill-self", &signal.to_string()]).code(128 + signal);
        }
        let failed = |args: &[&str], words: &str| {
            container.exec(args.iter()).code(255).stderr(words);
        };
        failed(&["/plain"], "permission denied");
        failed(&["/folder"], "is a directory");
        failed(&["nosuch"], "executable file not found in $PATH");
        failed(&["/nosuch"], "no such file or directory");
        failed(&[""], "exec failed: ");
        container.exec_with(&["--cwd", "/nosuch"], &["/guest", "print"]).code(255);
        container.exec_with(&["--cwd", "tmp"], &["/guest", "print"]).code(255).stderr("must be an absolute path");
        for user in ["x", "1:", "-1", "4294967296", "4294967295"] {
            container.exec_with(&["--user", user], &["/guest", "print"]).code(255);
        }
    })
    .known(&[("runc 1.1", "exits with 1 for some of them, and takes a large id")]),
    test("exec: signals reach the program in the foreground", &[], |t| {
        let container = running(t.bundle());
        let mut exec = container.call("exec").args(["/guest", "trap"]).spawn();
        assert_eq!(exec.line(), "ready");
        for signal in [Signal::SIGUSR1, Signal::SIGHUP, Signal::SIGINT] {
            exec.signal(signal);
            assert_eq!(exec.line(), signal.as_str());
        }
        exec.signal(Signal::SIGTERM);
        exec.wait().code(15);
    }),
    test("exec: the end of the container ends it", &[], |t| {
        let mut container = running(t.bundle());
        let mut exec = container.call("exec").args(["/guest", "trap"]).spawn();
        assert_eq!(exec.line(), "ready");
        container.kill("KILL").ok();
        exec.wait().code(137);
        assert_eq!(container.wait(), 137);
    }),
    test("exec: a terminal in the foreground", &[], |t| {
        let mut pty = Pty::open(40, 90);
        let before = pty.modes();
        let container = running(t.bundle());
        let call = t.coracle().call(["exec", "--tty", container.id(), "/guest", "sizes", "1"]);
        let mut exec = call.launched(format!("tty={}", pty.path().display())).spawn();
        pty.expect("40x90\r\n");
        pty.resize(t, 41, 90);
        pty.expect("41x90\r\n");
        exec.wait().ok();
        assert_eq!(pty.modes(), before, "the terminal was not restored");
        let call = t.coracle().call(["exec", "--tty", container.id(), "/guest", "trap"]);
        let mut exec = call.launched(format!("tty={}", pty.path().display())).spawn();
        pty.expect("ready\r\n");
        pty.write("\x03");
        pty.expect("SIGINT");
        exec.signal(Signal::SIGTERM);
        exec.wait().code(15);
    }),
    test("exec: a pidfd of the process", &[], |t| {
        let path = t.path(&t.unique()).to_str().unwrap().to_owned();
        let mut agent = t.helper(&["pidfd", &path]).spawn();
        assert_eq!(agent.line(), "listening");
        let container = running(t.bundle());
        let pid = container.exec_detached(&["--pidfd-socket", &path], &["/guest", "sleep", "50"]);
        let told: Value = serde_json::from_str(&agent.line()).unwrap();
        assert_eq!((&told["name"], &told["pid"]), (&json!("setns"), &json!(pid)));
    })
    .known(&[("runc 1.1", "has no pidfd socket")]),
    test("exec: descriptors that are passed on, and no other", &[], |t| {
        let file = t.path("open");
        fs::write(&file, "preserved").unwrap();
        let open = |number: u32| format!("open={number}:{}", file.display());
        let container = running(t.bundle());
        let call = |options: &[&str]| {
            let call = t.coracle().call(["exec"]).args(options).arg(container.id()).args(["/guest", "probe"]);
            call.launched(open(3)).launched(open(4)).launched(open(7)).run()
        };
        let numbers = |facts: &Facts| facts.at("/fds").as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(numbers(&call(&[]).facts()), ["0", "1", "2"]);
        assert_eq!(numbers(&call(&["--preserve-fds", "2"]).facts()), ["0", "1", "2", "3", "4"]);
        // So many that what other tests have open at this moment cannot fill the gap.
        call(&["--preserve-fds", "200"]).code(255).stderr("preserved-fd");
    })
    .known(&[("runc", "hands over a descriptor of its own")]),
    test("exec: processors before and after the cgroup", &[136, 137, 138, 139], |t| {
        requires!(need::processors(1));
        let affinity = |patch: Value| {
            let container = running(t.bundle().patch(json!({"process": patch})));
            facts(&container, &[]).at("/affinity").clone()
        };
        let all = affinity(json!({}));
        assert_eq!(affinity(json!({"execCPUAffinity": {"final": "1"}})), json!([1]));
        assert_eq!(affinity(json!({"execCPUAffinity": {"initial": "0", "final": "0-1"}})), json!([0, 1]));
        assert_ne!(affinity(json!({"execCPUAffinity": {"initial": "0", "final": ""}})), json!([1]));
        let container = running(t.bundle().patch(json!({"process": {"execCPUAffinity": {"final": "1"}}})));
        let init = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        let init = init.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned();
        assert!(init.contains('0'), "the first process is on {init} of {all}");
        let wrong = t.bundle().patch(json!({"process": {"execCPUAffinity": {"final": "8000"}}}));
        running(wrong).exec(["/guest", "print"]).code(255);
    })
    .known(&[("runc 1.1", "knows no execCPUAffinity")]),
    test("exec: what a process file leaves out is the container's", &[], |t| {
        let own = json!({"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "effective": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}], "oomScoreAdj": 77, "user": {"umask": 0o31}});
        let container = running(t.bundle().patch(json!({"process": own})));
        let file = t.path("process.json");
        let exec = |process: Value| {
            fs::write(&file, process.to_string()).unwrap();
            t.coracle().call(["exec", "--process"]).arg(&file).arg(container.id()).run()
        };
        let facts = exec(json!({"args": ["/guest", "probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}})).facts();
        facts.is("/capabilities/bounding", &json!(["CAP_KILL"])).is("/rlimits/RLIMIT_NOFILE", &json!([55, 66]));
        facts.is("/oom_score_adj", &json!(77)).is("/no_new_privs", &json!(false)).is("/umask", &json!("0031"));
        exec(json!({"args": ["/guest", "probe"], "cwd": "tmp"})).code(255).stderr("absolute path");
        exec(json!({"args": [], "cwd": "/"})).code(255).stderr("args must not be empty");
        exec(json!({"cwd": "/"})).code(255).stderr("args must not be empty");
        exec(json!({"args": ["/guest"]})).code(255);
        fs::write(&file, "{").unwrap();
        t.coracle().call(["exec", "--process"]).arg(&file).arg(container.id()).run().code(255);
    })
    .known(&[("runc 1.1", "takes some of them and exits with 1 for others")]),
    test("exec: the keyring of the container, if it has one", &[], |t| {
        let bundle = t.bundle();
        let container = running(bundle);
        let name = facts(&container, &[]).at("/keyring").to_string();
        assert!(name.contains(&format!("_ses.{}", container.id())), "{name}");
        let bundle = t.bundle().args(&["/guest", "trap"]);
        let mut container = bundle.start_with(&["--no-new-keyring"]);
        assert_eq!(container.line(), "ready");
        let name = facts(&container, &[]).at("/keyring").to_string();
        assert!(!name.contains(container.id()), "{name}");
    }),
    test("exec: a container in the host's pid namespace, and one without mounts of its own", &[], |t| {
        requires!(need::privilege(t, "mount procfs of the host's processes"));
        let container = running(t.bundle().without_namespace("pid"));
        container.exec(["/guest", "exit", "3"]).code(3);
        let container = running(t.bundle().namespace(json!({"type": "user"})).patch(json!({"linux": {
            "uidMappings": [{"containerID": 0, "hostID": 100_000, "size": 65536}],
            "gidMappings": [{"containerID": 0, "hostID": 100_000, "size": 65536}]}})));
        facts(&container, &[]).is("/uids", &json!([0, 0, 0, 0]));
        let seen = container.exec_detached(&["--user", "5"], &["/guest", "sleep", "50"]);
        match fs::metadata(format!("/proc/{seen}/root/guest")) {
            Err(error) if error.kind() == ErrorKind::NotFound => panic!("it is gone"),
            _ => {}
        }
        let status = fs::read_to_string(format!("/proc/{seen}/status")).unwrap();
        assert!(status.contains("Uid:\t100005\t"), "{status}");
    }),
];
