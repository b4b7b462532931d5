//! Kernel parameters of the container's namespaces (sysctl(8)).

use oci_spec::runtime::Spec;

use crate::invalid::{Invalid, c_string, escape};
use crate::namespaces::{Kind, Wanted};
use crate::step::Step;
use crate::{Plan, Result};

/// Which namespace a parameter belongs to.
fn owner(key: &str) -> Option<Kind> {
    const IPC: [&str; 8] = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    match key {
        _ if IPC.contains(&key) || key.starts_with("fs.mqueue.") => Some(Kind::Ipc),
        "kernel.domainname" => Some(Kind::Uts),
        _ if key.starts_with("net.") => Some(Kind::Network),
        _ if key.starts_with("user.") => Some(Kind::User),
        _ => None,
    }
}

/// Plans every entry of `linux.sysctl`, sorted by key so that the same configuration gives the same plan.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let Some(map) = spec.linux().as_ref().and_then(|l| l.sysctl().as_ref()) else { return Ok(()) };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort();
    for (key, value) in entries {
        let pointer = format!("/linux/sysctl/{}", escape(key));
        let dotted = if key.contains('/') && !key.contains('.') { key.replace('/', ".") } else { key.clone() };
        let problem = match owner(&dotted) {
            None if dotted == "kernel.hostname" => "set by the field hostname".to_owned(),
            None => format!("sysctl \"{key}\" is not in a separate kernel namespace"),
            Some(kind) if !wanted.has(kind) => {
                format!("sysctl \"{key}\" needs a {kind} namespace of the container's own")
            }
            Some(_) => {
                let path = dotted.replace('.', "/");
                plan.init
                    .push(Step::Sysctl { key: c_string(&pointer, path)?, value: c_string(&pointer, value.as_str())? });
                continue;
            }
        };
        return Err(Invalid::new(pointer, problem));
    }
    Ok(())
}
