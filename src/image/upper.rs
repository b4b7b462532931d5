//! What a container has changed: the directory that overlayfs keeps above the layers, read without following anything.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, getxattr, open, statat};
use rustix::io::Errno;

use crate::error::{Context, Error, Escaped, Result};
use crate::scoped::open_scoped;
use crate::unpack::{is_whiteout, joined, opaque_attribute, split};

/// An object of the upper directory.
pub struct Object<'w> {
    pub path: &'w [u8],
    pub stat: Stat,
    /// It stands for the absence of what lower layers have.
    pub whiteout: bool,
    /// A directory of which lower layers are not seen.
    pub opaque: bool,
    /// The directory it is in, and its name there.
    pub parent: &'w OwnedFd,
    pub name: &'w CString,
}

impl Object<'_> {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// An upper directory.
pub struct Upper {
    root: OwnedFd,
    /// Paths that a runtime has made for its mounts; what is below them is not the container's.
    excluded: Vec<Vec<u8>>,
}

impl Upper {
    /// Whether a mount point was made in the directory `path`, which changes its time.
    pub fn has_mount_point_in(&self, path: &[u8]) -> bool {
        self.excluded.iter().any(|excluded| split(excluded).0 == path)
    }

    /// # Errors
    /// The directory is none, or a link to one.
    pub fn open(path: &Path, excluded: &[Vec<u8>]) -> Result<Upper> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))?;
        Ok(Upper { root, excluded: excluded.to_vec() })
    }

    /// Visits everything but the root, directories before what is in them, in the order of names.
    pub fn walk(&self, visit: &mut dyn FnMut(&Object<'_>) -> Result<()>) -> Result<()> {
        let mut directories = vec![Vec::new()];
        while let Some(directory) = directories.pop() {
            let fd = self.directory(&directory).context(|| format!("open \"{}\"", Escaped(&directory)))?;
            let mut below = Vec::new();
            for name in names(&fd)? {
                let path = joined(&directory, name.to_bytes());
                let visited = self.one(&path, &fd, &name, visit);
                if visited.context(|| format!("\"{}\"", Escaped(&path)))? {
                    below.push(path);
                }
            }
            directories.extend(below.into_iter().rev());
        }
        Ok(())
    }

    /// Visits one; whether there may be more below it.
    fn one(
        &self,
        path: &[u8],
        parent: &OwnedFd,
        name: &CString,
        visit: &mut dyn FnMut(&Object<'_>) -> Result<()>,
    ) -> Result<bool> {
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let marked = |attribute: &str| -> Result<bool> {
            let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name.to_bytes()].concat();
            match getxattr(path, attribute, &mut [0_u8; 16]) {
                Ok(_) | Err(Errno::RANGE) => Ok(true),
                Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
                Err(errno) => Err(errno.into()),
            }
        };
        let mut opaque = false;
        if directory {
            for namespace in ["trusted", "user"] {
                if marked(&format!("{namespace}.overlay.redirect"))? {
                    return Err(Error::invalid(
                        "a directory that overlayfs has renamed, which this program does not ask for",
                    ));
                }
            }
            opaque = marked(opaque_attribute(false))? || marked(opaque_attribute(true))?;
        }
        if self.excluded.iter().any(|excluded| excluded == path) && is_mount_point(&stat, parent, name)? {
            return Ok(false);
        }
        visit(&Object { path, stat, whiteout: is_whiteout(&stat), opaque, parent, name })?;
        Ok(directory && !self.excluded.iter().any(|excluded| excluded == path))
    }

    /// A directory of it.
    pub fn directory(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        below(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY)
    }
}

/// What is mounted on is an empty file or a directory; of the directory the container has seen nothing.
fn is_mount_point(stat: &Stat, parent: &OwnedFd, name: &CString) -> Result<bool> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(stat.st_size == 0),
        FileType::Directory => {
            Ok(names(&below(parent, name.to_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)?)?.is_empty())
        }
        _ => Ok(false),
    }
}

/// Opens what is below `root` through no link.
pub fn below(root: impl AsFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_scoped(root, path, flags | OFlags::NOFOLLOW, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS)
}

/// The names in a directory, in order.
pub fn names(directory: &OwnedFd) -> Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        names.push(entry?.file_name().to_owned());
    }
    names.retain(|name| !matches!(name.to_bytes(), b"." | b".."));
    names.sort_unstable();
    Ok(names)
}
