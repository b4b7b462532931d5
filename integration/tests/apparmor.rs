//! AppArmor: the profile of the container's program and of further ones, where the kernel enforces it.

use integration::{Bundle, Context, Coracle, Test, need, requires, test};
use serde_json::json;

/// Profiles that are loaded as long as this lives. Each denies one file.
struct Profiles<'a> {
    t: &'a Context,
    names: Vec<String>,
}

impl Profiles<'_> {
    fn load<'a>(t: &'a Context, denied: &[&str]) -> Profiles<'a> {
        requires!(need::apparmor());
        let mut profiles = Profiles { t, names: Vec::new() };
        for path in denied {
            let name = t.unique();
            let rules = format!("file, capability, network, signal, unix, mount, umount, deny {path} rwklx,");
            let text = format!("profile {name} flags=(attach_disconnected) {{ {rules} }}\n");
            profiles.parser("--replace", &text);
            profiles.names.push(name);
        }
        profiles
    }

    fn parser(&self, verb: &str, text: &str) {
        let call = self.t.tool("/sbin/apparmor_parser", &["--skip-cache", "--quiet", verb]);
        call.stdin(text).run().ok();
    }
}

impl Drop for Profiles<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            self.parser("--remove", &format!("profile {name} {{ }}\n"));
        }
    }
}

const CURRENT: [&str; 3] = ["/guest", "read", "/proc/self/attr/current"];

fn confined(t: &Context, profile: &str, no_new_privileges: bool) -> Bundle {
    let process = json!({"apparmorProfile": profile, "noNewPrivileges": no_new_privileges});
    t.bundle().patch(json!({"process": process})).file("/one", "1").file("/two", "2").args(&["/guest", "trap"])
}

/// The labels of further processes, in containers with a profile and without.
fn labels(t: &Context, coracle: Coracle, first: &str, second: &str) -> Vec<String> {
    let (named, plain) = (t.path("named.json"), t.path("plain.json"));
    let process = json!({"args": CURRENT, "cwd": "/", "user": {"uid": 5, "gid": 6}, "env": []});
    let mut with_profile = process.clone();
    with_profile["apparmorProfile"] = json!(second);
    std::fs::write(&plain, process.to_string()).unwrap();
    std::fs::write(&named, with_profile.to_string()).unwrap();
    let files = [named.to_str().unwrap(), plain.to_str().unwrap()];
    let ways: [&[&str]; 4] = [
        &["--user", "1000:1000", "--cap", "CAP_CHOWN"],
        &["--apparmor", second, "--no-new-privs", "--user", "1000:1000"],
        &["--process", files[0]],
        &["--process", files[1]],
    ];
    let mut labels = Vec::new();
    for (profile, no_new_privileges) in [(first, true), ("", false)] {
        let mut container = confined(t, profile, no_new_privileges).with(coracle.clone()).start();
        assert_eq!(container.line(), "ready");
        for way in ways {
            let call = coracle.call(["exec"]).args(way).arg(container.id());
            let output = if way.starts_with(&["--process"]) { call.run() } else { call.args(CURRENT).run() };
            let label = output.ok().stdout.trim().to_owned();
            labels.push(format!("{profile:?} {way:?}: {label}"));
        }
    }
    labels
}

pub const TESTS: &[Test] = &[
    test("apparmor: the program and further ones are confined", &[134], |t| {
        let profiles = Profiles::load(t, &["/one", "/two"]);
        let (first, second) = (&profiles.names[0], &profiles.names[1]);
        for no_new_privileges in [true, false] {
            let bundle = confined(t, first, no_new_privileges);
            confined(t, first, no_new_privileges).args(&CURRENT).run().ok().says(&format!("{first} (enforce)"));
            let mut container = bundle.start();
            assert_eq!(container.line(), "ready");
            let own = std::fs::read_to_string(format!("/proc/{}/attr/current", container.pid())).unwrap();
            assert_eq!(own.trim(), format!("{first} (enforce)"));
            container.exec(CURRENT).ok().says(&format!("{first} (enforce)"));
            container.exec(["/guest", "read", "/one"]).fails().stderr("Permission denied");
            container.exec(["/guest", "read", "/two"]).ok().says("2");
            let other = ["--apparmor", second];
            container.exec_with(&other, &CURRENT).ok().says(&format!("{second} (enforce)"));
            container.exec_with(&other, &["/guest", "read", "/one"]).ok().says("1");
            container.exec_with(&other, &["/guest", "read", "/two"]).fails().stderr("Permission denied");
        }
    }),
    test("apparmor: the labels of further processes are as another runtime's", &[134], |t| {
        requires!(need::program("/usr/sbin/runc"));
        let profiles = Profiles::load(t, &["/one", "/two"]);
        let (first, second) = (&profiles.names[0], &profiles.names[1]);
        let ours = labels(t, t.coracle(), first, second);
        // All three are seen: else the comparison would be of nothing.
        for label in [format!("{first} (enforce)"), format!("{second} (enforce)"), "unconfined".to_owned()] {
            assert!(ours.iter().any(|line| line.ends_with(&format!(": {label}"))), "{label}: {ours:#?}");
        }
        let mut theirs = labels(t, t.peer("/usr/sbin/runc"), first, second);
        for line in theirs.iter_mut().filter(|_| need::coracle(t).is_ok()) {
            // A file without a profile: the container's counts (docs/cli.md), while runc's program is then free.
            if line.contains("plain.json") && line.starts_with(&format!("{first:?}")) {
                *line = line.replace(": unconfined", &format!(": {first} (enforce)"));
            }
        }
        assert_eq!(ours, theirs);
    }),
    test("apparmor: in a user namespace", &[134], |t| {
        let profiles = Profiles::load(t, &["/one"]);
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let bundle = confined(t, &profiles.names[0], true).namespace(json!({"type": "user"}));
        let bundle = bundle.patch(json!({"linux": {"uidMappings": map, "gidMappings": map}}));
        bundle.args(&["/guest", "read", "/one"]).run().fails().stderr("Permission denied");
    }),
    test(
        "apparmor: CVE-2025-52881 CVE-2019-16884, a label goes to the kernel, not to what is mounted there",
        &[134],
        |t| {
            let profiles = Profiles::load(t, &["/one"]);
            let fake = "for name in attr/exec attr/apparmor/exec; do \
            mkdir -p $ROOT/proc/1/$(dirname $name); printf fake >$ROOT/proc/1/$name; done";
            let over = |script: &str| format!("mount -t tmpfs fake $ROOT/proc; ln -s 1 $ROOT/proc/self; {script}");
            for script in ["mount --bind $FAKE $ROOT/proc/1/attr/apparmor/exec".to_owned(), over(fake)] {
                let file = t.path("fake");
                std::fs::write(&file, "fake").unwrap();
                let bundle = confined(t, &profiles.names[0], true)
                    .patch(json!({"linux": {"maskedPaths": null, "readonlyPaths": null}}));
                let places = format!("set -e; ROOT='{}'; FAKE='{}'; ", bundle.rootfs().display(), file.display());
                let env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"];
                let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", places + &script], "env": env});
                let mut container = bundle.patch(json!({"hooks": {"createContainer": [hook]}})).start();
                assert_eq!(container.line(), "ready");
                let own = std::fs::read_to_string(format!("/proc/{}/attr/current", container.pid())).unwrap();
                assert_eq!(own.trim(), format!("{} (enforce)", profiles.names[0]));
                assert_eq!(std::fs::read_to_string(&file).unwrap(), "fake");
            }
        },
    )
    .known(&[("runc 1.1", "writes it to whatever is there")]),
    test("apparmor: without a profile it is that of the caller", &[], |t| {
        requires!(need::apparmor());
        t.bundle().args(&CURRENT).run().ok().says("unconfined");
    }),
    test("apparmor: a profile that is not loaded is an error that names it", &[134], |t| {
        let profiles = Profiles::load(t, &["/one"]);
        confined(t, "nosuch", true).run().fails().stderr("nosuch").stderr("no such file or directory");
        let mut container = confined(t, &profiles.names[0], true).start();
        assert_eq!(container.line(), "ready");
        container.exec_with(&["--apparmor", "nosuch"], &CURRENT).fails().stderr("nosuch");
        container.exec(["/guest", "read", "/two"]).ok().says("2");
    })
    .known(&[("runc", "does not name it")]),
];
