//! Directories in the making. Each is locked by who makes it, so what a killed process has left is told from what is
//! still being made.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, mkdirat, openat, renameat_with, statat,
};
use rustix::io::Errno;

use super::Store;
use crate::error::{Context, Result};
use crate::unpack::remove::{Nothing, remove};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The suffix of directories in the making; blobs have another.
const SUFFIX: &str = ".making";

/// A directory below `temporary`, which is removed when it is dropped unless it is committed.
#[derive(Debug)]
pub struct Making<'s> {
    store: &'s Store,
    name: String,
    dir: Option<OwnedFd>,
}

impl Store {
    /// A new directory in the making.
    pub(super) fn making(&self) -> Result<Making<'_>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let made = || -> Result<Making<'_>> {
            loop {
                let count = COUNT.fetch_add(1, Ordering::Relaxed);
                let name = format!("temporary/{}.{count}{SUFFIX}", std::process::id());
                match mkdirat(&self.dir, &name, Mode::RWXU) {
                    // One who has the same number, maybe in another PID namespace, and maybe still at work.
                    Err(Errno::EXIST) => continue,
                    made => made?,
                }
                if let Some(dir) = self.locked(&name)? {
                    return Ok(Making { store: self, name, dir: Some(dir) });
                }
            }
        };
        made().context(|| "make a temporary directory")
    }

    /// Opens and locks a directory in the making. None if somebody else has it or has taken it away.
    fn locked(&self, name: &str) -> Result<Option<OwnedFd>> {
        let locked = || -> rustix::io::Result<OwnedFd> {
            let dir = openat(&self.dir, name, DIRECTORY, Mode::empty())?;
            flock(&dir, FlockOperation::NonBlockingLockExclusive)?;
            // It may have gone to the trash between the two.
            let (own, there) = (fstat(&dir)?, statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)?);
            if own.st_ino == there.st_ino { Ok(dir) } else { Err(Errno::NOENT) }
        };
        match locked() {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT | Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes what processes that are no more have begun.
    pub(super) fn discard_abandoned(&self) -> Result<()> {
        for name in self.names("temporary")? {
            if !name.ends_with(SUFFIX) {
                continue;
            }
            let name = format!("temporary/{name}");
            if let Some(_dir) = self.locked(&name)? {
                self.discard(&name)?;
            }
        }
        Ok(())
    }

    /// Removes `name` of the store: first out of the way, then all below it.
    pub(super) fn discard(&self, name: &str) -> Result<()> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let trash = format!("{}.{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let moved = format!("trash/{trash}");
        match renameat_with(&self.dir, name, &self.dir, &moved, RenameFlags::NOREPLACE) {
            Err(Errno::NOENT) => return Ok(()),
            // Left by a process that had the same number.
            Err(Errno::EXIST) => self.remove_trash(&trash)?,
            renamed => return renamed.map_err(Into::into).and_then(|()| self.remove_trash(&trash)),
        }
        renameat_with(&self.dir, name, &self.dir, &moved, RenameFlags::NOREPLACE)?;
        self.remove_trash(&trash)
    }

    pub(super) fn remove_trash(&self, name: &str) -> Result<()> {
        let trash = openat(&self.dir, "trash", DIRECTORY, Mode::empty())?;
        remove(trash.as_fd(), name.as_bytes(), &mut Nothing)
    }

    /// The names in a directory of the store that are text, which all it makes are.
    pub(super) fn names(&self, directory: &str) -> Result<Vec<String>> {
        let listed = || -> Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in Dir::new(openat(&self.dir, directory, DIRECTORY, Mode::empty())?)? {
                if let Ok(name) = entry?.file_name().to_str() {
                    names.push(name.to_owned());
                }
            }
            names.retain(|name| name != "." && name != "..");
            Ok(names)
        };
        listed().context(|| format!("list {directory}"))
    }
}

impl Making<'_> {
    /// A new directory in it.
    pub fn directory(&self, name: &str) -> Result<OwnedFd> {
        let made = || -> Result<OwnedFd> {
            let path = self.path(name);
            mkdirat(&self.store.dir, &path, Mode::from_raw_mode(0o755))?;
            Ok(openat(&self.store.dir, &path, DIRECTORY, Mode::empty())?)
        };
        made().context(|| format!("make {name}"))
    }

    /// The name of something in it, from the root of the store.
    pub fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// Takes something out of it, to its place in another one.
    pub fn hand_over(&self, name: &str, other: &Making<'_>) -> Result<()> {
        let dir = &self.store.dir;
        renameat_with(dir, self.path(name), dir, other.path(name), RenameFlags::NOREPLACE)
            .context(|| format!("rename {name}"))
    }

    /// Removes something in it.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.store.discard(&self.path(name))
    }

    /// Puts it into its place. When something is there already, that was complete too, and stays.
    pub fn commit(mut self, place: &str) -> Result<()> {
        let dir = &self.store.dir;
        match renameat_with(dir, &self.name, dir, place, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.dir = None;
                Ok(())
            }
            Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
            Err(errno) => Err(errno).context(|| format!("rename to {place}")),
        }
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.dir.is_some() {
            // What cannot be removed now is found by the next one.
            let _ = self.store.discard(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_makes_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let mine = store.making().unwrap();
        // As of a process with the same number in another PID namespace.
        let (id, count) = (std::process::id(), mine.name.split('.').nth(1).unwrap().parse::<u64>().unwrap());
        let others = (1..50).map(|more| format!("temporary/{id}.{}{SUFFIX}", count + more)).collect::<Vec<_>>();
        let held: Vec<_> = others
            .iter()
            .map(|name| {
                mkdirat(&store.dir, name, Mode::RWXU).unwrap();
                store.locked(name).unwrap().unwrap()
            })
            .collect();
        let next = store.making().unwrap();
        assert!(!others.contains(&next.name));
        store.discard_abandoned().unwrap();
        assert!(others.iter().chain([&mine.name, &next.name]).all(|name| store.has(name).unwrap()));
        drop(held);
        store.discard_abandoned().unwrap();
        assert!(!others.iter().any(|name| store.has(name).unwrap()));
    }
}
