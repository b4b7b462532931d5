//! `coracle check`: it agrees with what then happens, for good configurations and bad ones, and leaves no trace.
//! The broken bundles of `bad_bundles` are asked for there.

use std::fs;
use std::path::Path;

use integration::{Context, Output, Test, need, requires, test};
use serde_json::{Value, json};

use crate::differential::{CONFIGURATIONS, prepare};

fn check(t: &Context, bundle: &Path) -> Output {
    t.coracle().call(["check", "--format", "json"]).arg(bundle).run()
}

/// The findings of a level, as `at: text`.
fn findings(output: &Output, level: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["starts"], output.code == 0, "{}", output.stdout);
    let all = report["findings"].as_array().cloned().unwrap_or_default();
    let wanted = all.iter().filter(|finding| finding["level"] == level);
    wanted
        .map(|finding| format!("{}: {}", finding["at"].as_str().unwrap(), finding["text"].as_str().unwrap()))
        .collect()
}

/// What no look from outside shows: the name of a configuration of the comparison, and why.
const HIDDEN: &[(&str, &str)] = &[];

fn agrees_with_create(t: &Context) {
    requires!(need::verb(t, "check"));
    let (mut started, mut problems) = (0, Vec::new());
    for configuration in CONFIGURATIONS.iter() {
        let name = configuration["name"].as_str().unwrap();
        let bundle = prepare(t, configuration);
        bundle.save();
        let checked = check(t, bundle.path());
        let id = bundle.id();
        let created = t.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(&id).run();
        t.coracle().call(["delete", "--force"]).arg(&id).run().ok();
        started += usize::from(created.code == 0);
        let hidden = HIDDEN.iter().any(|(hidden, _)| *hidden == name);
        if (checked.code == 0) != (created.code == 0 || hidden) {
            let errors = findings(&checked, "error");
            problems.push(format!(
                "{name}\n    check: {errors:?}\n    create: {} {}",
                created.code,
                created.stderr.trim()
            ));
        }
        drop(fs::remove_dir_all(bundle.path()));
    }
    println!("{started} of {} configurations start", CONFIGURATIONS.len());
    assert!(problems.is_empty(), "{} of {}\n{}", problems.len(), CONFIGURATIONS.len(), problems.join("\n"));
}

fn finds_all_faults_at_once(t: &Context) {
    requires!(need::verb(t, "check"));
    let bundle = t.bundle().args(&["nosuchprogram"]).mount(json!({"destination": "/mnt", "source": "/nonexistent", "options": ["bind"]})).patch(json!({
        "process": {"cwd": "tmp", "oomScoreAdj": 5000, "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}, {"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]},
        "linux": {"sysctl": {"kernel.panic": "1"}, "resources": {"cpu": {"cpus": "none"}}, "maskedPaths": ["a", "b"]},
        "hooks": {"prestart": [{"path": "/nonexistent"}]}
    }));
    bundle.save();
    let output = check(t, bundle.path());
    output.code(1);
    let mut places: Vec<String> =
        findings(&output, "error").iter().map(|finding| finding.split(": ").next().unwrap().to_owned()).collect();
    places.sort();
    let wanted = [
        "/hooks/prestart/0/path",
        "/linux/maskedPaths/0",
        "/linux/resources/cpu/cpus",
        "/linux/sysctl/kernel.panic",
        "/mounts/7/source",
        "/process/args/0",
        "/process/cwd",
        "/process/oomScoreAdj",
        "/process/rlimits/0/type",
        "/process/rlimits/1/soft",
    ];
    assert_eq!(places, wanted, "{}", output.stdout);
}

fn explains_programs(t: &Context) {
    requires!(need::verb(t, "check"));
    let says = |bundle: integration::Bundle, text: &str| {
        bundle.save();
        let output = check(t, bundle.path());
        let errors = findings(&output.code(1).clone(), "error");
        assert!(errors.iter().any(|error| error.contains(text)), "{errors:?}");
    };
    let script = |text: &str| {
        let bundle = t.bundle().file("/tool", text).args(&["/tool"]);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bundle.rootfs().join("tool"), mode).unwrap();
        bundle
    };
    says(script("#!/bin/nosuchshell -e\n"), "its interpreter /bin/nosuchshell is missing");
    says(script("text"), "exec format error (ENOEXEC)");
    let dynamic = t.bundle().args(&["/tool"]);
    fs::copy("/bin/ls", dynamic.rootfs().join("tool")).unwrap();
    says(dynamic, "its loader /lib64/ld-linux");
    let bundle = t
        .bundle()
        .args(&["/mnt/guest", "exit", "0"])
        .mount(json!({"destination": "/mnt", "source": "rootfs", "options": ["bind"]}));
    bundle.save();
    check(t, bundle.path()).ok();
}

fn notes_what_is_unusual(t: &Context) {
    requires!(need::verb(t, "check"));
    let bundle = t.bundle().without_namespace("pid").mount(json!({"destination": "/mnt", "source": "/tmp", "options": ["bind"]})).patch(json!({
        "root": {"readonly": false}, "process": {"noNewPrivileges": false, "capabilites": {}, "user": {"uid": 7, "gid": 8}},
        "linux": {"maskedPaths": [], "resources": {"pids": {"limit": 30}}}, "windows": {},
        "hooks": {"poststop": [{"path": "/nonexistent"}]}
    }));
    bundle.save();
    let output = check(t, bundle.path());
    output.ok();
    let notes = findings(&output, "note");
    for wanted in [
        "/linux/namespaces: no pid namespace",
        "/root/readonly: what the container changes",
        "/process/noNewPrivileges: set-uid",
        "/process/user: the program runs as uid 7, gid 8",
        "/mounts/7: the host's /tmp is /mnt",
        "/linux/maskedPaths: not hidden",
        "/linux/resources/pids/limit: at most 30",
        "/hooks/poststop/0: /nonexistent is run",
        "/windows: is for other systems",
    ] {
        assert!(notes.iter().any(|note| note.starts_with(wanted)), "{wanted} is not in {notes:#?}");
    }
    let warnings = findings(&output, "warning");
    assert!(warnings.iter().any(|text| text.contains("\"capabilities\" may be meant")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.starts_with("/hooks/poststop/0/path")), "{warnings:?}");
}

fn answers_users_for_themselves(t: &Context) {
    requires!(need::verb(t, "check"));
    let bundle = t.bundle().args(&["/guest", "exit", "0"]);
    bundle.save();
    let user = t.coracle().launched("user=65534");
    let output = user.call(["check", "--format", "json"]).arg(bundle.path()).run();
    output.code(1);
    let errors = findings(&output, "error");
    assert!(errors.iter().any(|error| error.contains("rootless container requires user namespaces")), "{errors:?}");
    let machine = user.bare().args(["check"]).run();
    assert!(machine.stdout.contains("uid 65534"), "{}", machine.stdout);
}

fn usage(t: &Context) {
    requires!(need::verb(t, "check"));
    let bundle = t.bundle().args(&["/guest", "exit", "0"]);
    bundle.save();
    let call = |args: &[&str]| t.coracle().call(["check"]).args(args).run();
    let path = bundle.path().display().to_string();
    call(&[]).ok().stdout("this machine can run containers");
    for args in [&[path.as_str()][..], &["--bundle", &path], &["-b", &path, "--config", "config.json"]] {
        call(args).ok().stdout(" will start (0 errors, ");
    }
    call(&["/nonexistent"]).code(1).stdout("open bundle /nonexistent: no such file or directory");
    for args in [&["--format", "xml"][..], &["a", "b"], &["-b", "a", "b"], &["--frob"], &["--no-pivot"]] {
        call(args).code(2);
    }
    let json = t.coracle().call(["check", "--format", "json"]).run().json();
    assert_eq!(json["starts"], true);
    assert!(json["findings"].as_array().unwrap().iter().any(|finding| finding["at"] == "kernel"), "{json}");
}

/// The configurations that other programs write, with their paths made those of the bundle.
fn passes_those_of_others(t: &Context) {
    requires!(need::verb(t, "check"));
    for (name, text) in
        [("podman", include_str!("../data/podman.json")), ("docker", include_str!("../data/docker.json"))]
    {
        let bundle = t.bundle();
        let text = text.replace("@BUNDLE@", &bundle.path().display().to_string());
        fs::write(bundle.path().join("config.json"), text).unwrap();
        for file in ["hosts", "hostname", "resolv.conf", "containerenv"] {
            fs::write(bundle.path().join(file), "").unwrap();
        }
        fs::create_dir(bundle.path().join("shm")).unwrap();
        let output = check(t, bundle.path());
        assert_eq!((output.code, findings(&output, "error")), (0, vec![]), "{name}");
    }
    if need::program("/usr/sbin/runc").is_ok() {
        let bundle = t.bundle();
        t.tool("/usr/sbin/runc", &["spec", "--bundle", &bundle.path().display().to_string()]).run().ok();
        fs::hard_link(t.guest(), bundle.rootfs().join("bin/sh")).unwrap();
        check(t, bundle.path()).ok();
    }
}

pub const TESTS: &[Test] = &[
    test("check: agrees with create on all configurations of the comparison", &[], agrees_with_create),
    test("check: finds all faults at once", &[], finds_all_faults_at_once),
    test("check: explains why a program cannot run", &[], explains_programs),
    test("check: notes what is unusual", &[], notes_what_is_unusual),
    test("check: answers users for themselves", &[], answers_users_for_themselves),
    test("check: what it takes, and its exit codes", &[], usage),
    test("check: passes the configurations of runc, Podman and Docker", &[], passes_those_of_others),
];
