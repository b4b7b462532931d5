//! Removal of trees by descriptor: no path is looked up twice, no link followed, and neither depth nor the number of open
//! files is a limit.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Error, Escaped, Result};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a directory on the way down still has to do.
struct Level {
    /// Its own name in the directory above.
    name: CString,
    subdirectories: Vec<CString>,
    inode: u64,
    /// It stays on its own account.
    keeps: bool,
    /// Something in it stays, so it does too.
    kept: bool,
}

/// Which objects stay, by the inode of their directory and their name; and which directories stay because something in
/// them does, whose descriptor is told and whose path below the directory that `remove` was given.
pub trait Keep {
    fn keeps(&self, directory: u64, name: &[u8]) -> bool;
    fn kept(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<()>;
}

/// Keeps nothing.
pub struct Nothing;

impl Keep for Nothing {
    fn keeps(&self, _: u64, _: &[u8]) -> bool {
        false
    }

    fn kept(&mut self, _: BorrowedFd<'_>, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Removes `name` in `parent` with all below it, but for what `keep` keeps. A directory that is kept is emptied of the
/// rest. Nothing happens if it is not there.
pub fn remove(parent: BorrowedFd<'_>, name: &[u8], keep: &mut dyn Keep) -> Result<()> {
    let mut removed = || -> Result<()> {
        let name = CString::new(name).map_err(|_| Error::invalid("a name with a NUL"))?;
        let stat = match statat(parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(()),
            stat => stat?,
        };
        let inode = fstat(parent)?.st_ino;
        let kept = keep.keeps(inode, name.to_bytes());
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return if kept { Ok(()) } else { Ok(unlinkat(parent, &name, AtFlags::empty())?) };
        }
        remove_directory(parent, name, kept, keep)
    };
    removed().map_err(|error| error.within(format!("remove {}", Escaped(name))))
}

fn remove_directory(parent: BorrowedFd<'_>, name: CString, kept: bool, keep: &mut dyn Keep) -> Result<()> {
    let mut current = openat(parent, &name, DIRECTORY, Mode::empty())?;
    let mut levels = vec![clear(&current, name, kept, keep)?];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.subdirectories.pop() {
            let kept = keep.keeps(level.inode, name.to_bytes());
            current = openat(&current, &name, DIRECTORY, Mode::empty())?;
            levels.push(clear(&current, name, kept, keep)?);
            continue;
        }
        let Some(done) = levels.pop() else { break };
        if done.kept && !done.keeps {
            let names = levels.iter().map(|level| level.name.to_bytes()).chain([done.name.to_bytes()]);
            keep.kept(current.as_fd(), &names.collect::<Vec<_>>().join(&b'/'))?;
        }
        let above: OwnedFd = match levels.last() {
            None => parent.try_clone_to_owned()?,
            Some(level) => {
                let above = openat(&current, "..", DIRECTORY, Mode::empty())?;
                if fstat(&above)?.st_ino != level.inode {
                    return Err(Error::invalid("the tree changes while it is removed"));
                }
                above
            }
        };
        match levels.last_mut() {
            _ if !done.kept && !done.keeps => unlinkat(&above, &done.name, AtFlags::REMOVEDIR)?,
            Some(level) => level.kept = true,
            None => {}
        }
        current = above;
    }
    Ok(())
}

/// Removes all of a directory that is no directory itself.
fn clear(dir: &OwnedFd, name: CString, keeps: bool, keep: &mut dyn Keep) -> Result<Level> {
    let inode = fstat(dir)?.st_ino;
    let mut level = Level { name, subdirectories: Vec::new(), inode, keeps, kept: false };
    // Names first: what a directory lists while it is changed is undefined.
    let mut files = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        match entry.file_type() {
            _ if matches!(name.to_bytes(), b"." | b"..") => {}
            FileType::Directory => level.subdirectories.push(name.to_owned()),
            FileType::Unknown => {
                let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => level.subdirectories.push(name.to_owned()),
                    _ => files.push(name.to_owned()),
                }
            }
            _ => files.push(name.to_owned()),
        }
    }
    for name in files {
        if keep.keeps(inode, name.to_bytes()) {
            level.kept = true;
        } else {
            unlinkat(dir, &name, AtFlags::empty())?;
        }
    }
    Ok(level)
}
