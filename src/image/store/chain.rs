//! A chain: the layers of an image as they stand one on the other.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdir, open};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{EMPTY, Store};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::overlay::{Writable, attach, stack};
use crate::unpack::{Attributes, Dropped};

/// What is kept of one layer on its base, in `chains/ALGORITHM/CHAINID/link.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Link {
    pub diff_id: Digest,
    /// The tree is beside this file, since it is of use on this base only; else it is that of the layer by diffID.
    pub own: bool,
    /// The attributes of the root directory once this layer is applied.
    pub root: Attributes,
    /// The layer has no entry for the root: a directory `root` beside this file has the attributes.
    pub inherits_root: bool,
    /// No layer below is seen.
    pub hides_all: bool,
}

/// The layers of an image, complete and verified, ready to be mounted.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The chainID (config.md) of all its layers.
    pub id: Digest,
    pub diff_ids: Vec<Digest>,
    /// The directories of its layers, the uppermost first.
    pub lowers: Vec<PathBuf>,
    /// The attributes of the root directory.
    pub root: Attributes,
    /// What of the layers could not be kept.
    pub left_out: LeftOut,
    pub(super) root_directory: Option<PathBuf>,
    pub(super) user_xattrs: bool,
}

/// What an image has and its unpacked form lacks, only known when it has just been unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    pub xattrs: Dropped,
    pub devices: u64,
}

impl Chain {
    /// The tree of the image, to look at: mounted read-only, attached nowhere.
    pub fn view(&self) -> Result<OwnedFd> {
        match self.lowers.as_slice() {
            // One directory is no stack.
            [only] => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                open(only, flags, Mode::empty()).context(|| format!("open {}", only.display()))
            }
            lowers => stack(lowers, None, self.user_xattrs),
        }
    }

    /// Mounts the image read-only on the directory `target`.
    pub fn mount_read_only(&self, target: &Path) -> Result<()> {
        let mut lowers = self.lowers.clone();
        if let Some(root) = &self.root_directory {
            lowers.insert(0, root.clone());
        }
        let mount = match lowers.as_slice() {
            // One directory is no stack.
            [only] => read_only(only).context(|| format!("mount {}", only.display()))?,
            lowers => stack(lowers, None, self.user_xattrs)?,
        };
        attach(mount.as_fd(), target)
    }

    /// Mounts the image on the directory `target`; what is changed there goes to `writable.upper`. Both directories are
    /// made if they are not there, and must be on one file system.
    ///
    /// Files with set-user-ID are reachable by whoever can enter them: they belong below a directory of mode 0700.
    pub fn mount(&self, target: &Path, writable: Writable<'_>) -> Result<()> {
        if new_directory(writable.upper)? {
            let upper = open(writable.upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            self.root
                .apply(upper.as_fd(), &mut Dropped::default())
                .context(|| format!("prepare {}", writable.upper.display()))?;
        }
        new_directory(writable.work)?;
        attach(stack(&self.lowers, Some(writable), self.user_xattrs)?.as_fd(), target)
    }
}

/// A detached, read-only mount of the directory.
fn read_only(directory: &Path) -> Result<OwnedFd> {
    use coracle_sys::mount::{MountAttr, OPEN_TREE_CLONE, attr, mount_setattr, open_tree};
    let tree = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mount = open_tree(tree.as_fd(), c"", OPEN_TREE_CLONE | nix::libc::AT_EMPTY_PATH as u32)?;
    mount_setattr(mount.as_fd(), false, MountAttr { set: attr::RDONLY, ..MountAttr::default() }, None)?;
    Ok(mount)
}

/// Makes the directory; false if it is there.
fn new_directory(path: &Path) -> Result<bool> {
    match mkdir(path, Mode::RWXU) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(Error::from(errno).within(format!("make {}", path.display()))),
    }
}

/// The chainIDs of the layers from the lowest up (config.md, "Layer ChainID").
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut ids: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        ids.push(match ids.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        });
    }
    ids
}

impl Store {
    /// The chain of these layers, the lowest first, if all of them are unpacked.
    pub fn chain(&self, diff_ids: &[Digest]) -> Result<Option<Chain>> {
        let mut chain = self.empty_chain();
        for id in &chain_ids(diff_ids) {
            let Some(link) = self.link(id)? else { return Ok(None) };
            self.push(&mut chain, id, &link);
        }
        Ok(Some(chain))
    }

    /// That of an image without layers: a directory with nothing in it.
    pub(super) fn empty_chain(&self) -> Chain {
        Chain {
            id: Digest::sha256(b""),
            diff_ids: Vec::new(),
            lowers: vec![self.path.join(EMPTY)],
            root: Attributes::default(),
            left_out: LeftOut::default(),
            root_directory: None,
            user_xattrs: self.user_xattrs,
        }
    }

    /// Puts a layer above those of `chain`.
    pub(super) fn push(&self, chain: &mut Chain, id: &Digest, link: &Link) {
        if link.hides_all || chain.diff_ids.is_empty() {
            chain.lowers.clear();
        }
        let tree = self.tree_of(id, link);
        // overlayfs takes a directory once; where a layer comes again, all it had is in the upper one.
        chain.lowers.retain(|lower| *lower != tree);
        chain.lowers.insert(0, tree);
        chain.id = id.clone();
        chain.diff_ids.push(link.diff_id.clone());
        chain.root = link.root.clone();
        chain.root_directory = link.inherits_root.then(|| self.path.join(format!("chains/{}/root", id.path())));
    }

    fn tree_of(&self, id: &Digest, link: &Link) -> PathBuf {
        self.path.join(if link.own {
            format!("chains/{}/fs", id.path())
        } else {
            format!("layers/{}/fs", link.diff_id.path())
        })
    }

    /// What is known of the layer with this chainID.
    pub(super) fn link(&self, id: &Digest) -> Result<Option<Link>> {
        self.record(&format!("chains/{}/link.json", id.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_one_layer_is_the_layer() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let ids = chain_ids(&[a.clone(), b.clone()]);
        assert_eq!(ids[0], a);
        assert_eq!(ids[1], Digest::sha256(format!("{a} {b}").as_bytes()));
    }
}
