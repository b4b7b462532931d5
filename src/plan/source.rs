//! What has to be opened on the host before the clone: sources, and the slots they fill.

use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;

use coracle_sys::mount::{MountAttr, attr};
use oci_spec::runtime::LinuxIdMapping;

use crate::namespaces::Kind;
use crate::seccomp::Filter;
use crate::step::show;

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
    /// Cleared like `clear`, though nobody named it: kept where the kernel has locked it.
    pub implied: u64,
}

impl Attributes {
    /// The change of the mount itself.
    pub fn own(&self) -> MountAttr {
        MountAttr { set: self.set, clear: self.clear | self.implied, propagation: 0 }
    }

    /// The change of the mount itself where it may lose nothing it was not told to.
    pub fn own_named(&self) -> MountAttr {
        MountAttr { set: self.set, clear: self.clear, propagation: 0 }
    }

    /// The change of the mount and everything below it.
    pub fn all(&self) -> MountAttr {
        MountAttr { set: self.recursive_set, clear: self.recursive_clear, propagation: 0 }
    }

    /// The option names of what is set and cleared; `exact` if whatever is not named goes too.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(u64, [&str; 4]); 8] = [
            (attr::RDONLY, ["ro", "rw", "rro", "rrw"]),
            (attr::NOSUID, ["nosuid", "suid", "rnosuid", "rsuid"]),
            (attr::NODEV, ["nodev", "dev", "rnodev", "rdev"]),
            (attr::NOEXEC, ["noexec", "exec", "rnoexec", "rexec"]),
            (attr::NOATIME, ["noatime", "", "rnoatime", ""]),
            (attr::STRICTATIME, ["strictatime", "", "rstrictatime", ""]),
            (attr::NODIRATIME, ["nodiratime", "diratime", "rnodiratime", "rdiratime"]),
            (attr::NOSYMFOLLOW, ["nosymfollow", "symfollow", "rnosymfollow", "rsymfollow"]),
        ];
        let fields = [self.set, self.clear, self.recursive_set, self.recursive_clear];
        let time = |set: u64, clear: u64| clear & attr::ATIME != 0 && set & attr::ATIME == 0;
        let own = time(self.set, self.clear).then_some("relatime");
        let all = time(self.recursive_set, self.recursive_clear).then_some("rrelatime");
        let named = NAMES.into_iter().flat_map(move |(bit, names)| {
            let one = move |(field, name): (u64, &'static str)| (field & bit != 0 && !name.is_empty()).then_some(name);
            fields.into_iter().zip(names).filter_map(one)
        });
        named.chain(own).chain(all).chain((self.implied != 0).then_some("exact"))
    }
}

/// Whose mapping an idmapped mount gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Its own, of user and group ids.
    Own(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>),
    /// That of the user namespace at a path.
    Joined(PathBuf),
    /// That of the container's new user namespace: applied by the parent once it is there.
    New,
}

/// An id mapping of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdMap {
    pub mapping: Mapping,
    pub recursive: bool,
}

/// What becomes of symbolic links in the path of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    Follow,
    /// Refuse them anywhere in the path.
    Refuse,
    /// Mount what the last component is, a link too.
    Last,
    /// A link at the end of the path takes the place of a tree: it is copied, not mounted.
    Copy,
}

/// A detached copy of a mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Absolute.
    pub path: CString,
    pub recursive: bool,
    pub links: Links,
    pub attributes: Attributes,
    /// In order. A copy starts in the peer group of its source: without a change, what the container mounts in it
    /// would appear on the host.
    pub propagation: Vec<Propagation>,
    pub idmap: Option<IdMap>,
}

impl Tree {
    /// The mount at `path` alone, as it is, private.
    pub fn private(path: CString) -> Tree {
        let propagation = vec![Propagation { flag: libc::MS_PRIVATE, recursive: false }];
        let attributes = Attributes::default();
        Tree { path, recursive: false, links: Links::Follow, attributes, propagation, idmap: None }
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "open {}mount source {}", if self.recursive { "recursive " } else { "" }, show(&self.path))?;
        let options: Vec<String> = self
            .attributes
            .names()
            .map(str::to_owned)
            .chain(self.propagation.iter().map(Propagation::to_string))
            .chain(match self.links {
                Links::Last => Some("src-nofollow".to_owned()),
                Links::Copy => Some("copy-symlink".to_owned()),
                Links::Follow | Links::Refuse => None,
            })
            .chain(self.idmap.as_ref().map(|map| if map.recursive { "ridmap".into() } else { "idmap".into() }))
            .collect();
        if options.is_empty() { Ok(()) } else { write!(f, " ({})", options.join(",")) }
    }
}

/// What a slot is filled with.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    Tree(Tree),
    /// A directory, not reached by symbolic links (`O_PATH`).
    Directory(CString),
    Namespace {
        kind: Kind,
        path: PathBuf,
        /// Where the configuration names it.
        pointer: String,
        /// What of the configuration cannot be done if it is the runtime's own.
        not_ours: Option<String>,
    },
    /// A pidfd of the process with this id and start time (clock ticks since boot).
    Process {
        pid: i32,
        start_time: u64,
    },
    Seccomp(Box<Filter>),
    /// A filter as the kernel takes it.
    SeccompProgram(Vec<u8>),
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
            Source::Tree(tree) => tree.fmt(f),
            Source::Directory(path) => write!(f, "open directory {}", show(path)),
            Source::Namespace { kind, path, .. } => write!(f, "open {kind} namespace {}", path.display()),
            Source::Process { pid, .. } => write!(f, "open process {pid}"),
            Source::SeccompProgram(program) => write!(f, "seccomp program of {} instructions", program.len() / 8),
            Source::Seccomp(_) => f.write_str("compile seccomp filter"),
            Source::Connect(path) => write!(f, "connect to {}", path.display()),
            Source::Proc => f.write_str("open /proc"),
            Source::Gate => f.write_str("open the start socket"),
            Source::ByChild => f.write_str("left to the child"),
        }
    }
}
