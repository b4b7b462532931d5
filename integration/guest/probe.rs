//! Everything a process can see of the container around it, as one JSON object. A fact that cannot be had is null.

mod files;
mod kernel;
mod process;

use serde_json::{Value, json};

/// The report; `paths` are tried for reading and writing.
pub fn report(paths: &[String]) -> Value {
    json!({
        "namespaces": files::namespaces(),
        "mounts": files::mounts(),
        "fds": files::descriptors(),
        "dev": files::devices(),
        "root": files::names("/"),
        "paths": files::access(paths),
        "cgroup": files::lines("/proc/self/cgroup"),
        "capabilities": process::capabilities(),
        "uids": process::uids(),
        "gids": process::gids(),
        "groups": process::groups(),
        "umask": process::umask(),
        "rlimits": process::rlimits(),
        "env": process::environment(),
        "args": std::env::args().collect::<Vec<_>>(),
        "cwd": std::env::current_dir().ok(),
        "identity": process::identity(),
        "seccomp": process::seccomp(),
        "no_new_privs": nix::sys::prctl::get_no_new_privs().ok(),
        "dumpable": nix::sys::prctl::get_dumpable().ok(),
        "death_signal": nix::sys::prctl::get_pdeathsig().ok().map(|signal| signal.map_or(0, |signal| signal as i32)),
        "signals": process::signals(),
        "tty": process::terminal(),
        "oom_score_adj": files::number("/proc/self/oom_score_adj"),
        "scheduler": kernel::scheduler(),
        "io_priority": kernel::io_priority(),
        "affinity": kernel::affinity(),
        "memory_policy": kernel::memory_policy(),
        "personality": kernel::personality(),
        "hostname": kernel::hostname(),
        "domainname": kernel::domainname(),
        "machine": kernel::machine(),
        "keyring": crate::sys::session_keyring().ok(),
        "clocks": kernel::clocks(),
        "loopback_up": kernel::loopback_up(),
        "links": files::names("/sys/class/net"),
        "sysctls": kernel::sysctls(),
    })
}
