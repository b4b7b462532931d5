//! Namespaces: which kinds the container has, new or joined, and what they are called.

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

use crate::invalid::{Invalid, c_string};
use crate::step::Step;
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
    pub const ALL: [Kind; 8] =
        [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Cgroup, Kind::Time];

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

    /// The name below /proc/PID/ns.
    pub fn file(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Mount => "mnt",
            Kind::Pid => "pid",
            Kind::Network => "net",
            Kind::Ipc => "ipc",
            Kind::Uts => "uts",
            Kind::Cgroup => "cgroup",
            Kind::Time => "time",
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
        self.joined(kind).map(|(_, path)| path)
    }

    /// The one to join, and where the configuration names it.
    pub fn joined(&self, kind: Kind) -> Option<(String, &PathBuf)> {
        let i = self.entries.iter().position(|(k, _)| *k == kind)?;
        let path = self.entries[i].1.as_ref()?;
        Some((format!("/linux/namespaces/{i}/path"), path))
    }
}

/// The names of a UTS namespace that is not the runtime's.
pub fn names(plan: &mut Plan, spec: &Spec, wanted: &Wanted) -> Result<()> {
    // __NEW_UTS_LEN: the kernel says EINVAL to more.
    const MOST: usize = 64;
    let of = |pointer: &str, name: &Option<String>| match name.as_deref() {
        None | Some("") => Ok(None),
        Some(_) if !wanted.has(Kind::Uts) => Err(Invalid::new(pointer, "needs a uts namespace")),
        Some(name) if name.len() > MOST => {
            Err(Invalid::new(pointer, format!("is {} bytes long, the kernel takes {MOST}", name.len())))
        }
        Some(name) => c_string(pointer, name).map(Some),
    };
    plan.init.extend(of("/hostname", spec.hostname())?.map(Step::Hostname));
    plan.init.extend(of("/domainname", spec.domainname())?.map(Step::Domainname));
    Ok(())
}
