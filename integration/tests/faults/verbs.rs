//! The verbs that are tried, each with what must be there before and what may be there after.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use integration::{Action, Bundle, Call, Coracle, Fault, Trace, criu_path, reap_orphans};

use serde_json::{Value, json};

use super::trial::Tried;

/// Where a container stands; `Absent` when there is none of that id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Absent,
    Created,
    Running,
    Paused,
    Stopped,
}

/// A verb to try.
pub struct Verb {
    pub name: &'static str,
    /// What is done to the configuration.
    pub patch: fn() -> Value,
    /// The container before it.
    pub before: Status,
    /// The command line: options and operands by [`Subject`].
    pub args: fn(&Subject<'_>) -> Vec<String>,
    /// Whether the container's first process is traced along.
    pub with_init: bool,
    /// The container after it, when it succeeded.
    pub after: &'static [Status],
    /// The container after it, when it failed of itself.
    pub failed: &'static [Status],
    /// What else must hold after it; with whether it succeeded.
    pub holds: fn(&Subject<'_>, bool) -> Result<(), String>,
}

/// The one container of a trial.
pub struct Subject<'a> {
    pub bundle: &'a Bundle,
    pub coracle: &'a Coracle,
    pub id: String,
}

impl Subject<'_> {
    pub fn call(&self, verb: &str) -> Call {
        self.coracle.call([verb])
    }

    /// The whole command line of a verb.
    pub fn verb(&self, verb: &Verb) -> Call {
        self.coracle.call((verb.args)(self)).env("PATH", criu_path())
    }

    /// Brings a container into being that stands where the verb wants it.
    pub fn prepare(&self, before: Status) {
        let id = self.id.as_str();
        let bundle = self.bundle.path();
        match before {
            Status::Absent => {}
            Status::Created => self.quiet(&self.call("create").arg("--bundle").arg(bundle).arg(id)),
            _ => self.quiet(&self.call("run").args(["--detach", "--bundle"]).arg(bundle).arg(id)),
        }
        match before {
            Status::Paused => drop(self.call("pause").arg(id).run().ok()),
            Status::Stopped => {
                self.call("kill").args([id, "KILL"]).run().ok();
                while self.status().unwrap() != Status::Stopped {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            _ => {}
        }
    }

    /// Runs a call which must succeed, with its streams in a file: the container keeps them.
    pub fn quiet(&self, call: &Call) {
        self.try_quiet(call).unwrap();
    }

    /// The same, which may fail.
    pub fn try_quiet(&self, call: &Call) -> Result<(), String> {
        quiet(call, &self.bundle.path().join("quiet"))
    }

    /// `delete --force`, which must always work.
    pub fn delete(&self) -> Result<(), String> {
        let deleted = self.try_quiet(&self.call("delete").args(["--force", &self.id]));
        deleted.map_err(|problem| format!("delete --force: {problem}"))
    }

    /// What `state` says, when what was going on has ended.
    pub fn status(&self) -> Result<Status, String> {
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            match self.status_now() {
                Err(text) if text.contains("creating") && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                status => return status,
            }
        }
    }

    fn status_now(&self) -> Result<Status, String> {
        let output = self.call("state").arg(&self.id).run();
        if output.code != 0 && ["does not exist", "No such file"].iter().any(|text| output.stderr.contains(text)) {
            return Ok(Status::Absent);
        }
        let state: Value = serde_json::from_str(&output.stdout).map_err(|_| format!("state: {}", output.stderr))?;
        match state["status"].as_str() {
            Some("created") => Ok(Status::Created),
            Some("running") => Ok(Status::Running),
            Some("paused") => Ok(Status::Paused),
            Some("stopped") => Ok(Status::Stopped),
            other => Err(format!("state says {other:?}")),
        }
    }

    /// The host's pid of its first process.
    pub fn pid(&self) -> Option<i32> {
        let state: Value = serde_json::from_str(&self.call("state").arg(&self.id).run().stdout).ok()?;
        i32::try_from(state["pid"].as_i64()?).ok().filter(|pid| *pid > 0)
    }
}

/// Runs a call, with its streams in the file `text`, and reaps meanwhile what it leaves to this process.
pub fn quiet(call: &Call, text: &Path) -> Result<(), String> {
    let file = fs::File::options().write(true).create(true).truncate(true).open(text).unwrap();
    let again = || file.try_clone().unwrap();
    let mut child = call.command().stdin(again()).stdout(again()).stderr(again()).spawn().unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        reap_orphans(child.id().cast_signed());
        std::thread::sleep(Duration::from_millis(1));
    };
    if status.success() { Ok(()) } else { Err(format!("{status}: {}", fs::read_to_string(text).unwrap_or_default())) }
}

/// A verb of the runtime and the container it is tried with.
pub struct Runtime<'a> {
    pub subject: Subject<'a>,
    pub verb: &'a Verb,
}

impl Tried for Runtime<'_> {
    fn prepare(&self) {
        self.subject.prepare(self.verb.before);
    }

    fn call(&self) -> Call {
        self.subject.verb(self.verb)
    }

    fn waits_for_child(&self) -> bool {
        self.verb.name == "checkpoint"
    }

    fn along(&self) -> Option<i32> {
        if self.verb.with_init { self.subject.pid() } else { None }
    }

    fn judge(&self, fault: Fault, result: &Trace) -> Result<(), String> {
        let Runtime { subject, verb } = self;
        let list = subject.call("list").run();
        if list.code != 0 {
            return Err(format!("list: {}", list.stderr));
        }
        let status = subject.status()?;
        let killed = matches!(fault.action, Action::KillBefore | Action::KillAfter);
        let allowed = if result.code == 0 { verb.after } else { verb.failed };
        // Who is killed cannot clean up: then only what a later `delete --force` makes of it counts. Nor can one whose
        // first process was killed promise that it lives.
        if !(killed || result.code > 128 && result.code != 255) {
            if !allowed.contains(&status) {
                return Err(format!("exit code {} and status {status:?}", result.code));
            }
            (verb.holds)(subject, result.code == 0)?;
        }
        self.again(status)
    }

    fn clean(&self) -> Result<(), String> {
        self.subject.delete()?;
        let (root, temporary) = (self.subject.coracle.root(), self.subject.bundle.path().with_file_name("tmp"));
        let left = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let left: Vec<_> = left(root).chain(left(&temporary)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("left behind: {left:?}")) }
    }
}

impl Runtime<'_> {
    /// The verb once more, without a fault: it must succeed.
    fn again(&self, status: Status) -> Result<(), String> {
        let Runtime { subject, verb } = self;
        if status == verb.before {
            let done = subject.try_quiet(&self.call());
            // What was killed a moment ago may have been seen alive.
            if done.is_ok() || subject.status()? == verb.before {
                return done.map_err(|problem| format!("again: {problem}"));
            }
        }
        subject.delete()?;
        subject.prepare(verb.before);
        subject.try_quiet(&self.call()).map_err(|problem| format!("again: {problem}"))
    }
}

fn nothing(_: &Subject<'_>, _: bool) -> Result<(), String> {
    Ok(())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn making(verb: &str, s: &Subject<'_>) -> Vec<String> {
    words(&[verb, "--bundle", &s.bundle.path().to_string_lossy(), &s.id])
}

fn plain() -> Value {
    json!({})
}

/// A configuration that takes most of the ways there are.
fn rich() -> Value {
    let hook = json!([{"path": "/bin/true"}]);
    json!({
        "hostname": "faults",
        "domainname": "example.org",
        "hooks": {"createRuntime": hook, "poststop": hook},
        "linux": {
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "80"},
            "resources": {
                "memory": {"limit": 67_108_864}, "pids": {"limit": 64}, "cpu": {"shares": 512},
                "devices": [{"allow": false, "access": "rwm"}],
            },
            "devices": [{"path": "/dev/spare", "type": "c", "major": 1, "minor": 3, "fileMode": 420, "uid": 1, "gid": 1}],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
            },
        },
    })
}

fn mapped() -> Value {
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    json!({"linux": {
        "namespaces": [{"type": "user"}, {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
            {"type": "network"}, {"type": "cgroup"}],
        "uidMappings": map, "gidMappings": map,
    }})
}

/// The limit of processes, which `update` changes.
fn limits() -> Value {
    json!({"linux": {"resources": {"pids": {"limit": 60}, "cpu": {"shares": 300}}}})
}

fn limit_is(s: &Subject<'_>, done: bool) -> Result<(), String> {
    let Some(pid) = s.pid() else { return Ok(()) };
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|error| error.to_string())?;
    let file = |controller: &str, name: &str| {
        let path = groups.lines().find_map(|line| line.split_once(&format!(":{controller}:")).map(|(_, path)| path))?;
        fs::read_to_string(format!("/sys/fs/cgroup/{controller}{path}/{name}")).ok()
    };
    let find = |list: &str, name| list.split(' ').find_map(|controller| file(controller, name));
    let pids = find("pids", "pids.max").unwrap_or_default();
    let shares = find("cpu cpu,cpuacct", "cpu.shares").unwrap_or_default();
    let found = (pids.trim(), shares.trim());
    let wanted = if done { ("40", "200") } else { ("60", "300") };
    if found == wanted { Ok(()) } else { Err(format!("pids.max, cpu.shares: {found:?} instead of {wanted:?}")) }
}

use Status::{Absent, Created, Paused, Running, Stopped};

const MADE: Verb = Verb {
    name: "create",
    patch: plain,
    before: Absent,
    args: |s| making("create", s),
    with_init: false,
    after: &[Created],
    failed: &[Absent],
    holds: nothing,
};

const READ: Verb = Verb {
    name: "state",
    patch: plain,
    before: Running,
    args: |s| words(&["state", &s.id]),
    with_init: false,
    after: &[Running],
    failed: &[Running],
    holds: nothing,
};

pub const VERBS: &[Verb] = &[
    MADE,
    Verb { name: "create-rich", patch: rich, ..MADE },
    Verb { name: "create-userns", patch: mapped, ..MADE },
    Verb {
        name: "run",
        args: |s| words(&["run", "--detach", "--bundle", &s.bundle.path().to_string_lossy(), &s.id]),
        after: &[Running],
        ..MADE
    },
    Verb {
        name: "start",
        before: Created,
        args: |s| words(&["start", &s.id]),
        with_init: true,
        after: &[Running, Stopped],
        failed: &[Created, Stopped],
        ..MADE
    },
    Verb { name: "exec", args: |s| words(&["exec", &s.id, "/guest", "exit", "0"]), ..READ },
    Verb {
        name: "kill",
        args: |s| words(&["kill", &s.id, "KILL"]),
        after: &[Running, Stopped],
        failed: &[Running, Stopped],
        ..READ
    },
    Verb { name: "pause", args: |s| words(&["pause", &s.id]), after: &[Paused], ..READ },
    Verb { name: "resume", before: Paused, args: |s| words(&["resume", &s.id]), failed: &[Paused, Running], ..READ },
    Verb {
        name: "update",
        patch: limits,
        args: |s| words(&["update", "--pids-limit", "40", "--cpu-share", "200", &s.id]),
        holds: limit_is,
        ..READ
    },
    Verb {
        name: "delete",
        before: Stopped,
        args: |s| words(&["delete", &s.id]),
        after: &[Absent],
        failed: &[Stopped, Absent],
        ..READ
    },
    Verb {
        name: "delete-force",
        args: |s| words(&["delete", "--force", &s.id]),
        after: &[Absent],
        failed: &[Running, Stopped, Absent],
        ..READ
    },
    READ,
    Verb {
        name: "checkpoint",
        args: |s| words(&["checkpoint", "--image-path", &s.bundle.path().join("images").to_string_lossy(), &s.id]),
        after: &[Absent],
        failed: &[Running, Stopped, Absent],
        ..READ
    },
    Verb { name: "list", args: |_| words(&["list"]), ..READ },
    Verb { name: "ps", args: |s| words(&["ps", "--format", "json", &s.id]), ..READ },
    Verb { name: "events", args: |s| words(&["events", "--stats", &s.id]), ..READ },
];
