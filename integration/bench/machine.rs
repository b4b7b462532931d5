//! The machine: its cgroups, its kernel, its programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use crate::Options;

const MOUNT: &str = "/sys/fs/cgroup";

fn is_v2() -> bool {
    fs::symlink_metadata(Path::new(MOUNT).join("cgroup.controllers")).is_ok()
}

/// What to measure with: what the machine has, and v2 alone.
pub fn cgroups() -> Vec<&'static str> {
    if is_v2() { vec!["v2"] } else { vec!["v2", "v1"] }
}

/// Has this process see these cgroups, and be the parent of every container whose own has ended.
pub fn enter(cgroups: &str) {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("make mounts private");
    match cgroups {
        "v1" => v1_alone(),
        _ if is_v2() => {}
        _ => mount(Some("cgroup2"), MOUNT, Some("cgroup2"), MsFlags::empty(), none).expect("mount cgroup2"),
    }
    nix::sys::prctl::set_child_subreaper(true).expect("become a subreaper");
}

/// The hierarchies of v1 without the tree of v2 beside them: some runtimes refuse a machine that has both.
fn v1_alone() {
    let text = fs::read_to_string("/proc/self/cgroup").expect("/proc/self/cgroup");
    mount(Some("cgroup"), MOUNT, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).expect("mount a tmpfs");
    for controllers in text.lines().filter_map(|line| line.split(':').nth(1)).filter(|names| !names.is_empty()) {
        let to = Path::new(MOUNT).join(controllers.trim_start_matches("name="));
        fs::create_dir(&to).expect("a directory for a hierarchy");
        mount(Some("cgroup"), &to, Some("cgroup"), MsFlags::empty(), Some(controllers)).expect("mount a hierarchy");
    }
}

fn first_line(path: &Path, args: &[&str]) -> String {
    let said = Command::new(path).args(args).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().to_owned()
}

/// Kernel, processors and versions.
pub fn describe(options: &Options) -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let versions: Vec<String> =
        options.runtimes.iter().map(|path| first_line(path, &["--version"])).filter(|line| !line.is_empty()).collect();
    let sizes = options.runtimes.iter().filter_map(|path| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        Some((name, json!(fs::metadata(path).ok()?.len() / 1024)))
    });
    json!({
        // Without the name of a build, which says nothing to others.
        "kernel": read("/proc/sys/kernel/osrelease").split('-').next(),
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "model": model.unwrap_or_default(),
        "load": read("/proc/loadavg").split(' ').next(),
        "versions": versions,
        "binary_kib": sizes.collect::<serde_json::Map<_, _>>(),
        "rounds": options.rounds,
    })
}
