//! The second half of unpacking, from the lowest layer up: what a layer by itself could not know is put right, or the
//! layer is unpacked once more onto those below it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode as Permissions, OFlags, statat, unlinkat};
use rustix::io::Errno;

use super::chain::{Chain, Link};
use super::layers::{Found, Fresh, Layer, LayerSource, Work};
use super::temporary::Making;
use crate::digest::Digest;
use crate::error::{Context, Error, Escaped, Result};
use crate::overlay::{Writable, stack};
use crate::unpack::{Attributes, Dropped, Mode, is_whiteout, split};
use crate::upper::{below, names};

/// Whether a layer by itself is right on its base.
enum Fit {
    AsItIs,
    /// With these changes.
    With(Vec<Change>),
    No,
}

/// What the base makes of a layer.
enum Change {
    /// A directory without an entry has the attributes of the lower one.
    Inherit(Vec<u8>, Attributes),
    /// There is nothing to hide; overlayfs would list the whiteout.
    Drop(Vec<u8>),
    /// A directory that was only made for such a whiteout.
    DropEmpty(Vec<u8>),
}

impl<'s> Work<'s, '_> {
    /// Puts the layers on one another.
    pub fn stack(&self, layers: &[LayerSource<'_>], ids: &[Digest], found: &mut Found<'s>) -> Result<Chain> {
        if self.options.durable && !found.fresh.is_empty() {
            self.sync()?;
        }
        let mut chain = self.store.empty_chain();
        for (layer, id) in layers.iter().zip(ids) {
            let link = match self.store.link(id)? {
                Some(link) => link,
                None => {
                    let base = (!chain.diff_ids.is_empty()).then_some(&chain);
                    self.link(base, layer, id, found).context(|| format!("layer {}", layer.digest))?
                }
            };
            self.store.push(&mut chain, id, &link);
        }
        if self.options.durable {
            // The renames too, before a name leads to them.
            self.sync()?;
        }
        chain.left_out = std::mem::take(&mut found.left_out);
        Ok(chain)
    }

    fn link(&self, base: Option<&Chain>, source: &LayerSource<'_>, id: &Digest, found: &mut Found<'s>) -> Result<Link> {
        let fresh = found.fresh.remove(source.diff_id);
        let shared = format!("layers/{}", source.diff_id.path());
        let layer = match &fresh {
            Some(fresh) => Some(fresh.layer.clone()),
            None => self.store.record(&format!("{shared}/layer.json"))?,
        };
        let tree = fresh.as_ref().map_or_else(|| format!("{shared}/fs"), |fresh| fresh.making.path("fs"));
        let fit = match &layer {
            Some(layer) => self.fit(base, layer, &tree)?,
            None => Fit::No,
        };
        match (fit, fresh, layer) {
            (Fit::AsItIs, Some(fresh), Some(layer)) => {
                fresh.making.commit(&shared)?;
                self.commit(None, base, source, id, &layer)
            }
            (Fit::AsItIs, None, Some(layer)) => self.commit(None, base, source, id, &layer),
            (Fit::With(changes), Some(fresh), Some(layer)) => {
                self.change(&fresh, &changes)?;
                self.commit(Some(&fresh.making), base, source, id, &layer)
            }
            _ => self.onto(base, source, id, found),
        }
    }

    /// Looks at the base for all that the layer leaves to it.
    fn fit(&self, base: Option<&Chain>, layer: &Layer, tree: &str) -> Result<Fit> {
        if layer.hides_all || (layer.implicit.is_empty() && layer.whiteouts.is_empty()) {
            return Ok(Fit::AsItIs);
        }
        let view = match base {
            Some(chain) => Some(chain.view()?),
            None => None,
        };
        let mut changes = Vec::new();
        for path in &layer.whiteouts {
            match look_up(view.as_ref(), path)? {
                Seen::Missing => changes.push(Change::Drop(path.clone())),
                Seen::Link => return Ok(Fit::No),
                Seen::Directory(_) | Seen::Other => {}
            }
        }
        let mut empty = Vec::new();
        for path in &layer.implicit {
            match look_up(view.as_ref(), path)? {
                // One that was made to hide something may have nothing to hide.
                Seen::Missing if changes.is_empty() && !self.is_empty(tree, path)? => {}
                Seen::Missing => empty.push(Change::DropEmpty(path.clone())),
                Seen::Directory(attributes) => changes.push(Change::Inherit(path.clone(), attributes)),
                Seen::Link | Seen::Other => return Ok(Fit::No),
            }
        }
        // What is deeper goes first.
        changes.extend(empty.into_iter().rev());
        Ok(if changes.is_empty() { Fit::AsItIs } else { Fit::With(changes) })
    }

    fn is_empty(&self, tree: &str, path: &[u8]) -> Result<bool> {
        let root = self.store.open_directory(tree)?;
        let directory = below(root.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        Ok(names(&directory)?.is_empty())
    }

    fn change(&self, fresh: &Fresh<'_>, changes: &[Change]) -> Result<()> {
        let root = self.store.open_directory(&fresh.making.path("fs"))?;
        let open = |path: &[u8]| below(root.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY);
        for change in changes {
            let (Change::Inherit(path, _) | Change::Drop(path) | Change::DropEmpty(path)) = change;
            let (above, name) = split(path);
            let parent = open(above)?;
            let times = Attributes::read(&parent)?;
            let changed = match change {
                Change::Drop(_) => match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) if is_whiteout(&stat) => unlinkat(&parent, name, AtFlags::empty()).map_err(Error::from),
                    Ok(_) | Err(Errno::NOENT) => Ok(()),
                    Err(errno) => Err(errno.into()),
                },
                Change::DropEmpty(_) => match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                    Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
                    Err(errno) => Err(errno.into()),
                },
                Change::Inherit(_, attributes) => attributes.apply(open(path)?.as_fd(), &mut Dropped::default()),
            };
            changed.and_then(|()| times.date(parent.as_fd())).context(|| format!("adapt \"{}\"", Escaped(path)))?;
        }
        Ok(())
    }

    /// Unpacks the layer onto the tree of those below it; overlayfs sees to it that only the changes are kept.
    fn onto(&self, base: Option<&Chain>, source: &LayerSource<'_>, id: &Digest, found: &mut Found<'s>) -> Result<Link> {
        let making = self.store.making()?;
        let upper = making.directory("fs")?;
        let root = match base {
            None => upper.try_clone()?,
            Some(base) => {
                base.root.apply(upper.as_fd(), &mut Dropped::default())?;
                making.directory("work")?;
                let [upper, work] = ["fs", "work"].map(|name| self.store.path.join(making.path(name)));
                let writable = Writable { upper: &upper, work: &work };
                let mount = stack(&base.lowers, Some(writable), self.store.user_xattrs)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                rustix::fs::openat(&mount, ".", flags, Permissions::empty())?
            }
        };
        let unpacked = self.unpack(source, root, Mode::Onto)?;
        found.leave_out(&unpacked);
        if base.is_some() {
            making.remove("work")?;
        }
        if self.options.durable {
            self.sync()?;
        }
        let layer = Layer { root: unpacked.root, hides_all: false, implicit: Vec::new(), whiteouts: Vec::new() };
        self.commit(Some(&making), base, source, id, &layer)
    }

    /// Records what the layer is on its base, and puts its tree, if it is of use here alone, beside that.
    fn commit(
        &self,
        own: Option<&Making<'_>>,
        base: Option<&Chain>,
        source: &LayerSource<'_>,
        id: &Digest,
        layer: &Layer,
    ) -> Result<Link> {
        let inherited = base.map_or_else(Attributes::default, |base| base.root.clone());
        let link = Link {
            diff_id: source.diff_id.clone(),
            own: own.is_some(),
            inherits_root: layer.root.is_none(),
            root: layer.root.clone().unwrap_or(inherited),
            hides_all: layer.hides_all,
        };
        let making = self.store.making()?;
        if link.inherits_root {
            link.root.apply(making.directory("root")?.as_fd(), &mut Dropped::default())?;
        }
        if let Some(own) = own {
            own.hand_over("fs", &making)?;
        }
        self.store.write_durably(&making.path("link.json"), &link)?;
        making.commit(&format!("chains/{}", id.path()))?;
        Ok(link)
    }

    fn sync(&self) -> Result<()> {
        rustix::fs::syncfs(&self.store.dir).context(|| "write layers to the disk")
    }
}

/// What the base has at a path.
enum Seen {
    Missing,
    Directory(Attributes),
    /// The path leads through a symbolic link, or is one.
    Link,
    Other,
}

fn look_up(view: Option<&OwnedFd>, path: &[u8]) -> Result<Seen> {
    let Some(view) = view else { return Ok(Seen::Missing) };
    match below(view.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Ok(directory) => Attributes::read(directory).map(Seen::Directory),
        Err(Errno::NOENT) => Ok(Seen::Missing),
        Err(Errno::LOOP) => {
            // A link at the end can be hidden like any other file.
            let (above, name) = split(path);
            match below(view.as_fd(), above, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(parent) => statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map(|_| Seen::Other).map_err(Into::into),
                Err(_) => Ok(Seen::Link),
            }
        }
        Err(Errno::NOTDIR) => {
            // Either it is a file, or it lies below one, where there is nothing.
            let (above, _) = split(path);
            match below(view.as_fd(), above, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(_) => Ok(Seen::Other),
                Err(_) => Ok(Seen::Missing),
            }
        }
        Err(errno) => Err(Error::from(errno).within(format!("look up \"{}\"", Escaped(path)))),
    }
}

impl super::Store {
    pub(super) fn open_directory(&self, name: &str) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.dir, name, flags, Permissions::empty()).context(|| format!("open {name}"))
    }
}
