//! Options that are nobody else's subject. data/options.tsv says which test uses which.

use std::fs;

use integration::{Container, Test, need, requires, test};
use serde_json::json;

use crate::cgroups::{limited, v1};

pub const TESTS: &[Test] = &[
    test("options: another file than config.json", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "exit", "3"]);
        bundle.save();
        fs::rename(bundle.path().join("config.json"), bundle.path().join("other.json")).unwrap();
        let path = bundle.path().join("other.json");
        for (spelling, file) in [("--config", "other.json"), ("-f", path.to_str().unwrap())] {
            let run = t.coracle().call(["run", spelling, file, "--bundle"]).arg(bundle.path()).arg(bundle.id());
            run.run().code(3);
        }
        let create =
            t.coracle().call(["create", "--config", "nosuch.json", "--bundle"]).arg(bundle.path()).arg(bundle.id());
        create.run().fails().stderr("nosuch.json");
    })
    .known(&[("runc", "has no such option")]),
    test("options: a container is kept after its program", &[], |t| {
        let bundle = t.bundle().args(&["/guest", "exit", "4"]);
        bundle.save();
        let container = Container::named(&t.coracle(), &bundle.id());
        let run = t.coracle().call(["run", "--keep", "--bundle"]).arg(bundle.path()).arg(container.id());
        run.run().code(4);
        assert_eq!((container.status().as_str(), container.state()["pid"].as_i64()), ("stopped", Some(0)));
        container.delete().ok();
    })
    .known(&[("runc 1.1.5", "is compared where it has the option")]),
    test("options: killing all of a container that has stopped is no error", &[], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        container.call("kill").args(["--all", "KILL"]).run().ok();
        assert_eq!(container.wait(), 137);
        container.kill("KILL").fails().stderr("container not running");
        for all in ["--all", "-a"] {
            container.call("kill").args([all, "KILL"]).run().ok();
        }
    }),
    test("options: without adopting orphans", &[], |t| {
        t.bundle().args(&["/guest", "exit", "5"]).run_with(&["--no-subreaper"]).code(5);
    }),
    test("options: a label needs SELinux", &[], |t| {
        if fs::metadata("/sys/fs/selinux/enforce").is_ok() {
            integration::skip("SELinux is enabled here");
        }
        let mut container = t.bundle().args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        let exec = container.exec_with(&["--process-label", "system_u:system_r:container_t:s0"], &["/guest", "print"]);
        exec.code(255).stderr("selinux is disabled or not supported");
    }),
    test("options: limits that few kernels have", &[], |t| {
        requires!(need::v1("cpu"));
        let (bundle, name) = limited(t, json!({}));
        let container = bundle.create();
        let update = |options: &[&str]| t.coracle().call(["update"]).args(options).arg(container.id()).run();
        update(&["--kernel-memory-tcp", "1m", "--kernel-memory", "1m"])
            .ok()
            .stderr("Kernel memory settings are ignored");
        for option in ["--l3-cache-schema=L3:0=f", "--mem-bw-schema=MB:0=20"] {
            update(&[option]).fails().stderr("Intel RDT");
        }
        let real_time = update(&["--cpu-rt-period", "1000000", "--cpu-rt-runtime", "1000"]);
        if fs::metadata(format!("/sys/fs/cgroup/cpu/{name}/cpu.rt_runtime_us")).is_ok() {
            real_time.ok();
            assert_eq!(v1("cpu", &name, "cpu.rt_runtime_us"), "1000");
        } else {
            real_time.fails().stderr("rt_");
        }
        let weight = update(&["--blkio-weight", "300"]);
        let file = ["blkio.bfq.weight", "blkio.weight"]
            .into_iter()
            .find(|file| fs::metadata(format!("/sys/fs/cgroup/blkio/{name}/{file}")).is_ok());
        match file {
            Some(file) => {
                weight.ok();
                assert!(v1("blkio", &name, file).contains("300"));
            }
            None => drop(weight.fails().stderr("weight")),
        }
    })
    .known(&[("runc", "ignores what is not there")]),
    test("options: all of checkpoint and restore are known", &[], |t| {
        let common = [
            "--tcp-established",
            "--ext-unix-sk",
            "--shell-job",
            "--file-locks",
            "--lazy-pages",
            "--auto-dedup",
            "--empty-ns",
            "network",
            "--manage-cgroups-mode",
            "soft",
        ];
        let checkpoint = [
            "--leave-running",
            "--tcp-skip-in-flight",
            "--link-remap",
            "--pre-dump",
            "--status-fd",
            "1",
            "--page-server",
            "127.0.0.1:1",
            "--parent-path",
            "x",
        ];
        let known = t.coracle().call(["checkpoint"]).args(common).args(checkpoint).arg("nosuchthing").run();
        known.fails();
        let restore = [
            "--lsm-profile",
            "apparmor:x",
            "--lsm-mount-context",
            "x",
            "--detach",
            "--no-subreaper",
            "--no-pivot",
            "--pid-file",
            "pid",
            "--console-socket",
            "x",
            "--image-path",
            "i",
            "--work-path",
            "w",
            "--bundle",
            "/nosuchbundle",
        ];
        let more = t.coracle().call(["restore"]).args(common).args(restore).arg("nosuchthing").run();
        more.fails();
        for output in [known, more] {
            assert!(!output.stderr.contains("flag"), "{}", output.stderr);
        }
        t.coracle().call(["checkpoint", "--frob", "x"]).run().fails().stderr("flag provided but not defined");
    }),
    test("options: systemd is asked by either spelling", &[], |t| {
        if fs::metadata("/run/systemd/system").is_ok() {
            integration::skip("systemd runs here; the tests of limits have it make cgroups");
        }
        let bundle = t.bundle();
        bundle.save();
        for option in ["--systemd-cgroup", "--cgroup-manager=systemd"] {
            let run = t.coracle().option(option).call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
            run.fails().stderr("systemd");
        }
    })
    .known(&[("runc", "has one spelling")]),
    test("options: a log, its form, and more of it", &[], |t| {
        let (log, bundle) = (t.path("log"), t.bundle().args(&["/guest", "exit", "0"]));
        bundle.save();
        let call = t.coracle().bare().args(["--debug", "--log-format", "json", "--rootless=false", "--log"]).arg(&log);
        let run = call.arg("--root").arg(t.root()).args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        run.ok();
        let text = fs::read_to_string(&log).unwrap();
        let entries: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(entries.iter().any(|entry| entry["level"] == "debug" && entry["file"].is_string()), "{text}");
    }),
];
