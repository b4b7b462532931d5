//! The runtime with too little of something: descriptors, disk, memory, processes, streams; with a clock that went back;
//! and after a reboot.

use std::fs;
use std::path::{Path, PathBuf};

use integration::{Bundle, Container, Context, HostMount, Output, Test, need, requires, test};
use serde_json::{Value, json};

use crate::rootless;

/// A run that either worked, or says what is missing in one line; and can be repeated when there is enough.
#[track_caller]
fn orderly(bundle: &Bundle, output: &Output, id: &str, reasons: &[&str]) -> bool {
    if output.code != 0 {
        output.fails().stderr_any(reasons);
        let state = bundle.coracle().call(["state", id]).run();
        state.code(1).stderr("does not exist");
    }
    output.code == 0
}

fn run_in(bundle: &Bundle, launched: &str, id: &str) -> Output {
    let coracle = bundle.coracle().clone().launched(launched);
    coracle.call(["run", "--bundle"]).arg(bundle.path()).arg(id).run()
}

fn descriptors(t: &Context) {
    let bundle = t.bundle().patch(json!({"process": {"rlimits": null}})).args(&["/guest", "exit", "0"]);
    bundle.save();
    let mut worked = None;
    for limit in 3..40 {
        let id = bundle.id();
        // The C library's start-up needs a few of its own before there is a runtime.
        let output = run_in(&bundle, &format!("nofile={limit}"), &id);
        if orderly(&bundle, &output, &id, &["EMFILE", "too many open files"]) {
            worked = worked.or(Some(limit));
        } else {
            assert_eq!(worked, None, "it worked with fewer than {limit}");
        }
    }
    assert!(worked.is_some(), "40 descriptors are not enough");
}

fn full_disk(t: &Context) {
    let disk = HostMount::tmpfs(&t.path("disk"), "size=64k,nr_inodes=16");
    // A program that writes nothing: nobody reads.
    let bundle = t.bundle().args(&["/guest", "mute"]);
    bundle.save();
    let coracle = |verb: &str| bundle.coracle().bare().arg("--root").arg(disk.path().join("root")).arg(verb);
    let id = bundle.id();
    coracle("create").arg("--bundle").arg(bundle.path()).arg(&id).run().ok();
    let ballast = disk.path().join("ballast");
    let filled = fs::write(&ballast, vec![0; 1 << 20]).unwrap_err();
    assert_eq!(filled.raw_os_error(), Some(nix::libc::ENOSPC));
    let other = bundle.id();
    let output = coracle("create").arg("--bundle").arg(bundle.path()).arg(&other).run();
    output.fails().stderr("ENOSPC");
    coracle("state").arg(&other).run().code(1).stderr("does not exist");
    // What is there can be used and removed without room.
    coracle("start").arg(&id).run().ok();
    coracle("update").args(["--pids-limit", "50"]).arg(&id).run().fails().stderr("ENOSPC");
    coracle("kill").args([&id, "KILL"]).run().ok();
    coracle("delete").args(["--force", &id]).run().ok();
    fs::remove_file(ballast).unwrap();
    coracle("create").arg("--bundle").arg(bundle.path()).arg(&other).run().ok();
    coracle("delete").args(["--force", &other]).run().ok();
    assert_eq!(fs::read_dir(disk.path().join("root")).unwrap().count(), 0);
}

fn read_only_root(t: &Context) {
    let disk = HostMount::tmpfs(&t.path("disk"), "ro");
    let bundle = t.bundle();
    bundle.save();
    let call = bundle.coracle().bare().arg("--root").arg(disk.path().join("root"));
    let output = call.args(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
    output.fails().stderr("EROFS").stderr(&disk.path().to_string_lossy());
}

/// A memory cgroup of the harness's own below the one it is in.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    fn new(name: &str, limit: u64) -> MemoryGroup {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        let path = own.lines().find_map(|line| line.split_once(":memory:")).unwrap().1;
        let group = Path::new("/sys/fs/cgroup/memory").join(path.trim_start_matches('/')).join(name);
        fs::create_dir(&group).unwrap();
        fs::write(group.join("memory.limit_in_bytes"), limit.to_string()).unwrap();
        MemoryGroup(group)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn memory(t: &Context) {
    requires!(need::v1("memory"));
    // The container's cgroups do not depend on those of who deletes it.
    let path = json!({"linux": {"cgroupsPath": format!("/{}", t.unique())}});
    let bundle = t.bundle().patch(path).args(&["/guest", "exit", "0"]);
    bundle.save();
    let mut seen = (false, false);
    for kibibytes in [64, 128, 192, 256, 384, 512, 768, 1024, 2048, 8192] {
        let group = MemoryGroup::new(&t.unique(), kibibytes << 10);
        let id = bundle.id();
        let output = run_in(&bundle, &format!("memory={}", group.0.display()), &id);
        if output.code == 0 {
            seen.0 = true
        } else {
            seen.1 = true
        }
        // Killed for want of memory, or told so; in either case nothing may stay that cannot be removed.
        bundle.coracle().call(["delete", "--force", &id]).run().ok();
    }
    assert_eq!(seen, (true, true), "(worked, failed) at one of the limits");
}

/// A user nobody else is, so that nobody else's processes count.
const LONELY: u32 = 61_234;

fn processes(t: &Context) {
    let itself = json!([{"containerID": 0, "hostID": LONELY, "size": 1}]);
    let bundle = rootless::bundle_of(t, LONELY, &itself).patch(json!({"process": {"rlimits": null}}));
    let bundle = bundle.args(&["/guest", "exit", "0"]);
    bundle.save();
    // The runtime is one of them; root is not counted (RLIMIT_NPROC of setrlimit(2)).
    let mut seen = (false, false);
    for limit in 0..6 {
        let id = bundle.id();
        let output = run_in(&bundle, &format!("nproc={limit}"), &id);
        let worked = orderly(&bundle, &output, &id, &["EAGAIN"]);
        assert!(worked || !seen.0, "it worked with fewer than {limit}");
        seen = (seen.0 || worked, seen.1 || !worked);
    }
    assert_eq!(seen, (true, true), "(worked, failed) at one of the limits");
}

/// The clock was set back, or was wrong when the container was made: it comes from the future.
fn from_the_future(t: &Context) {
    let mut container = t.bundle().args(&["/guest", "trap"]).start();
    let future = "2999-12-31T23:59:59.999999999Z";
    edit(t, &container, |state| state["created"] = json!(future));
    assert_eq!((container.status(), container.state()["created"].clone()), ("running".into(), json!(future)));
    let list = t.coracle().call(["list"]).run();
    assert!(list.stdout.lines().any(|line| line.contains(container.id()) && line.contains(future)), "{}", list.stdout);
    container.exec(["/guest", "exit", "3"]).code(3);
    container.kill("KILL").ok();
    container.wait();
    assert_eq!(container.status(), "stopped");
    container.delete().ok();
}

fn closed_streams(t: &Context) {
    let bundle = t.bundle().args(&["/guest", "exit", "7"]);
    bundle.save();
    for streams in ["0", "1", "2", "0,1", "0,1,2"] {
        let output = run_in(&bundle, &format!("close={streams}"), &bundle.id());
        assert_eq!(output.code, 7, "without {streams}: {}", output.stderr);
    }
}

/// Changes what is recorded of a container.
fn edit(t: &Context, container: &Container, change: impl FnOnce(&mut Value)) {
    let file = t.root().join(container.id()).join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut state);
    fs::write(&file, state.to_string()).unwrap();
}

/// What a reboot leaves: the state directory, if it is not in a tmpfs.
fn rebooted(t: &Context, change: impl FnOnce(&mut Value)) -> (Bundle, Container) {
    let bundle = t.bundle().args(&["/guest", "trap"]);
    let mut container = bundle.start();
    container.kill("KILL").ok();
    container.wait();
    edit(t, &container, change);
    (bundle, container)
}

fn remove_cgroups(location: &Value) {
    match location {
        Value::String(path) if path.starts_with("/sys/fs/cgroup/") => drop(fs::remove_dir(path)),
        Value::Array(list) => list.iter().for_each(remove_cgroups),
        Value::Object(members) => members.values().for_each(remove_cgroups),
        _ => {}
    }
}

pub const TESTS: &[Test] = &[
    test("shortage: with too few descriptors a container starts or the error says so", &[], descriptors),
    test("shortage: a full disk under the state directory", &[], full_disk),
    test("shortage: a read-only state directory", &[], read_only_root),
    test("shortage: memory for the runtime itself", &[], memory),
    test("shortage: processes for the runtime itself", &[], processes),
    test("shortage: a container from the future, as the clock was set back", &[], from_the_future),
    test("shortage: closed standard streams", &[], closed_streams),
    test("shortage: after a reboot the container has stopped and can be deleted", &[], |t| {
        let (_bundle, container) = rebooted(t, |state| remove_cgroups(&state["cgroup"]));
        assert_eq!(container.status(), "stopped");
        container.kill("KILL").fails().stderr("not running");
        container.delete().ok();
    }),
    test("shortage: a process id that is another process's now is not the container's", &[], |t| {
        let other = std::process::id();
        let (_bundle, container) = rebooted(t, |state| state["init"]["pid"] = json!(other));
        assert_eq!(container.status(), "stopped");
        container.kill("KILL").fails().stderr("not running");
        container.exec(["/guest", "exit", "0"]).fails();
        container.delete().ok();
    }),
];
