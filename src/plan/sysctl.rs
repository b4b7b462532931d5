//! Kernel parameters of the container's namespaces (sysctl(8)).

use oci_spec::runtime::Spec;

use crate::invalid::{Invalid, c_string, escape};
use crate::namespaces::{Kind, Wanted};
use crate::step::Step;
use crate::{Plan, Result};

/// Which namespace a parameter belongs to, by its path below /proc/sys.
fn owner(path: &str) -> Option<Kind> {
    const IPC: [&str; 8] = [
        "kernel/msgmax",
        "kernel/msgmnb",
        "kernel/msgmni",
        "kernel/sem",
        "kernel/shmall",
        "kernel/shmmax",
        "kernel/shmmni",
        "kernel/shm_rmid_forced",
    ];
    match path {
        _ if IPC.contains(&path) || path.starts_with("fs/mqueue/") => Some(Kind::Ipc),
        "kernel/domainname" => Some(Kind::Uts),
        _ if path.starts_with("net/") => Some(Kind::Network),
        _ if path.starts_with("user/") => Some(Kind::User),
        _ => None,
    }
}

/// The path below /proc/sys. Whichever of `.` and `/` comes first separates; the other stands for itself, so that
/// `net.ipv4.conf.eth0/1.forwarding` and `net/ipv4/conf/eth0.1/forwarding` are the same (sysctl(8)).
fn path(key: &str) -> Option<String> {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        c => c,
    };
    let path: String = match key.find(['.', '/']) {
        Some(i) if key.as_bytes()[i] == b'.' => key.chars().map(swap).collect(),
        _ => key.to_owned(),
    };
    // What goes up could leave the part of the tree that the namespace owns.
    path.split('/').all(|part| !matches!(part, "" | "." | "..")).then_some(path)
}

/// Plans every entry of `linux.sysctl`, sorted by key so that the same configuration gives the same plan.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let Some(map) = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref()) else { return Ok(()) };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort();
    for (key, value) in entries {
        let pointer = format!("/linux/sysctl/{}", escape(key));
        let separate = |problem| Err(Invalid::new(&pointer, format!("sysctl \"{key}\" {problem}")));
        let Some(path) = path(key) else {
            return separate("is not the name of a kernel parameter".to_owned());
        };
        match owner(&path) {
            None if path == "kernel/hostname" => return separate("is set by the field hostname".to_owned()),
            None => return separate("is not in a separate kernel namespace".to_owned()),
            Some(kind) if !wanted.has(kind) => {
                return separate(format!("is not in a separate kernel namespace: it needs a {kind} namespace"));
            }
            Some(Kind::Network) => plan.network_not_ours(&pointer),
            Some(_) => {}
        }
        let proc = plan.proc();
        let (key, value) = (c_string(&pointer, path)?, c_string(&pointer, value.as_str())?);
        plan.init.push(Step::Sysctl { proc, key, value });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_separators_name_the_same() {
        assert_eq!(path("net.ipv4.ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(path("net/ipv4/ip_forward").as_deref(), Some("net/ipv4/ip_forward"));
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding").as_deref(), Some("net/ipv4/conf/eth0.1/forwarding"));
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding").as_deref(), Some("net/ipv4/conf/eth0.1/forwarding"));
    }

    #[test]
    fn nothing_leads_out_of_a_namespace() {
        for key in ["net/../kernel/core_pattern", "net.//.kernel.core_pattern", "net..x", "/net/x", "net.", "", "net/."]
        {
            assert_eq!(path(key), None, "{key}");
        }
    }

    #[test]
    fn owners() {
        for (path, kind) in [
            ("net/core/somaxconn", Some(Kind::Network)),
            ("kernel/shmmax", Some(Kind::Ipc)),
            ("kernel/sem", Some(Kind::Ipc)),
            ("fs/mqueue/msg_max", Some(Kind::Ipc)),
            ("kernel/domainname", Some(Kind::Uts)),
            ("user/max_user_namespaces", Some(Kind::User)),
            ("kernel/hostname", None),
            ("kernel/core_pattern", None),
            ("kernel/semaphore", None),
            ("network/x", None),
            ("vm/swappiness", None),
        ] {
            assert_eq!(owner(path), kind, "{path}");
        }
    }
}
