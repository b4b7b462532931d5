//! A container's changes against its image, as `docker diff` shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, OFlags, Stat, statat};
use rustix::io::Errno;

use crate::error::Result;
use crate::store::Chain;
use crate::unpack::{joined, split};
use crate::upper::{Object, Upper, below, names};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Added => "A",
            ChangeKind::Modified => "C",
            ChangeKind::Deleted => "D",
        })
    }
}

/// One change. The path has no slash at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    pub path: Vec<u8>,
}

/// The changes in `upper` against `chain`, by path. `excluded` are the mount points of the container: what the runtime has
/// made for them is no change.
///
/// A directory counts as modified when its mode, owner or time is another, or when something in it was added or deleted.
pub fn changes(chain: &Chain, upper: &Path, excluded: &[Vec<u8>]) -> Result<Vec<Change>> {
    let view = chain.view()?;
    let mut found = BTreeMap::new();
    let upper = Upper::open(upper, excluded)?;
    upper.walk(&mut |object| compare(&view, &upper, object, &mut found))?;
    let touched: Vec<Vec<u8>> = found
        .iter()
        .filter(|(_, kind)| **kind != ChangeKind::Modified)
        .map(|(path, _): (&Vec<u8>, _)| split(path).0.to_vec())
        .filter(|parent| !parent.is_empty())
        .collect();
    for parent in touched {
        found.entry(parent).or_insert(ChangeKind::Modified);
    }
    Ok(found.into_iter().map(|(path, kind)| Change { kind, path }).collect())
}

fn compare(
    view: &OwnedFd,
    upper: &Upper,
    object: &Object<'_>,
    found: &mut BTreeMap<Vec<u8>, ChangeKind>,
) -> Result<()> {
    let lower = look_up(view, object.path)?;
    let kind = match &lower {
        None if object.whiteout => return Ok(()),
        Some(_) if object.whiteout => ChangeKind::Deleted,
        None => ChangeKind::Added,
        Some(lower) if object.kind() == FileType::Directory && is_directory(lower) => {
            if object.opaque {
                hidden(view, upper, object.path, found)?;
            }
            if same_directory(lower, &object.stat, upper.has_mount_point_in(object.path)) {
                return Ok(());
            }
            ChangeKind::Modified
        }
        Some(_) => ChangeKind::Modified,
    };
    found.insert(object.path.to_vec(), kind);
    Ok(())
}

/// What the image has in a directory of which the container sees only its own.
fn hidden(view: &OwnedFd, upper: &Upper, path: &[u8], found: &mut BTreeMap<Vec<u8>, ChangeKind>) -> Result<()> {
    let own = upper.directory(path)?;
    for name in names(&below(view, path, OFlags::RDONLY | OFlags::DIRECTORY)?)? {
        if let Err(Errno::NOENT) = statat(&own, &name, AtFlags::SYMLINK_NOFOLLOW) {
            found.insert(joined(path, name.to_bytes()), ChangeKind::Deleted);
        }
    }
    Ok(())
}

fn look_up(view: &OwnedFd, path: &[u8]) -> Result<Option<Stat>> {
    let (parent, name) = split(path);
    let found = below(view, parent, OFlags::PATH | OFlags::DIRECTORY)
        .and_then(|parent| statat(parent, name, AtFlags::SYMLINK_NOFOLLOW));
    match found {
        Ok(stat) => Ok(Some(stat)),
        // Where the container has a directory, the image may have a file or a link.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A directory is in `upper` for what is in it, too. The time of one with mount points says nothing of the container.
fn same_directory(lower: &Stat, upper: &Stat, any_time: bool) -> bool {
    let facts = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid);
    let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
    facts(lower) == facts(upper) && (any_time || time(lower) == time(upper))
}
