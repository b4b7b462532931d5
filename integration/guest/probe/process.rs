//! Identity and privileges of this process.

use std::fs;
use std::io::stdin;
use std::os::fd::AsFd;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::Mode;
use nix::unistd;
use serde_json::{Value, json};

use crate::sys;

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

const RESOURCES: [(&str, Resource); 16] = [
    ("RLIMIT_AS", Resource::RLIMIT_AS),
    ("RLIMIT_CORE", Resource::RLIMIT_CORE),
    ("RLIMIT_CPU", Resource::RLIMIT_CPU),
    ("RLIMIT_DATA", Resource::RLIMIT_DATA),
    ("RLIMIT_FSIZE", Resource::RLIMIT_FSIZE),
    ("RLIMIT_LOCKS", Resource::RLIMIT_LOCKS),
    ("RLIMIT_MEMLOCK", Resource::RLIMIT_MEMLOCK),
    ("RLIMIT_MSGQUEUE", Resource::RLIMIT_MSGQUEUE),
    ("RLIMIT_NICE", Resource::RLIMIT_NICE),
    ("RLIMIT_NOFILE", Resource::RLIMIT_NOFILE),
    ("RLIMIT_NPROC", Resource::RLIMIT_NPROC),
    ("RLIMIT_RSS", Resource::RLIMIT_RSS),
    ("RLIMIT_RTPRIO", Resource::RLIMIT_RTPRIO),
    ("RLIMIT_RTTIME", Resource::RLIMIT_RTTIME),
    ("RLIMIT_SIGPENDING", Resource::RLIMIT_SIGPENDING),
    ("RLIMIT_STACK", Resource::RLIMIT_STACK),
];

fn set(holds: impl Fn(usize) -> bool) -> Value {
    let held = NAMES.iter().enumerate().filter(|(number, _)| holds(*number));
    json!(held.map(|(_, name)| format!("CAP_{name}")).collect::<Vec<_>>())
}

/// The five sets by system call, so that no /proc is needed.
pub fn capabilities() -> Value {
    let Ok([effective, permitted, inheritable]) = sys::capget() else { return Value::Null };
    let asked = |option: i32, sub: Option<u64>| {
        set(|number| match sub {
            Some(sub) => sys::prctl(option, sub, number as u64).ok() == Some(1),
            None => sys::prctl(option, number as u64, 0).ok() == Some(1),
        })
    };
    json!({
        "effective": set(|number| effective >> number & 1 == 1),
        "permitted": set(|number| permitted >> number & 1 == 1),
        "inheritable": set(|number| inheritable >> number & 1 == 1),
        "bounding": asked(libc::PR_CAPBSET_READ, None),
        "ambient": asked(libc::PR_CAP_AMBIENT, Some(1)),
    })
}

/// Real, effective, saved and file system user id.
pub fn uids() -> Value {
    let Ok(ids) = unistd::getresuid() else { return Value::Null };
    json!([
        ids.real.as_raw(),
        ids.effective.as_raw(),
        ids.saved.as_raw(),
        unistd::setfsuid(unistd::Uid::from_raw(u32::MAX)).as_raw()
    ])
}

/// Real, effective, saved and file system group id.
pub fn gids() -> Value {
    let Ok(ids) = unistd::getresgid() else { return Value::Null };
    json!([
        ids.real.as_raw(),
        ids.effective.as_raw(),
        ids.saved.as_raw(),
        unistd::setfsgid(unistd::Gid::from_raw(u32::MAX)).as_raw()
    ])
}

/// Supplementary groups, sorted.
pub fn groups() -> Value {
    let Ok(groups) = unistd::getgroups() else { return Value::Null };
    let mut groups: Vec<u32> = groups.iter().map(|group| group.as_raw()).collect();
    groups.sort_unstable();
    json!(groups)
}

/// The file mode creation mask as four octal digits.
pub fn umask() -> Value {
    let mask = nix::sys::stat::umask(Mode::empty());
    nix::sys::stat::umask(mask);
    json!(format!("{:04o}", mask.bits()))
}

/// Name to soft and hard limit; "max" is no limit.
pub fn rlimits() -> Value {
    let said = |limit: u64| if limit == libc::RLIM_INFINITY { json!("max") } else { json!(limit) };
    let limit =
        |resource: Resource| getrlimit(resource).map_or(Value::Null, |(soft, hard)| json!([said(soft), said(hard)]));
    Value::Object(RESOURCES.iter().map(|(name, resource)| ((*name).to_owned(), limit(*resource))).collect())
}

/// The environment in its own order.
pub fn environment() -> Value {
    let pair = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        format!("{}={}", name.to_string_lossy(), value.to_string_lossy())
    };
    json!(std::env::vars_os().map(pair).collect::<Vec<_>>())
}

/// Process, parent, session and group ids.
pub fn identity() -> Value {
    json!({
        "pid": unistd::getpid().as_raw(), "ppid": unistd::getppid().as_raw(), "pgid": unistd::getpgrp().as_raw(),
        "sid": unistd::getsid(None).ok().map(nix::unistd::Pid::as_raw),
    })
}

fn status(key: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(|value| value.trim().to_owned()))
}

/// Mode and number of filters of seccomp(2).
pub fn seccomp() -> Value {
    let number = |key| status(key).and_then(|value| value.parse::<u32>().ok());
    json!({"mode": number("Seccomp"), "filters": number("Seccomp_filters")})
}

/// Masks of blocked and ignored signals, hexadecimal.
pub fn signals() -> Value {
    json!({"blocked": status("SigBlk"), "ignored": status("SigIgn")})
}

/// Which standard streams are terminals, the name and size of standard input's, and the controlling terminal.
pub fn terminal() -> Value {
    let (input, output, error) = (stdin(), std::io::stdout(), std::io::stderr());
    let is = |fd: std::os::fd::BorrowedFd<'_>| unistd::isatty(fd).unwrap_or(false);
    let size = sys::window_size(input.as_fd()).ok().map(|(rows, columns)| json!({"rows": rows, "columns": columns}));
    json!({
        "streams": [is(input.as_fd()), is(output.as_fd()), is(error.as_fd())],
        "name": unistd::ttyname(input.as_fd()).ok(),
        "size": size,
        "controlling": fs::OpenOptions::new().read(true).open("/dev/tty").is_ok(),
    })
}
