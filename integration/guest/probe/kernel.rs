//! What the kernel holds for this process: scheduling, memory policy, clocks, names, tunables.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::sys;

const SYSCTLS: [&str; 14] = [
    "kernel.domainname",
    "kernel.hostname",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "fs.mqueue.msg_max",
    "net.core.somaxconn",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
];

/// Policy by name and its parameters.
pub fn scheduler() -> Value {
    let Ok((policy, flags, nice, priority, [runtime, deadline, period])) = sys::sched_getattr() else {
        return Value::Null;
    };
    let names = ["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"];
    let name = names.get(policy as usize);
    // The kernel reports the current slice as runtime for the fair policies: no setting of the container.
    let timing = if policy == 6 { json!([runtime, deadline, period]) } else { Value::Null };
    json!({"policy": name, "flags": flags, "nice": nice, "priority": priority, "timing": timing})
}

/// Class by name and level.
pub fn io_priority() -> Value {
    let Ok((class, level)) = sys::ioprio_get() else { return Value::Null };
    let names = ["NONE", "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"];
    json!({"class": names.get(usize::try_from(class).unwrap_or(usize::MAX)), "level": level})
}

/// CPUs this process may run on.
pub fn affinity() -> Value {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Value::Null };
    json!((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect::<Vec<_>>())
}

/// Mode number with its flags, and nodes.
pub fn memory_policy() -> Value {
    sys::mempolicy()
        .map_or(Value::Null, |(mode, nodes)| json!({"mode": mode & 0xfff, "flags": mode >> 12, "nodes": nodes}))
}

/// The name of the UTS namespace.
pub fn hostname() -> Value {
    nix::unistd::gethostname().map_or(Value::Null, |name| json!(name.to_string_lossy()))
}

/// The NIS domain name of the UTS namespace.
pub fn domainname() -> Value {
    nix::sys::utsname::uname().map_or(Value::Null, |names| json!(names.domainname().to_string_lossy()))
}

/// The execution domain and its flags, as one number (personality(2)).
pub fn personality() -> Value {
    let text = std::fs::read_to_string("/proc/self/personality").unwrap_or_default();
    u32::from_str_radix(text.trim(), 16).map_or(Value::Null, Value::from)
}

/// The machine uname(2) tells, which the personality changes.
pub fn machine() -> Value {
    nix::sys::utsname::uname().map_or(Value::Null, |names| json!(names.machine().to_string_lossy()))
}

/// Seconds of the two clocks a time namespace shifts, and the offsets as the kernel prints them.
pub fn clocks() -> Value {
    let seconds = |clock| clock_gettime(clock).ok().map(|time| time.tv_sec());
    json!({
        "monotonic": seconds(ClockId::CLOCK_MONOTONIC), "boottime": seconds(ClockId::CLOCK_BOOTTIME),
        "offsets": super::files::lines("/proc/self/timens_offsets"),
    })
}

/// Whether the loopback interface is up: only then can a local address be bound.
pub fn loopback_up() -> Value {
    json!(std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect("127.0.0.1:9")).is_ok())
}

/// Names to values with blanks made single spaces.
pub fn sysctls() -> Value {
    let value = |name: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    Value::Object(SYSCTLS.iter().map(|name| ((*name).to_owned(), json!(value(name)))).collect())
}
