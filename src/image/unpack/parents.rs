//! The directories that entries are made in: looked up so that nothing leads out of the root, made where they are missing.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, getxattr, mkdirat, openat, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;

use super::path::joined;
use super::{Tree, needs_base};
use crate::error::{Error, Escaped, Result};
use crate::scoped::open_scoped;

const PATH: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// More links than the kernel follows in one path (path_resolution(7)).
const LINKS: usize = 40;

/// A directory, open, and what matters of it to what is made in it.
#[derive(Debug)]
pub struct Parent {
    pub path: Vec<u8>,
    pub fd: OwnedFd,
    pub inode: u64,
    /// What is made in it gets its group.
    pub gives_group: bool,
    /// What is made in it gets its default access list.
    pub gives_acl: bool,
}

impl Tree<'_> {
    /// The directory `path`, made if it is missing, with its parents. The caller gives it back by `self.parent = Some(..)`
    /// unless it has removed something: then any path may mean another directory.
    pub fn parent(&mut self, path: &[u8]) -> Result<Parent> {
        match self.parent.take() {
            Some(parent) if parent.path == path => Ok(parent),
            _ if self.alone() => self.parent_alone(path),
            _ => match self.existing(path)? {
                Some(parent) => Ok(parent),
                None => {
                    let fd = self.make_parents(path.to_vec())?;
                    self.opened(path, fd)
                }
            },
        }
    }

    /// The directory `path` of the tree, if it is there.
    pub fn existing(&mut self, path: &[u8]) -> Result<Option<Parent>> {
        match self.look_up(path) {
            Ok(fd) => self.opened(path, fd).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR) => Err(not_a_directory(path)),
            Err(errno) => Err(Error::from(errno).within(format!("open \"{}\"", Escaped(path)))),
        }
    }

    pub fn look_up(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        let resolve =
            if self.alone() { ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS } else { ResolveFlags::IN_ROOT };
        open_scoped(&self.root, path, PATH, resolve)
    }

    fn opened(&mut self, path: &[u8], fd: OwnedFd) -> Result<Parent> {
        let stat = fstat(&fd)?;
        let mut parent = Parent { path: path.to_vec(), fd, inode: stat.st_ino, gives_group: false, gives_acl: false };
        if !self.alone() {
            self.directories.touch(&stat, path);
            parent.gives_group = stat.st_mode & 0o2000 != 0;
            // A descriptor that only names the directory has no attributes to ask for.
            let name = format!("/proc/self/fd/{}", parent.fd.as_raw_fd());
            let acl = getxattr(name, "system.posix_acl_default", &mut [0_u8; 64]);
            parent.gives_acl = matches!(acl, Ok(1..) | Err(Errno::RANGE));
        }
        Ok(parent)
    }

    /// Walks down in a layer of its own, in which no link is followed.
    fn parent_alone(&mut self, path: &[u8]) -> Result<Parent> {
        match self.look_up(path) {
            Ok(fd) => return self.opened(path, fd),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::LOOP) => return Err(needs_base("a path through a symbolic link")),
            Err(errno) => return Err(errno.into()),
        }
        let mut current = self.look_up(b"")?;
        let mut so_far = Vec::with_capacity(path.len());
        for component in path.split(|&b| b == b'/') {
            so_far = joined(&so_far, component);
            let flags = PATH | OFlags::NOFOLLOW;
            current = match openat(&current, component, flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => self.make_directory(&current, component, &so_far, false)?,
                Err(Errno::NOTDIR) => match self.existing_kind(&current, component)? {
                    (FileType::Symlink, _) => return Err(needs_base("a path through a symbolic link")),
                    (_, true) => {
                        unlinkat(&current, component, AtFlags::empty())?;
                        let made = self.make_directory(&current, component, &so_far, true)?;
                        self.make_opaque(&made, &so_far)?;
                        made
                    }
                    _ => return Err(not_a_directory(&so_far)),
                },
                Err(errno) => return Err(errno.into()),
            };
        }
        self.opened(path, current)
    }

    /// What `name` is, and whether it is a whiteout.
    pub fn existing_kind(&self, parent: &OwnedFd, name: &[u8]) -> Result<(FileType, bool)> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok((FileType::from_raw_mode(stat.st_mode), self.alone() && is_whiteout(&stat)))
    }

    fn make_directory(&mut self, parent: &OwnedFd, name: &[u8], path: &[u8], fresh: bool) -> Result<OwnedFd> {
        mkdirat(parent, name, Mode::RWXU)?;
        let fd = openat(parent, name, PATH | OFlags::NOFOLLOW, Mode::empty())?;
        let stat = fstat(&fd)?;
        self.directories.made_implicitly(&stat, path, fresh);
        Ok(fd)
    }

    /// Makes what is missing of `path`, which may lead through links to what is not there yet.
    fn make_parents(&mut self, mut path: Vec<u8>) -> Result<OwnedFd> {
        'again: for _ in 0..LINKS {
            let mut above = self.look_up(b"")?;
            let mut so_far = Vec::new();
            let components: Vec<Vec<u8>> =
                path.split(|&b| b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect();
            for (i, component) in components.iter().enumerate() {
                let next = joined(&so_far, component);
                above = match self.look_up(&next) {
                    Ok(fd) => fd,
                    Err(Errno::NOENT) => {
                        let stat = fstat(&above)?;
                        self.directories.touch(&stat, &so_far);
                        match readlinkat(&above, component.as_slice(), Vec::new()) {
                            Ok(target) => {
                                let base: &[u8] = if target.to_bytes().starts_with(b"/") { b"" } else { &so_far };
                                path = joined(base, target.to_bytes());
                                for rest in &components[i + 1..] {
                                    path = joined(&path, rest);
                                }
                                continue 'again;
                            }
                            Err(Errno::NOENT) => self.make_directory(&above, component, &next, true)?,
                            Err(errno) => return Err(errno.into()),
                        }
                    }
                    Err(Errno::NOTDIR) => return Err(not_a_directory(&next)),
                    Err(errno) => return Err(errno.into()),
                };
                so_far = next;
            }
            return Ok(above);
        }
        Err(Error::from(Errno::LOOP))
    }
}

fn not_a_directory(path: &[u8]) -> Error {
    Error::invalid(format!("\"{}\" is no directory", Escaped(path)))
}

/// Whether `stat` is that of what overlayfs takes for a whiteout.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}
