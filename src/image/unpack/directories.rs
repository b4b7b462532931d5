//! The directories of a layer, whose attributes are set when all is unpacked.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{OFlags, ResolveFlags, Stat, fstat};
use rustix::io::Errno;

use super::attributes::{Attributes, Dropped, remove_others};
use super::{Mode, inode};
use crate::error::{Context, Escaped, Result};
use crate::scoped::open_scoped;

/// What is known of a directory.
#[derive(Debug)]
enum Fate {
    /// It has an entry.
    Explicit(Attributes),
    /// It was made for what is in it, and lower layers may know more of it.
    Implicit,
    /// It was made for what is in it, where the layer itself hides whatever lower layers have.
    Fresh,
    /// It was there; only its times have to be as they were.
    Touched(Attributes),
}

#[derive(Debug)]
struct Directory {
    path: Vec<u8>,
    fate: Fate,
}

/// Directories by device and inode, as one may have several paths.
#[derive(Debug, Default)]
pub struct Directories(HashMap<(u64, u64), Directory>);

impl Directories {
    pub fn set(&mut self, stat: &Stat, path: &[u8], attributes: Attributes) {
        self.0.insert(inode(stat), Directory { path: path.to_vec(), fate: Fate::Explicit(attributes) });
    }

    pub fn made_implicitly(&mut self, stat: &Stat, path: &[u8], fresh: bool) {
        let fate = if fresh { Fate::Fresh } else { Fate::Implicit };
        self.0.insert(inode(stat), Directory { path: path.to_vec(), fate });
    }

    /// The directory is about to be changed; what it is now stays, unless the layer says otherwise.
    pub fn touch(&mut self, stat: &Stat, path: &[u8]) {
        self.0.entry(inode(stat)).or_insert_with(|| {
            let attributes =
                Attributes { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32, ..Attributes::default() };
            Directory { path: path.to_vec(), fate: Fate::Touched(attributes) }
        });
    }

    /// What the lower layers say of this directory does not count, unless it has an entry of its own.
    pub fn freshen(&mut self, stat: &Stat, path: &[u8]) {
        let directory =
            self.0.entry(inode(stat)).or_insert_with(|| Directory { path: path.to_vec(), fate: Fate::Fresh });
        if !matches!(directory.fate, Fate::Explicit(_)) {
            directory.fate = Fate::Fresh;
        }
    }

    pub fn is_explicit(&self, stat: &Stat) -> bool {
        self.0.get(&inode(stat)).is_some_and(|directory| matches!(directory.fate, Fate::Explicit(_)))
    }

    /// The paths of directories that have the attributes of the lower layers, parents first.
    pub fn implicit(&self) -> Vec<Vec<u8>> {
        let implicit = self.0.values().filter(|directory| matches!(directory.fate, Fate::Implicit));
        let mut paths: Vec<_> = implicit.map(|directory| directory.path.clone()).collect();
        paths.sort_unstable();
        paths
    }

    /// Marks the implicit ones for which `hidden` holds as fresh.
    pub fn freshen_where(&mut self, hidden: impl Fn(&[u8]) -> bool) {
        for directory in self.0.values_mut() {
            if matches!(directory.fate, Fate::Implicit) && hidden(&directory.path) {
                directory.fate = Fate::Fresh;
            }
        }
    }

    /// Sets all attributes. A directory that has been replaced since is left alone.
    pub fn apply(self, root: BorrowedFd<'_>, mode: Mode, dropped: &mut Dropped) -> Result<()> {
        for (key, directory) in self.0 {
            let Directory { path, fate } = directory;
            let set = || -> Result<()> {
                let resolve = match mode {
                    Mode::Alone => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
                    Mode::Onto => ResolveFlags::IN_ROOT,
                };
                let fd = match open_scoped(root, &path, OFlags::RDONLY | OFlags::DIRECTORY, resolve) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                    fd => fd?,
                };
                if inode(&fstat(&fd)?) != key {
                    return Ok(());
                }
                fate.apply(fd.as_fd(), mode, dropped)
            };
            set().context(|| format!("directory \"{}\"", Escaped(&path)))?;
        }
        Ok(())
    }
}

impl Fate {
    fn apply(self, fd: BorrowedFd<'_>, mode: Mode, dropped: &mut Dropped) -> Result<()> {
        let attributes = match self {
            Fate::Touched(attributes) => return attributes.date(fd),
            Fate::Explicit(attributes) => attributes,
            Fate::Implicit | Fate::Fresh => Attributes::default(),
        };
        if mode == Mode::Onto {
            remove_others(fd, &attributes.xattrs)?;
        }
        attributes.apply(fd, dropped)
    }
}
