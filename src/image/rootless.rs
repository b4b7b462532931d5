//! Who may do what: user namespaces, in which an ordinary user is root over the ids he was given.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use crate::error::{Context, Error, Kind, Result};

/// Whether this process is in another than the host's user namespace, so that `trusted.` attributes and device nodes are
/// not for it.
pub fn in_user_namespace() -> bool {
    id_map("uid").is_none_or(|map| map != [(0, 0, u64::from(u32::MAX))])
}

/// Whether the user namespace has one user only, so that all files belong to it.
pub fn has_one_id() -> bool {
    id_map("uid").is_some_and(|map| matches!(map.as_slice(), [(_, _, 1)]))
}

/// The user who called, as the namespace outside knows him.
pub fn caller() -> u64 {
    let own = u64::from(rustix::process::getuid().as_raw());
    let outside = |map: Vec<(u64, u64, u64)>| {
        map.into_iter().find_map(|(inside, outside, count)| {
            let offset = own.checked_sub(inside).filter(|&offset| offset < count)?;
            Some(outside + offset)
        })
    };
    id_map("uid").and_then(outside).unwrap_or(own)
}

/// The ids of this process's user namespace: inside, outside, count (user_namespaces(7)).
fn id_map(kind: &str) -> Option<Vec<(u64, u64, u64)>> {
    let text = std::fs::read_to_string(format!("/proc/self/{kind}_map")).ok()?;
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    text.lines().map(line).collect()
}

/// Makes this process root of a user namespace of its own, with the subordinate ids of the user (subuid(5)) where there
/// are some, and of a mount namespace. To be called before there are threads, by who is not root.
///
/// # Errors
/// The kernel does not allow user namespaces; newuidmap(1) fails.
pub fn enter() -> Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let pid = std::process::id();
    let uids = subordinate("/etc/subuid", uid);
    let gids = subordinate("/etc/subgid", uid);
    // The maps are written from outside, by a process that is there before.
    let mut writer = match (&uids, &gids) {
        (Some(uids), Some(gids)) => Some(MapWriter::start(pid, (uid, *uids), (gid, *gids))?),
        _ => None,
    };
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS).context(|| "make a user namespace")?;
    match &mut writer {
        Some(writer) => writer.write()?,
        None => {
            let write = |file: &str, text: String| {
                std::fs::write(format!("/proc/self/{file}"), text).context(|| format!("write {file}"))
            };
            write("setgroups", "deny".into())?;
            write("uid_map", format!("0 {uid} 1"))?;
            write("gid_map", format!("0 {gid} 1"))?;
        }
    }
    rustix::thread::set_thread_res_gid(rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT, rustix::fs::Gid::ROOT)
        .context(|| "become group 0")?;
    rustix::thread::set_thread_res_uid(rustix::fs::Uid::ROOT, rustix::fs::Uid::ROOT, rustix::fs::Uid::ROOT)
        .context(|| "become user 0")?;
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .context(|| "keep mounts to ourselves")
}

/// The first range of ids that `file` gives to the user, by number or name.
fn subordinate(file: &str, uid: u32) -> Option<(u32, u32)> {
    // Not by the C library: a static program has no name service.
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let owner = fields.next()?;
        let range = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (owner == uid.to_string() || Some(owner) == name).then_some(range)
    })
}

/// Runs newuidmap(1) and newgidmap(1) when it is told to. A shell does, since it must be another process than the one
/// that changes its namespace.
struct MapWriter(std::process::Child);

impl MapWriter {
    fn start(pid: u32, (uid, uids): (u32, (u32, u32)), (gid, gids): (u32, (u32, u32))) -> Result<MapWriter> {
        let script = format!(
            "read go && newuidmap {pid} 0 {uid} 1 1 {} {} && newgidmap {pid} 0 {gid} 1 1 {} {}",
            uids.0, uids.1, gids.0, gids.1
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context(|| "start newuidmap")?;
        Ok(MapWriter(child))
    }

    fn write(&mut self) -> Result<()> {
        if let Some(mut go) = self.0.stdin.take() {
            go.write_all(b"go\n").context(|| "start newuidmap")?;
        }
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            stderr.read_to_string(&mut said).context(|| "read from newuidmap")?;
        }
        match self.0.wait().context(|| "wait for newuidmap")?.success() {
            true => Ok(()),
            false => Err(Error::new(Kind::Unsupported, format!("map subordinate ids: {}", said.trim()))),
        }
    }
}
