//! Id mappings of a user namespace (user_namespaces(7)): checked here, so that what the kernel would refuse with a
//! bare `EINVAL` names its field.

use std::fmt;

use oci_spec::runtime::{LinuxIdMapping, Process, Spec};

use crate::Result;
use crate::host::Host;
use crate::invalid::Invalid;
use crate::namespaces::{Kind, Wanted};

/// How many lines the kernel takes (`UID_GID_MAP_MAX_EXTENTS`, Linux 4.15).
const MOST: usize = 340;

const SETGID: u32 = 6;
const SETUID: u32 = 7;

/// Who writes a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// This process, which has the privilege, or maps nothing but itself.
    Own,
    /// The set-uid program of this name (newuidmap(1), newgidmap(1)), which knows what the user may map.
    Program(&'static str),
}

/// The maps of a new user namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMaps {
    pub uids: Vec<LinuxIdMapping>,
    pub gids: Vec<LinuxIdMapping>,
    pub uid_writer: Writer,
    pub gid_writer: Writer,
    /// Deny setgroups(2) first, without which the kernel takes no group map from an unprivileged process
    /// (CVE-2014-8989).
    pub deny_setgroups: bool,
}

impl fmt::Display for IdMaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = |writer| match writer {
            Writer::Own => String::new(),
            Writer::Program(name) => format!(" by {name}"),
        };
        write!(f, "uid[{}]{}", lines(&self.uids, ","), by(self.uid_writer))?;
        write!(f, " gid[{}]{}", lines(&self.gids, ","), by(self.gid_writer))?;
        if self.deny_setgroups { f.write_str(" without setgroups") } else { Ok(()) }
    }
}

/// The mappings as the kernel reads them, joined by `separator`.
pub fn lines(maps: &[LinuxIdMapping], separator: &str) -> String {
    let one = |m: &LinuxIdMapping| format!("{} {} {}", m.container_id(), m.host_id(), m.size());
    maps.iter().map(one).collect::<Vec<_>>().join(separator)
}

/// The mappings of the configuration: of users, then of groups.
pub fn configured(spec: &Spec) -> (&[LinuxIdMapping], &[LinuxIdMapping]) {
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|l| l.uid_mappings().as_deref()).unwrap_or_default();
    let gids = linux.and_then(|l| l.gid_mappings().as_deref()).unwrap_or_default();
    (uids, gids)
}

/// Checks that mappings and user namespace go together, and that the kernel takes them.
///
/// # Errors
/// Mappings without a user namespace and the reverse; a mapping that is empty, too large or overlaps another; one
/// that leaves out root or the user of the process.
pub fn check(spec: &Spec, wanted: &Wanted) -> Result<()> {
    let (uids, gids) = configured(spec);
    if !wanted.has(Kind::User) {
        return match (uids, gids) {
            ([], []) => Ok(()),
            ([], _) => Err(Invalid::new("/linux/gidMappings", "needs a user namespace")),
            _ => Err(Invalid::new("/linux/uidMappings", "needs a user namespace")),
        };
    }
    for (name, maps) in [("uidMappings", uids), ("gidMappings", gids)] {
        if maps.is_empty() && wanted.is_new(Kind::User) {
            let problem = "must be set for a new user namespace";
            return Err(Invalid::new(format!("/linux/{name}"), problem));
        }
        extents(&format!("/linux/{name}"), maps)?;
        if !maps.is_empty() && !maps_id(maps, 0) {
            return Err(Invalid::new(format!("/linux/{name}"), "must map the id 0 of the container"));
        }
    }
    process(spec.process().as_ref(), uids, gids)
}

fn process(process: Option<&Process>, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<()> {
    let Some(user) = process.map(Process::user) else { return Ok(()) };
    let check = |pointer: String, maps: &[LinuxIdMapping], id: u32| match maps.is_empty() || maps_id(maps, id) {
        true => Ok(()),
        false => Err(Invalid::new(pointer, format!("{id} is not mapped in the user namespace"))),
    };
    check("/process/user/uid".to_owned(), uids, user.uid())?;
    check("/process/user/gid".to_owned(), gids, user.gid())?;
    let additional = user.additional_gids().as_deref().unwrap_or_default();
    let mut each = additional.iter().enumerate();
    each.try_for_each(|(i, gid)| check(format!("/process/user/additionalGids/{i}"), gids, *gid))
}

fn maps_id(maps: &[LinuxIdMapping], id: u32) -> bool {
    maps.iter().any(|m| id.checked_sub(m.container_id()).is_some_and(|offset| offset < m.size()))
}

/// What map_write() of the kernel asks of each line, and of every two of them.
pub(crate) fn extents(pointer: &str, maps: &[LinuxIdMapping]) -> Result<()> {
    if maps.len() > MOST {
        return Err(Invalid::new(pointer, format!("has {} mappings, the kernel takes {MOST}", maps.len())));
    }
    for (i, map) in maps.iter().enumerate() {
        if map.size() == 0 {
            return Err(Invalid::new(format!("{pointer}/{i}/size"), "must be greater than zero"));
        }
        for (field, first) in [("containerID", map.container_id()), ("hostID", map.host_id())] {
            // 4294967295 is no id: it means "leave as it is".
            if u64::from(first) + u64::from(map.size()) > u64::from(u32::MAX) {
                let problem = format!("{first} and the {} after it do not fit 32 bits", map.size());
                return Err(Invalid::new(format!("{pointer}/{i}/{field}"), problem));
            }
        }
        for (j, other) in maps[..i].iter().enumerate() {
            let sides =
                [("containerID", map.container_id(), other.container_id()), ("hostID", map.host_id(), other.host_id())];
            for (field, a, b) in sides {
                if a < b.saturating_add(other.size()) && b < a.saturating_add(map.size()) {
                    return Err(Invalid::new(format!("{pointer}/{i}/{field}"), format!("overlaps mapping {j}")));
                }
            }
        }
    }
    Ok(())
}

/// The maps of a new user namespace, and who may write them.
pub fn plan(spec: &Spec, host: &Host) -> IdMaps {
    let (uids, gids) = configured(spec);
    let itself = |maps: &[LinuxIdMapping], id: u32| matches!(maps, [m] if m.host_id() == id && m.size() == 1);
    let writer = |privileged: bool, itself: bool, program| match privileged || itself {
        true => Writer::Own,
        false => Writer::Program(program),
    };
    let gid_itself = itself(gids, host.egid);
    IdMaps {
        uid_writer: writer(host.capable(SETUID), itself(uids, host.euid), "newuidmap"),
        gid_writer: writer(host.capable(SETGID), gid_itself, "newgidmap"),
        deny_setgroups: !host.capable(SETGID) && gid_itself,
        uids: uids.to_vec(),
        gids: gids.to_vec(),
    }
}

/// Whether the kernel lets nobody change supplementary groups, although this process's own namespace does: in a user
/// namespace whose maps an ordinary user wrote for itself alone. `none` says that there are none to set.
///
/// # Errors
/// Those of the list of namespaces.
pub fn denies_groups(spec: &Spec, host: &Host, none: bool) -> Result<bool> {
    let wanted = Wanted::from_spec(spec)?;
    let denied = match (wanted.is_new(Kind::User), wanted.path(Kind::User)) {
        (true, _) => plan(spec, host).deny_setgroups,
        // Whether that of somebody else denies it nobody knows: what is not asked for is not tried.
        (false, Some(_)) => none,
        (false, None) => true,
    };
    Ok(denied && !host.capable(SETGID))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(list: &[(u32, u32, u32)]) -> Vec<LinuxIdMapping> {
        let json: Vec<_> =
            list.iter().map(|(c, h, s)| serde_json::json!({"containerID": c, "hostID": h, "size": s})).collect();
        serde_json::from_value(json.into()).unwrap()
    }

    fn problem(list: &[(u32, u32, u32)]) -> Option<String> {
        extents("", &maps(list)).err().map(|e| e.to_string())
    }

    #[test]
    fn extents_are_what_the_kernel_takes() {
        assert_eq!(problem(&[(0, 100_000, 65536)]), None);
        assert_eq!(problem(&[(0, 1000, 1), (1, 100_000, 65535)]), None);
        assert_eq!(problem(&[(0, 1000, 0)]).unwrap(), "/0/size: must be greater than zero");
        assert_eq!(problem(&[(0, 1000, 10), (9, 5000, 1)]).unwrap(), "/1/containerID: overlaps mapping 0");
        assert_eq!(problem(&[(0, 1000, 10), (10, 1009, 5)]).unwrap(), "/1/hostID: overlaps mapping 0");
        assert_eq!(problem(&[(0, 0, u32::MAX)]), None);
        let text = problem(&[(0, 4_294_967_290, 6)]).unwrap();
        assert_eq!(text, "/0/hostID: 4294967290 and the 6 after it do not fit 32 bits");
    }

    #[test]
    fn more_lines_than_the_kernel_takes() {
        let list: Vec<_> = (0..5000).map(|i| (i, 100_000 + i, 1)).collect();
        assert_eq!(problem(&list[..340]), None);
        assert_eq!(problem(&list).unwrap(), "has 5000 mappings, the kernel takes 340");
    }

    #[test]
    fn an_ordinary_user_maps_itself_or_asks_the_programs() {
        let spec = |uid: (u32, u32, u32), gid: (u32, u32, u32)| {
            let mut spec = Spec::default();
            let mut linux = oci_spec::runtime::Linux::default();
            linux.set_uid_mappings(Some(maps(&[uid])));
            linux.set_gid_mappings(Some(maps(&[gid])));
            spec.set_linux(Some(linux));
            spec
        };
        let own = spec((0, 1000, 1), (0, 1000, 1));
        let plan_own = plan(&own, &Host::rootless());
        assert_eq!((plan_own.uid_writer, plan_own.gid_writer), (Writer::Own, Writer::Own));
        assert!(plan_own.deny_setgroups);
        let range = plan(&spec((0, 100_000, 65536), (0, 100_000, 65536)), &Host::rootless());
        assert_eq!(range.uid_writer, Writer::Program("newuidmap"));
        assert!(!range.deny_setgroups);
        assert!(!plan(&own, &Host::rootful()).deny_setgroups);
    }
}
