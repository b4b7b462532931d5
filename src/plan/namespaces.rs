//! Namespaces: which are new, which are joined, and in what order.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::host_step::HostStep;
use crate::invalid::{Invalid, c_string};
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{Plan, Result};

/// A kind of namespace (namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    Mount,
    Pid,
    Network,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl Kind {
    /// The `CLONE_NEW*` flag.
    pub fn flag(self) -> i32 {
        match self {
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Network => libc::CLONE_NEWNET,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Uts => libc::CLONE_NEWUTS,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::Time => libc::CLONE_NEWTIME,
        }
    }

    fn of(typ: LinuxNamespaceType) -> Kind {
        match typ {
            LinuxNamespaceType::User => Kind::User,
            LinuxNamespaceType::Mount => Kind::Mount,
            LinuxNamespaceType::Pid => Kind::Pid,
            LinuxNamespaceType::Network => Kind::Network,
            LinuxNamespaceType::Ipc => Kind::Ipc,
            LinuxNamespaceType::Uts => Kind::Uts,
            LinuxNamespaceType::Cgroup => Kind::Cgroup,
            LinuxNamespaceType::Time => Kind::Time,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::User => "user",
            Kind::Mount => "mount",
            Kind::Pid => "pid",
            Kind::Network => "network",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
        })
    }
}

/// What the configuration says of each kind of namespace.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    entries: Vec<(Kind, Option<PathBuf>)>,
}

impl Wanted {
    /// Reads `linux.namespaces`.
    ///
    /// # Errors
    /// A kind given twice; a path that is not absolute.
    pub fn from_spec(spec: &Spec) -> Result<Wanted> {
        let mut wanted = Wanted::default();
        let list = spec.linux().as_ref().and_then(|l| l.namespaces().as_deref()).unwrap_or_default();
        for (i, entry) in list.iter().enumerate() {
            let kind = Kind::of(entry.typ());
            if wanted.has(kind) {
                return Err(Invalid::new(format!("/linux/namespaces/{i}/type"), format!("duplicate {kind} namespace")));
            }
            let path = entry.path().clone().filter(|p| !p.as_os_str().is_empty());
            if path.as_ref().is_some_and(|p| !p.is_absolute()) {
                return Err(Invalid::new(format!("/linux/namespaces/{i}/path"), "must be an absolute path"));
            }
            wanted.entries.push((kind, path));
        }
        Ok(wanted)
    }

    /// Whether the container has a namespace of this kind that is not the runtime's, new or joined.
    pub fn has(&self, kind: Kind) -> bool {
        self.entries.iter().any(|(k, _)| *k == kind)
    }

    /// Whether a new one is made.
    pub fn is_new(&self, kind: Kind) -> bool {
        self.entries.iter().any(|(k, path)| *k == kind && path.is_none())
    }

    /// The `CLONE_NEW*` flags of all of them.
    pub fn flags(&self) -> i32 {
        self.entries.iter().fold(0, |flags, (kind, _)| flags | kind.flag())
    }

    /// The one to join.
    pub fn path(&self, kind: Kind) -> Option<&PathBuf> {
        self.entries.iter().find(|(k, _)| *k == kind).and_then(|(_, path)| path.as_ref())
    }
}

/// Clone flags, joins, maps and what belongs to the namespaces themselves.
pub fn create(plan: &mut Plan, spec: &Spec, wanted: &Wanted, needs_cgroup_join: bool) -> Result<()> {
    let linux = spec.linux().as_ref();
    // The cgroup namespace is rooted where its creator is when it is made: after the move into the cgroup.
    const BY_CLONE: [Kind; 6] = [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts];
    for kind in BY_CLONE {
        if wanted.is_new(kind) {
            plan.clone |= kind.flag() as u64;
        }
    }
    if needs_cgroup_join {
        plan.host.push((Point::Mapped, HostStep::JoinCgroup));
    }
    if wanted.is_new(Kind::User) {
        let maps = |maps: Option<&Vec<_>>| maps.cloned().unwrap_or_default();
        plan.host.push((
            Point::Mapped,
            HostStep::IdMaps {
                uids: maps(linux.and_then(|l| l.uid_mappings().as_ref())),
                gids: maps(linux.and_then(|l| l.gid_mappings().as_ref())),
            },
        ));
    }
    if !plan.host.is_empty() {
        plan.init.push(Step::Sync(Point::Mapped));
    }
    join(plan, wanted);
    if wanted.has(Kind::User) {
        plan.init.push(Step::BecomeRoot);
    }
    if wanted.is_new(Kind::Cgroup) {
        plan.init.push(Step::Unshare(Kind::Cgroup));
    }
    if wanted.is_new(Kind::Network) {
        plan.init.push(Step::LoopbackUp);
    }
    names(plan, spec, wanted)
}

fn join(plan: &mut Plan, wanted: &Wanted) {
    // A user namespace first: it gives the right to join those it owns.
    const ORDER: [Kind; 6] = [Kind::User, Kind::Ipc, Kind::Uts, Kind::Network, Kind::Cgroup, Kind::Mount];
    for kind in ORDER {
        if let Some(path) = wanted.path(kind) {
            let slot = plan.source(Source::Namespace { kind, path: path.clone() });
            plan.init.push(Step::Join { slot, kind });
        }
    }
    // These two hold for children only: the parent joins them for the clone and goes back.
    for kind in [Kind::Pid, Kind::Time] {
        if let Some(path) = wanted.path(kind) {
            let slot = plan.source(Source::Namespace { kind, path: path.clone() });
            plan.around_clone.push((slot, kind));
        }
    }
}

fn names(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    let of = |pointer: &str, name: &Option<String>| match name.as_deref() {
        None | Some("") => Ok(None),
        Some(_) if !wanted.has(Kind::Uts) => Err(Invalid::new(pointer, "needs a uts namespace")),
        Some(name) => c_string(pointer, name).map(Some),
    };
    plan.init.extend(of("/hostname", spec.hostname())?.map(Step::Hostname));
    plan.init.extend(of("/domainname", spec.domainname())?.map(Step::Domainname));
    Ok(())
}
