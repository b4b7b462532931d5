//! What has to be opened on the host before the clone: sources, and the slots they fill.

use std::fmt;
use std::path::PathBuf;

use coracle_sys::mount::{MountAttr, attr};
use oci_spec::runtime::LinuxIdMapping;

use crate::namespaces::Kind;
use crate::seccomp::Filter;

/// The place of a descriptor in the table that parent and child share: slot i is filled from source i.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub usize);

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.0)
    }
}

/// A change of propagation type (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Propagation {
    /// `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE` or `MS_UNBINDABLE`.
    pub flag: u64,
    pub recursive: bool,
}

impl Propagation {
    pub const fn recursive(flag: u64) -> Propagation {
        Propagation { flag, recursive: true }
    }

    /// The change as mount_setattr(2) takes it.
    pub fn change(self) -> MountAttr {
        MountAttr { propagation: self.flag, ..MountAttr::default() }
    }
}

impl fmt::Display for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.flag {
            libc::MS_SHARED => "shared",
            libc::MS_SLAVE => "slave",
            libc::MS_UNBINDABLE => "unbindable",
            _ => "private",
        };
        write!(f, "{}{name}", if self.recursive { "r" } else { "" })
    }
}

/// Attributes to change on a mount (mount_setattr(2)): on itself, then on all below it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    pub set: u64,
    pub clear: u64,
    pub recursive_set: u64,
    pub recursive_clear: u64,
}

impl Attributes {
    /// The change of the mount itself.
    pub fn own(&self) -> MountAttr {
        MountAttr { set: self.set, clear: self.clear, propagation: 0 }
    }

    /// The change of the mount and everything below it.
    pub fn all(&self) -> MountAttr {
        MountAttr { set: self.recursive_set, clear: self.recursive_clear, propagation: 0 }
    }

    /// The option names of what is set.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(u64, &str, &str); 8] = [
            (attr::RDONLY, "ro", "rro"),
            (attr::NOSUID, "nosuid", "rnosuid"),
            (attr::NODEV, "nodev", "rnodev"),
            (attr::NOEXEC, "noexec", "rnoexec"),
            (attr::NOATIME, "noatime", "rnoatime"),
            (attr::STRICTATIME, "strictatime", "rstrictatime"),
            (attr::NODIRATIME, "nodiratime", "rnodiratime"),
            (attr::NOSYMFOLLOW, "nosymfollow", "rnosymfollow"),
        ];
        let (own, all) = (self.set, self.recursive_set);
        NAMES.into_iter().flat_map(move |(bit, name, rname)| {
            [(own & bit != 0).then_some(name), (all & bit != 0).then_some(rname)].into_iter().flatten()
        })
    }
}

/// Where the mapping of an idmapped mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    /// The mapping itself, or `None` for that of the container's own user namespace.
    pub mappings: Option<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>)>,
    pub recursive: bool,
}

/// A detached copy of a mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub path: PathBuf,
    pub recursive: bool,
    pub attributes: Attributes,
    /// In order. A copy starts in the peer group of its source: without a change, what the container mounts in it
    /// would appear on the host.
    pub propagation: Vec<Propagation>,
    pub idmap: Option<IdMap>,
}

/// What a slot is filled with.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Tree(Tree),
    Namespace {
        kind: Kind,
        path: PathBuf,
    },
    Seccomp(Box<Filter>),
    /// A stream connection to the UNIX socket at a path.
    Connect(PathBuf),
    /// The host's /proc, checked to be one.
    Proc,
    /// The socket `start` connects to.
    Gate,
    /// Filled by a step of the child.
    ByChild,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Tree(tree) => {
                write!(f, "open {}tree {}", if tree.recursive { "recursive " } else { "" }, tree.path.display())?;
                let options: Vec<String> = tree
                    .attributes
                    .names()
                    .map(str::to_owned)
                    .chain(tree.propagation.iter().map(Propagation::to_string))
                    .chain(tree.idmap.as_ref().map(|_| "idmap".to_owned()))
                    .collect();
                if options.is_empty() { Ok(()) } else { write!(f, " ({})", options.join(",")) }
            }
            Source::Namespace { kind, path } => write!(f, "open {kind} namespace {}", path.display()),
            Source::Seccomp(_) => f.write_str("compile seccomp filter"),
            Source::Connect(path) => write!(f, "connect to {}", path.display()),
            Source::Proc => f.write_str("open /proc"),
            Source::Gate => f.write_str("open the start socket"),
            Source::ByChild => f.write_str("left to the child"),
        }
    }
}
