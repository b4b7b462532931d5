//! Applies a layer below a directory.
//!
//! A layer is unpacked *alone*, into a directory of its own that overlayfs will stack, or *onto* the tree of the layers
//! below it. Alone is what makes layers shareable and lets them be unpacked at the same time, but some mean something
//! else on another base: a path through a link that only a lower layer has, a hard link to a file of a lower layer. Those
//! give [`Kind::NeedsBase`] and are unpacked onto the tree, in which everything resolves as it will in the container.
//!
//! All names are looked up from a descriptor of the root, from which no `..` and no link leads out; nothing that exists
//! is opened for writing, but removed and made anew. Attributes of directories are set at the end, when nothing in them
//! changes any more.

pub mod attributes;
mod directories;
mod make;
mod parents;
mod path;
pub mod remove;
mod whiteouts;

use std::collections::HashSet;
use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Stat, fstat};

pub use attributes::{Attributes, Dropped};
pub use parents::is_whiteout;
pub use path::{joined, split};
pub use whiteouts::opaque_attribute;

use crate::error::{Context, Error, Escaped, Kind, Result};
use crate::tar::{self, Entry, Limits, Reader};
use directories::Directories;
use parents::Parent;
use path::Asks;

/// What the base of a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Unknown: the directory is empty, whiteouts become those of overlayfs.
    Alone,
    /// The tree in the directory: whiteouts remove what they hide.
    Onto,
}

/// What is asked for and allowed.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub limits: Limits,
    /// Make device nodes. Without, they are left out, as where the kernel does not allow them.
    pub devices: bool,
    /// All owners become the root of the user namespace, which has no other user.
    pub squash_owners: bool,
    /// Control overlayfs by `user.overlay.` attributes, which needs no privilege over the host.
    pub user_xattrs: bool,
}

/// What a layer turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub entries: u64,
    /// The attributes of the root directory, if the layer has an entry for it.
    pub root: Option<Attributes>,
    /// Nothing of the lower layers is seen.
    pub hides_all: bool,
    /// Directories without an entry of their own: they have the attributes they have in the lower layers.
    pub implicit: Vec<Vec<u8>>,
    /// Paths of whiteouts.
    pub whiteouts: Vec<Vec<u8>>,
    pub dropped: Dropped,
    pub devices_left_out: u64,
}

/// Applies the layer that `archive` holds below `root`. The archive is not read beyond its last entry.
///
/// The calling thread's mode creation mask must be 0.
///
/// # Errors
/// `NeedsBase`, only in [`Mode::Alone`]; `Invalid` for what the layer may not hold; the kernel's. What has been made so
/// far stays.
pub fn unpack<R: BufRead>(archive: R, root: OwnedFd, mode: Mode, rules: &Rules) -> Result<Unpacked> {
    let mut reader = Reader::new(archive, rules.limits);
    let mut tree = Tree::new(root, mode, rules);
    while let Some(entry) = reader.entry()? {
        tree.found.entries += 1;
        tree.take(&entry, &mut reader)
            .context(|| format!("entry {} \"{}\"", tree.found.entries, Escaped(&entry.path)))?;
    }
    tree.finish()
}

/// The tree a layer is applied to.
struct Tree<'r> {
    root: OwnedFd,
    mode: Mode,
    rules: &'r Rules,
    found: Unpacked,
    directories: Directories,
    /// The directory the last entry was made in.
    parent: Option<Parent>,
    /// In [`Mode::Onto`] what this layer has made, by the directory's inode and the name: its own whiteouts do not hide it.
    made: HashSet<(u64, u64)>,
    /// In [`Mode::Alone`] the directories that hide what lower layers have in them.
    opaque: HashSet<Vec<u8>>,
    /// What new files belong to by themselves.
    own: (u32, u32),
    hasher: std::hash::RandomState,
}

impl<'r> Tree<'r> {
    fn new(root: OwnedFd, mode: Mode, rules: &'r Rules) -> Tree<'r> {
        Tree {
            root,
            mode,
            rules,
            found: Unpacked::default(),
            directories: Directories::default(),
            parent: None,
            made: HashSet::new(),
            opaque: HashSet::new(),
            own: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            hasher: std::hash::RandomState::new(),
        }
    }

    fn take<R: BufRead>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        match path::asks(path::normal(&entry.path, &self.rules.limits)?)? {
            Asks::Make(path) if path.is_empty() => self.make_root(entry),
            Asks::Make(path) => self.make(&path, entry, reader),
            Asks::Hide(path) => self.hide(&path),
            Asks::HideBelow(path) => self.hide_below(&path),
            Asks::Nothing => Ok(()),
        }
    }

    /// The root is a directory and stays the one it is.
    fn make_root(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != tar::Kind::Directory {
            return Err(Error::invalid("the root of the image is no directory"));
        }
        let attributes = self.attributes(entry);
        let stat = fstat(&self.root)?;
        self.directories.set(&stat, b"", attributes.clone());
        self.found.root = Some(attributes);
        Ok(())
    }

    /// The attributes of `entry`, with an owner the user namespace has.
    fn attributes(&mut self, entry: &Entry) -> Attributes {
        let mut attributes = Attributes::of_entry(entry, &mut self.found.dropped);
        if self.rules.squash_owners {
            attributes.squash(&mut self.found.dropped);
        }
        attributes
    }

    fn alone(&self) -> bool {
        self.mode == Mode::Alone
    }

    /// Remembers that this layer made `name` in the directory with `stat`.
    fn remember(&mut self, directory: u64, name: &[u8]) {
        if !self.alone() {
            let key = self.key(directory, name);
            self.made.insert(key);
        }
    }

    fn key(&self, directory: u64, name: &[u8]) -> (u64, u64) {
        use std::hash::BuildHasher;
        (directory, self.hasher.hash_one(name))
    }

    fn finish(mut self) -> Result<Unpacked> {
        self.parent = None;
        if self.alone() {
            self.drop_hidden_whiteouts()?;
            self.found.implicit = self.directories.implicit();
        }
        let directories = std::mem::take(&mut self.directories);
        directories.apply(self.root.as_fd(), self.mode, &mut self.found.dropped)?;
        Ok(self.found)
    }
}

/// The layer cannot be unpacked without what is below it.
fn needs_base(why: &str) -> Error {
    Error::new(Kind::NeedsBase, why)
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
