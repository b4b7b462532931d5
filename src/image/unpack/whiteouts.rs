//! Whiteouts: in a layer of its own those of overlayfs, on a tree the removal of what they hide.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, XattrFlags, fstat, mknodat, openat, setxattr, statat, unlinkat,
};
use rustix::io::Errno;

use super::Tree;
use super::directories::Directories;
use super::parents::is_whiteout;
use super::path::{joined, split, upwards};
use super::remove::{Keep, remove};
use crate::error::{Context, Result};

/// The name of the extended attribute by which a directory hides what lower layers have in it (the kernel's
/// overlayfs.rst, "whiteouts and opaque directories").
pub fn opaque_attribute(user_xattrs: bool) -> &'static str {
    if user_xattrs { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

impl Tree<'_> {
    /// Hides `path` of the lower layers. What this layer makes there stays, wherever in the archive it stands.
    pub fn hide(&mut self, path: &[u8]) -> Result<()> {
        if self.alone() { self.hide_alone(path) } else { self.hide_in_tree(path) }
    }

    /// Hides all that the lower layers have in the directory `path`.
    pub fn hide_below(&mut self, path: &[u8]) -> Result<()> {
        if !self.alone() {
            return self.empty_in_tree(path);
        }
        if path.is_empty() {
            // overlayfs knows no opaque root: the stack ends with this layer instead.
            self.found.hides_all = true;
            self.opaque.insert(Vec::new());
            return Ok(());
        }
        let directory = self.parent(path)?;
        self.make_opaque(&directory.fd, path)?;
        self.parent = Some(directory);
        Ok(())
    }

    fn hide_alone(&mut self, path: &[u8]) -> Result<()> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        match statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {
                mknodat(&parent.fd, name, FileType::CharacterDevice, Mode::empty(), 0).context(|| "make whiteout")?;
                self.found.whiteouts.push(path.to_vec());
            }
            stat => {
                let stat = stat?;
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    self.directories.freshen(&stat, path);
                    let directory = openat(&parent.fd, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                    self.make_opaque(&directory, path)?;
                }
            }
        }
        self.parent = Some(parent);
        Ok(())
    }

    pub fn make_opaque(&mut self, directory: &OwnedFd, path: &[u8]) -> Result<()> {
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        setxattr(name, opaque_attribute(self.rules.user_xattrs), b"y", XattrFlags::empty())
            .context(|| "make the directory opaque")?;
        self.opaque.insert(path.to_vec());
        Ok(())
    }

    /// Takes away the whiteouts in directories that hide everything: overlayfs would list them. And the directories that
    /// were only made for them.
    pub fn drop_hidden_whiteouts(&mut self) -> Result<()> {
        let opaque = std::mem::take(&mut self.opaque);
        let hidden =
            |path: &[u8]| opaque.contains(&b""[..]) || upwards(split(path).0).any(|above| opaque.contains(above));
        let mut stay = Vec::new();
        for path in std::mem::take(&mut self.found.whiteouts) {
            let (above, name) = split(&path);
            let Ok(parent) = self.look_up(above) else { continue };
            match statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Something else of this layer has taken its place.
                Ok(stat) if !is_whiteout(&stat) => continue,
                Err(Errno::NOENT) => continue,
                stat => stat.map(drop)?,
            }
            if !hidden(&path) {
                stay.push(path);
                continue;
            }
            unlinkat(&parent, name, AtFlags::empty())?;
            self.remove_empty(above)?;
        }
        self.found.whiteouts = stay;
        self.directories.freshen_where(hidden);
        Ok(())
    }

    /// Removes the directory `path` and those above it that are empty and have no entry.
    fn remove_empty(&self, path: &[u8]) -> Result<()> {
        for path in upwards(path) {
            let (above, name) = split(path);
            let parent = self.look_up(above)?;
            let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if self.directories.is_explicit(&stat) {
                break;
            }
            match unlinkat(&parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => break,
                removed => removed?,
            }
        }
        Ok(())
    }

    fn hide_in_tree(&mut self, path: &[u8]) -> Result<()> {
        let (above, name) = split(path);
        self.parent = None;
        let Some(parent) = self.existing_below(above)? else { return Ok(()) };
        self.remove_lower(parent.as_fd(), above, name)
    }

    fn empty_in_tree(&mut self, path: &[u8]) -> Result<()> {
        self.parent = None;
        let Some(directory) = self.existing_below(path)? else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut names = Vec::<CString>::new();
        for entry in Dir::new(openat(&directory, ".", flags, Mode::empty())?)? {
            names.push(entry?.file_name().to_owned());
        }
        names.retain(|name| !matches!(name.to_bytes(), b"." | b".."));
        names.iter().try_for_each(|name| self.remove_lower(directory.as_fd(), path, name.to_bytes()))
    }

    /// The directory `path`; None if there is nothing that could be hidden in it.
    fn existing_below(&mut self, path: &[u8]) -> Result<Option<OwnedFd>> {
        match self.look_up(path) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            fd => {
                let fd = fd?;
                self.directories.touch(&fstat(&fd)?, path);
                Ok(Some(fd))
            }
        }
    }

    fn remove_lower(&mut self, parent: BorrowedFd<'_>, above: &[u8], name: &[u8]) -> Result<()> {
        let Tree { made, hasher, directories, .. } = self;
        let hash = |name: &[u8]| std::hash::BuildHasher::hash_one(&*hasher, name);
        let made = |directory: u64, name: &[u8]| made.contains(&(directory, hash(name)));
        remove(parent, name, &mut Own { made, directories, above })
    }
}

/// What this layer has made stays; directories that stay for it are as if made by it alone.
struct Own<'t, F> {
    made: F,
    directories: &'t mut Directories,
    above: &'t [u8],
}

impl<F: Fn(u64, &[u8]) -> bool> Keep for Own<'_, F> {
    fn keeps(&self, directory: u64, name: &[u8]) -> bool {
        (self.made)(directory, name)
    }

    fn kept(&mut self, directory: BorrowedFd<'_>, path: &[u8]) -> Result<()> {
        self.directories.freshen(&fstat(directory)?, &joined(self.above, path));
        Ok(())
    }
}
