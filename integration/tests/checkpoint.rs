//! checkpoint and restore, with a CRIU that works where there is one.

use std::fs;
use std::path::{Path, PathBuf};

use integration::{
    Bundle, Call, ConsoleSocket, Container, Context, Output, Pty, Test, criu_path, need, requires, test,
};
use serde_json::{Value, json};

use crate::cgroups::v1;

/// Counts in memory and in an open file.
pub fn counting(t: &Context) -> Bundle {
    t.bundle().patch(json!({"root": {"readonly": false}})).args(&["/guest", "count", "/tmp/count"])
}

pub fn with_criu(call: Call) -> Call {
    call.env("PATH", criu_path())
}

pub fn save(container: &Container, images: &Path, options: &[&str]) -> Output {
    with_criu(container.call("checkpoint")).args(options).arg("--image-path").arg(images).run()
}

/// `restore --detach` under an id of its own.
pub fn restore(bundle: &Bundle, images: &Path, options: &[&str]) -> (Container, Output) {
    let mut container = Container::named(bundle.coracle(), &bundle.id());
    let call = bundle.coracle().call(["restore", "--detach"]).args(options).arg("--image-path").arg(images);
    let call = call.arg("--bundle").arg(bundle.path()).arg(container.id());
    let output = container.attach(with_criu(call).spawn());
    (container, output)
}

/// Has the container count once more.
#[track_caller]
pub fn counts(container: &mut Container, number: u32) {
    container.kill("USR1").ok();
    assert_eq!(container.line(), number.to_string());
}

/// A container that has counted to 2.
#[track_caller]
pub fn counted(bundle: &Bundle) -> Container {
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    counts(&mut container, 1);
    counts(&mut container, 2);
    container
}

pub fn file(bundle: &Bundle) -> String {
    fs::read_to_string(bundle.rootfs().join("tmp/count")).unwrap()
}

/// Saves, finds nothing, restores under another id, and counts on.
fn goes_on(t: &Context, bundle: &Bundle) -> (Container, Value) {
    let container = counted(bundle);
    let before = container.state();
    save(&container, &t.path("images"), &[]).ok();
    container.call("state").run().fails().stderr("does not exist");
    let pid_file = t.path("pid");
    let (mut restored, output) = restore(bundle, &t.path("images"), &["--pid-file", pid_file.to_str().unwrap()]);
    output.ok();
    assert_eq!(fs::read_to_string(pid_file).unwrap(), restored.pid().to_string());
    counts(&mut restored, 3);
    assert_eq!(file(bundle), "1\n2\n3\n");
    assert_eq!(restored.status(), "running");
    assert!(restored.state()["created"].as_str() > before["created"].as_str());
    restored.start().fails();
    (restored, before)
}

fn hook(t: &Context, kind: &str) -> Value {
    let log = t.path("hooks");
    json!([{"path": t.guest(), "args": [kind, "hook", log]}])
}

fn noted(t: &Context) -> Vec<Value> {
    let text = fs::read_to_string(t.path("hooks")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Copies what a container has made to another root file system, which lacks mount points.
fn moved(t: &Context, from: &Bundle, to: &Bundle) {
    fs::copy(from.rootfs().join("tmp/count"), to.rootfs().join("tmp/count")).unwrap();
    to.save();
    for name in ["proc", "sys", "dev"] {
        fs::remove_dir(to.rootfs().join(name)).unwrap();
    }
    assert!(t.path("images").is_dir());
}

pub const TESTS: &[Test] = &[
    test("checkpoint: memory and an open file go on, v1", &[], |t| {
        requires!(need::criu());
        requires!(need::v1("pids"));
        let name = t.unique();
        let limits = json!({"linux": {"cgroupsPath": format!("/{name}"), "resources": {"pids": {"limit": 77}}}});
        let (restored, _) = goes_on(t, &counting(t).patch(limits));
        assert_eq!(v1("pids", &name, "pids.max"), "77");
        assert_eq!(v1("pids", &name, "cgroup.procs"), restored.pid().to_string());
        assert_eq!(v1("freezer", &name, "cgroup.procs"), restored.pid().to_string());
        restored.exec(["/guest", "print", "in there"]).ok().says("in there");
        // And once more.
        save(&restored, &t.path("again"), &[]).ok();
    }),
    test("checkpoint: memory and an open file go on, v2", &[], |t| {
        requires!(need::criu());
        requires!(need::unified());
        let bundle = counting(t).with(t.coracle().v2());
        let (mut restored, _) = goes_on(t, &bundle);
        save(&restored, &t.path("again"), &["--leave-running"]).ok();
        counts(&mut restored, 4);
        restored.call("pause").run().ok();
        assert_eq!(restored.status(), "paused");
        restored.call("resume").run().ok();
        restored.kill("TERM").ok();
        assert_eq!(restored.wait(), 15);
    })
    .known(&[("runc 1.1", "cannot save again what it has restored on v2")]),
    test("checkpoint: a container that is left running goes on, and so does its copy", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        let mut first = counted(&bundle);
        save(&first, &t.path("images"), &["--leave-running"]).ok();
        let (mut second, output) = restore(&bundle, &t.path("images"), &[]);
        output.ok();
        counts(&mut first, 3);
        counts(&mut second, 3);
        assert_eq!(file(&bundle), "1\n2\n3\n3\n");
        second.kill("TERM").ok();
        assert_eq!(second.wait(), 15);
        assert_eq!((first.status().as_str(), second.status().as_str()), ("running", "stopped"));
    }),
    test("checkpoint: a paused container is saved too", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        let container = counted(&bundle);
        container.call("pause").run().ok();
        save(&container, &t.path("images"), &[]).ok();
        let (mut restored, output) = restore(&bundle, &t.path("images"), &[]);
        output.ok();
        counts(&mut restored, 3);
    }),
    test("checkpoint: memory first, then what has changed", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        let mut container = counted(&bundle);
        let first = save(&container, &t.path("first"), &["--pre-dump"]);
        assert_eq!(container.status(), "running");
        if first.code != 0 {
            let texts = ["--pre-dump: this kernel does not track changes of memory", "CRIU is missing features"];
            first.stderr_any(&texts);
            integration::skip("this kernel does not track changes of memory");
        }
        counts(&mut container, 3);
        save(&container, &t.path("second"), &["--parent-path", "../first"]).ok();
        let (mut restored, output) = restore(&bundle, &t.path("second"), &[]);
        output.ok();
        counts(&mut restored, 4);
    }),
    test("checkpoint: with all that may be saved, and each way with cgroups", &[], |t| {
        requires!(need::criu());
        let both = ["--tcp-established", "--ext-unix-sk", "--file-locks", "--auto-dedup"];
        let dump = ["--link-remap", "--tcp-skip-in-flight"];
        for (mode, images) in [("soft", "a"), ("full", "b"), ("ignore", "c")] {
            let cgroups = ["--manage-cgroups-mode", mode, "--empty-ns", "network"];
            let bundle = counting(t);
            save(&counted(&bundle), &t.path(images), &[&both[..], &cgroups, &dump].concat()).ok();
            let (mut restored, output) = restore(&bundle, &t.path(images), &[&both[..], &cgroups].concat());
            output.ok();
            counts(&mut restored, 3);
            assert_eq!(file(&bundle), "1\n2\n3\n", "{mode}");
        }
    })
    .known(&[("runc 1.1", "does not know all of them")]),
    test("checkpoint: a terminal", &[], |t| {
        requires!(need::criu());
        let mut socket = ConsoleSocket::listen(t);
        let bundle = t.bundle().patch(json!({"process": {"terminal": true}})).args(&["/guest", "daemon"]);
        let container = bundle.start_with(&["--console-socket", socket.path()]);
        drop(socket.received());
        assert_eq!(socket.line(), "hello");
        save(&container, &t.path("images"), &[]).ok();
        restore(&bundle, &t.path("images"), &[]).1.fails().stderr("cannot allocate tty if");
        let mut socket = ConsoleSocket::listen(t);
        let (restored, output) = restore(&bundle, &t.path("images"), &["--console-socket", socket.path()]);
        output.ok();
        assert_eq!(socket.received()["terminal"], json!(true));
        socket.write("typed\n");
        assert_eq!(socket.line(), "typed", "the echo");
        assert_eq!(socket.line(), "0 typed");
        drop(restored);
    }),
    test("checkpoint: standard streams that are a terminal of the caller's", &[], |t| {
        requires!(need::criu());
        let mut terminal = Pty::open(24, 80);
        let at = format!("tty={}", terminal.path().display());
        let bundle = counting(t);
        let first = Container::named(bundle.coracle(), &bundle.id());
        let run = bundle.coracle().call(["run", "--detach", "--bundle"]).arg(bundle.path()).arg(first.id());
        bundle.save();
        run.launched(&at).run().ok();
        terminal.expect("ready");
        first.kill("USR1").ok();
        terminal.expect("1");
        save(&first, &t.path("refused"), &[]).fails().stderr(terminal.path().to_str().unwrap());
        save(&first, &t.path("images"), &["--shell-job"]).ok();
        let second = Container::named(bundle.coracle(), &bundle.id());
        let call = bundle.coracle().call(["restore", "--detach", "--shell-job", "--image-path"]).arg(t.path("images"));
        with_criu(call.arg("--bundle").arg(bundle.path()).arg(second.id())).launched(&at).run().ok();
        second.kill("USR1").ok();
        terminal.expect("2");
    }),
    test("checkpoint: other labels than the saved ones", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        save(&counted(&bundle), &t.path("images"), &[]).ok();
        let with = |options: &[&str]| restore(&bundle, &t.path("images"), options);
        let mut modules = vec![("nosuch:x", "unknown lsm nosuch")];
        if need::apparmor().is_err() {
            modules.push(("apparmor:nosuch", "apparmor not supported by kernel"));
        }
        if need::path("/sys/fs/selinux/enforce").is_err() {
            modules.push(("selinux:x", "selinux not supported by kernel"));
        }
        for (profile, text) in modules {
            let (container, output) = with(&["--lsm-profile", profile]);
            output.fails().stderr(text);
            container.call("state").run().fails().stderr("does not exist");
        }
        // A context is for mounts that were saved with one.
        let (mut restored, output) = with(&["--lsm-mount-context", "nosuch"]);
        output.ok();
        counts(&mut restored, 3);
    }),
    test("checkpoint: restored in the foreground", &[], |t| {
        requires!(need::criu());
        for (options, images) in [(&[][..], "plain"), (&["--no-subreaper", "--no-pivot"], "without")] {
            let (bundle, images) = (counting(t), t.path(images));
            save(&counted(&bundle), &images, &[]).ok();
            let container = Container::named(bundle.coracle(), &bundle.id());
            let call = container.call("restore").args(options).arg("--bundle").arg(bundle.path());
            let mut running = with_criu(call).arg("--image-path").arg(images).spawn();
            // Its record is there before, and its process after.
            let pid = |output: &Output| output.code == 0 && !output.stdout.contains("\"pid\": 0");
            while !pid(&container.call("state").run()) {
                std::thread::yield_now();
            }
            container.kill("USR1").ok();
            assert_eq!(running.line(), "3");
            running.signal(nix::sys::signal::Signal::SIGTERM);
            running.wait().code(15);
            container.call("state").run().fails().stderr("does not exist");
        }
    }),
    test("checkpoint: hooks", &[], |t| {
        requires!(need::criu());
        let kinds = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        let hooks: Value =
            kinds.iter().map(|kind| ((*kind).to_owned(), hook(t, kind))).collect::<serde_json::Map<_, _>>().into();
        let bundle = counting(t).patch(json!({"hooks": hooks}));
        save(&counted(&bundle), &t.path("images"), &[]).ok();
        assert_eq!(noted(t).last().unwrap()["args"][0], "poststop");
        fs::remove_file(t.path("hooks")).unwrap();
        let (restored, output) = restore(&bundle, &t.path("images"), &[]);
        output.ok();
        let facts = noted(t);
        let ran: Vec<&Value> = facts.iter().map(|fact| &fact["args"][0]).collect();
        assert_eq!(ran, ["prestart", "createRuntime"]);
        assert!(facts.iter().all(|fact| fact["state"]["pid"] == restored.pid()), "{facts:?}");
        restored.call("delete").arg("--force").run().ok();
        assert_eq!(noted(t).last().unwrap()["args"][0], "poststop");
    }),
    test("checkpoint: mounts of the host, in a root file system without mount points", &[], |t| {
        requires!(need::criu());
        fs::create_dir(t.path("shared")).unwrap();
        fs::write(t.path("shared/file"), "below").unwrap();
        let bind = |source: PathBuf, at: &str| json!({"destination": at, "source": source, "options": ["bind", "ro"]});
        let shape = |bundle: Bundle| {
            let bundle = bundle.link("/mnt", "/link").mount(bind(t.path("shared"), "/link/dir"));
            bundle.mount(bind(t.path("shared/file"), "/etc/file"))
        };
        let (first, second) = (shape(counting(t)), shape(counting(t)));
        save(&counted(&first), &t.path("images"), &[]).ok();
        moved(t, &first, &second);
        let (mut restored, output) = restore(&second, &t.path("images"), &[]);
        output.ok();
        counts(&mut restored, 3);
        assert_eq!(file(&second), "1\n2\n3\n");
        restored.exec(["/guest", "read", "/mnt/dir/file"]).ok().says("below");
        restored.exec(["/guest", "read", "/etc/file"]).ok().says("below");
        restored.exec(["/guest", "write", "/etc/file"]).fails().stderr("Read-only file system");
        restored.exec(["/guest", "read", "/proc/keys"]).ok().says("");
    })
    .known(&[("runc", "leaves a read-only mount writable")]),
    test("checkpoint: a network namespace given by path, and one of its own", &[], |t| {
        requires!(need::criu());
        let holder = t.bundle().args(&["/guest", "trap"]).start();
        let path = format!("/proc/{}/ns/net", holder.pid());
        let inode = |path: String| fs::read_link(path).unwrap();
        let given = counting(t).namespace(json!({"type": "network", "path": path}));
        save(&counted(&given), &t.path("images"), &[]).ok();
        let (mut restored, output) = restore(&given, &t.path("images"), &[]);
        output.ok();
        counts(&mut restored, 3);
        assert_eq!(inode(path.clone()), inode(format!("/proc/{}/ns/net", restored.pid())));
        drop(restored);
        let own = counting(t);
        save(&counted(&own), &t.path("own"), &[]).ok();
        let (restored, output) = restore(&own, &t.path("own"), &[]);
        output.ok();
        assert_ne!(inode(path), inode(format!("/proc/{}/ns/net", restored.pid())));
        let up = restored.exec(["/guest", "read", "/sys/class/net/lo/flags"]);
        up.ok().says("0x9");
    })
    .known(&[("runc", "leaves lo down")]),
    test("checkpoint: a restore that fails leaves nothing", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        save(&counted(&bundle), &t.path("images"), &[]).ok();
        fs::write(t.path("images/core-1.img"), "").unwrap();
        let pid_file = t.path("pid");
        let options = ["--work-path", t.path("work").to_str().unwrap(), "--pid-file", pid_file.to_str().unwrap()]
            .map(str::to_owned);
        let (container, output) = restore(&bundle, &t.path("images"), &options.each_ref().map(String::as_str));
        output.fails().stderr("criu failed: type RESTORE errno 0").stderr(t.path("work/restore.log").to_str().unwrap());
        container.call("state").run().fails().stderr("does not exist");
        assert!(fs::metadata(pid_file).is_err());
        // The hook fails when the process is there already.
        let bundle = counting(t);
        save(&counted(&bundle), &t.path("hooked"), &[]).ok();
        let bundle =
            bundle.patch(json!({"hooks": {"prestart": [{"path": t.guest(), "args": ["guest", "exit", "3"]}]}}));
        bundle.save();
        let (container, output) = restore(&bundle, &t.path("hooked"), &[]);
        output.fails().stderr("error running prestart hook #0: exit status 3");
        container.call("state").run().fails().stderr("does not exist");
        restore(&bundle, &t.path("nosuch"), &[]).1.fails();
    })
    .known(&[("runc", "says it otherwise")]),
    test("checkpoint: what fails leaves the container as it was", &[], |t| {
        requires!(need::criu());
        let bundle = counting(t);
        let mut container = counted(&bundle);
        let (word, config) = (t.path("criu.conf"), t.path("images"));
        fs::write(&word, "log-file elsewhere.log\n").unwrap();
        save(&container, &config, &["--parent-path", "/abs"]).fails().stderr("--parent-path must be relative");
        save(&container, &config, &["--parent-path", "nosuch"]).fails().stderr("invalid --parent-path");
        save(&container, &config, &["--page-server", "nowhere"]).fails().stderr("Use --page-server ADDRESS:PORT");
        save(&container, &config, &["--page-server", "a:b"]).fails().stderr("Invalid port number");
        save(&container, &config, &["--manage-cgroups-mode", "x"]).fails().stderr("Invalid manage-cgroups-mode value");
        save(&container, &config, &["--empty-ns", "pid"]).fails().stderr("is not supported");
        counts(&mut container, 3);
        let created = bundle.create();
        save(&created, &config, &[]).fails().stderr("Container cannot be checkpointed in created state");
        save(&Container::named(bundle.coracle(), "nosuch"), &config, &[]).fails().stderr("does not exist");
        let annotated = counting(t).patch(json!({"annotations": {"org.criu.config": word}}));
        save(&counted(&annotated), &config, &[]).ok();
        assert!(fs::metadata(config.join("elsewhere.log")).is_ok_and(|log| log.len() > 0));
    })
    .known(&[("runc 1.1", "says it otherwise")]),
    test("checkpoint: without criu", &[], |t| {
        let bundle = counting(t);
        let mut container = counted(&bundle);
        let refused =
            container.call("checkpoint").arg("--image-path").arg(t.path("images")).env("PATH", "/nosuch").run();
        refused.fails().stderr("criu is not installed");
        counts(&mut container, 3);
        let call =
            bundle.coracle().call(["restore", "--image-path"]).arg(t.path("images")).arg("--bundle").arg(bundle.path());
        fs::create_dir_all(t.path("images")).unwrap();
        fs::write(t.path("images/descriptors.json"), "[]").unwrap();
        call.arg(bundle.id()).env("PATH", "/nosuch").run().fails().stderr("criu is not installed");
    })
    .known(&[("runc", "says it otherwise")]),
];
