//! What a run may not leave behind: mounts, cgroups, processes, keyrings, sockets, network namespaces and devices, pinned
//! BPF objects, state directories, temporary files. What nobody holds by a process, a mount or a name, the kernel removes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Places where a runtime keeps things, of which only what carries the token of this run is looked at.
const PLACES: [&str; 11] = [
    "/run",
    "/run/runc",
    "/run/crun",
    "/run/coracle",
    "/run/netns",
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/dev/mqueue",
    "/sys/class/net",
    "/sys/fs/bpf",
];
/// Lists of the kernel's, of which only lines with the token count: all keyrings, all sockets that have a name.
const LISTS: [(&str, &str); 2] = [("key", "/proc/keys"), ("socket", "/proc/net/unix")];
/// How long what has ended may take to be gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// A sorted list of everything found; the difference of two is what leaked in between.
#[derive(Debug)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Looks at the host. `token` is part of the name of everything this run makes.
    pub fn take(token: &str) -> Snapshot {
        let mut found = BTreeSet::new();
        found.extend(mounts().into_iter().map(|(id, point)| format!("mount {id} on {point}")));
        cgroups(Path::new("/sys/fs/cgroup"), token, &mut found);
        for place in PLACES {
            let names = fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.file_name());
            let names = names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains(token));
            found.extend(names.map(|name| format!("{place}/{name}")));
        }
        for (kind, list) in LISTS {
            let text = fs::read_to_string(list).unwrap_or_default();
            let names = text.lines().filter(|line| line.contains(token)).filter_map(|line| named(line, token));
            found.extend(names.map(|name| format!("{kind} {name}")));
        }
        found.extend(children());
        Snapshot(found)
    }

    /// What is there now and was not before, when what has ended has had time to go.
    pub fn left(&self, token: &str) -> Vec<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            reap();
            let left = Snapshot::take(token).since(self);
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What is there now and was not before.
    fn since(&self, before: &Snapshot) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

/// The word of a line that has the token: other words are numbers that change.
fn named(line: &str, token: &str) -> Option<String> {
    line.split_whitespace().find(|word| word.contains(token)).map(|word| word.trim_end_matches(':').to_owned())
}

/// Id and mount point of every mount of this mount namespace.
pub fn mounts() -> Vec<(String, String)> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let field = |line: &str, index| line.split(' ').nth(index).unwrap_or_default().to_owned();
    text.lines().map(|line| (field(line, 0), field(line, 4))).collect()
}

fn cgroups(directory: &Path, token: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().contains(token) {
            found.insert(format!("cgroup {}", entry.path().display()));
        }
        cgroups(&entry.path(), token, found);
    }
}

/// Live children. As this process is the child subreaper, every lost descendant has become one.
fn children() -> Vec<String> {
    let line = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
    family().filter(|(_, dead)| !dead).map(|(pid, _)| format!("process {pid} {}", line(pid))).collect()
}

/// Every child: its process id, and whether it has ended.
fn family() -> impl Iterator<Item = (i32, bool)> {
    let own = std::process::id().to_string();
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(move |entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next(), fields.next());
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        (parent == Some(own.as_str())).then_some((pid, state == Some("Z")))
    })
}

/// Takes the exit status of dead children other than `but`, as the first process of a host does for orphans: a process
/// of a container that nobody reaps keeps its pid namespace, and with it the container's first process, from ending.
pub fn reap_orphans(but: i32) {
    for (pid, _) in family().filter(|(pid, dead)| *dead && *pid != but) {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

/// The same, but for those children that somebody waits for; nobody may start one while the set is locked.
pub fn reap_orphans_but(own: &Mutex<BTreeSet<i32>>) {
    let own = own.lock().unwrap();
    for (pid, _) in family().filter(|(pid, dead)| *dead && !own.contains(pid)) {
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

/// Takes the exit status of every dead process that was left to this one. Only when no test is running.
pub fn reap() {
    while matches!(waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)), Ok(status) if status != WaitStatus::StillAlive)
    {
    }
}
