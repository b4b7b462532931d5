//! Makes what an entry describes. What has the name already is removed first, never opened.

use std::io::BufRead;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, FallocateFlags, FileType, Mode, OFlags, XattrFlags, chmodat, chownat, fallocate, fchmod, fremovexattr,
    fsetxattr, ftruncate, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::{Errno, pwrite};

use super::attributes::{Attributes, set_on_link};
use super::parents::{Parent, is_whiteout};
use super::path::{normal, split};
use super::remove::{Nothing, remove};
use super::{Tree, needs_base};
use crate::error::{Context, Error, Escaped, Result};
use crate::tar::{Entry, Kind, Reader, Segment};

/// Files of at least this size get their space at once, up to the most that a lying header may take.
const PREALLOCATED: std::ops::RangeInclusive<u64> = 4 << 20..=1 << 30;

const NEW_FILE: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What stood in the way of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleared {
    Nothing,
    Whiteout,
    Something,
}

impl Tree<'_> {
    pub fn make<R: BufRead>(&mut self, path: &[u8], entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        let (above, name) = split(path);
        let parent = self.parent(above)?;
        let cleared = match entry.kind {
            Kind::Directory => self.make_directory_of(&parent, name, path, entry)?,
            Kind::File => self.make_file(&parent, name, entry, reader)?,
            Kind::HardLink => self.make_hard_link(&parent, name, path, entry)?,
            Kind::Symlink => self.make_symlink(&parent, name, entry)?,
            Kind::Char | Kind::Block | Kind::Fifo => self.make_node(&parent, name, path, entry)?,
        };
        self.remember(parent.inode, name);
        if cleared != Cleared::Something {
            self.parent = Some(parent);
        }
        Ok(())
    }

    /// A directory that is there stays, with what is in it; its attributes become those of the entry.
    fn make_directory_of(&mut self, parent: &Parent, name: &[u8], path: &[u8], entry: &Entry) -> Result<Cleared> {
        let attributes = self.attributes(entry);
        let mut cleared = Cleared::Nothing;
        match mkdirat(&parent.fd, name, Mode::RWXU) {
            Err(Errno::EXIST) if self.existing_kind(&parent.fd, name)?.0 == FileType::Directory => {}
            Err(Errno::EXIST) => {
                cleared = self.clear(parent, name)?;
                mkdirat(&parent.fd, name, Mode::RWXU)?;
            }
            made => made?,
        }
        let stat = statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        self.directories.set(&stat, path, attributes);
        if cleared == Cleared::Whiteout {
            let made = openat(&parent.fd, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            self.make_opaque(&made, path)?;
        }
        Ok(cleared)
    }

    fn make_file<R: BufRead>(
        &mut self,
        parent: &Parent,
        name: &[u8],
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<Cleared> {
        let attributes = self.attributes(entry);
        let permissions = Mode::from_raw_mode(attributes.mode & 0o777);
        let mut cleared = Cleared::Nothing;
        let file = match openat(&parent.fd, name, NEW_FILE, permissions) {
            Err(Errno::EXIST) => {
                cleared = self.clear(parent, name)?;
                openat(&parent.fd, name, NEW_FILE, permissions)?
            }
            file => file?,
        };
        write(&file, entry, reader)?;
        let other = parent.gives_group || (attributes.uid, attributes.gid) != self.own;
        if other {
            attributes.own(file.as_fd())?;
        }
        if parent.gives_acl {
            take_acl(fremovexattr(&file, "system.posix_acl_access"))?;
        }
        if parent.gives_acl || attributes.mode & 0o7000 != 0 {
            fchmod(&file, Mode::from_raw_mode(attributes.mode)).context(|| "set mode")?;
        }
        for (name, value) in &attributes.xattrs {
            let set = fsetxattr(&file, name.as_slice(), value, XattrFlags::empty());
            self.found.dropped.unless_supported(name, set)?;
        }
        attributes.date(file.as_fd())?;
        Ok(cleared)
    }

    fn make_hard_link(&mut self, parent: &Parent, name: &[u8], path: &[u8], entry: &Entry) -> Result<Cleared> {
        let target = normal(&entry.link, &self.rules.limits).context(|| "the target of the hard link")?;
        if target == path {
            return Err(Error::invalid("a hard link to itself"));
        }
        let (above, target_name) = split(&target);
        let missing = || match self.alone() {
            true => needs_base("a hard link to a file of another layer"),
            false => Error::invalid(format!("hard link to \"{}\", which is not there", Escaped(&target))),
        };
        let directory = match self.look_up(above) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(missing()),
            directory => directory?,
        };
        let stat = match statat(&directory, target_name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Err(missing()),
            stat => stat?,
        };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            return Err(Error::invalid("a hard link to a directory"));
        }
        if self.alone() && is_whiteout(&stat) {
            return Err(missing());
        }
        self.in_place(parent, name, || linkat(&directory, target_name, &parent.fd, name, AtFlags::empty()))
    }

    fn make_symlink(&mut self, parent: &Parent, name: &[u8], entry: &Entry) -> Result<Cleared> {
        if entry.link.is_empty() {
            return Err(Error::invalid("a symbolic link to nothing"));
        }
        let cleared = self.in_place(parent, name, || symlinkat(entry.link.as_slice(), &parent.fd, name))?;
        let attributes = self.attributes(entry);
        self.attribute(parent, name, &attributes)?;
        Ok(cleared)
    }

    fn make_node(&mut self, parent: &Parent, name: &[u8], path: &[u8], entry: &Entry) -> Result<Cleared> {
        let (kind, device) = match entry.kind {
            Kind::Char if entry.device == (0, 0) => {
                return Err(Error::invalid("a character device 0:0, which overlayfs takes for a whiteout"));
            }
            Kind::Char => (FileType::CharacterDevice, entry.device),
            Kind::Block => (FileType::BlockDevice, entry.device),
            _ => (FileType::Fifo, (0, 0)),
        };
        if kind != FileType::Fifo && !self.rules.devices {
            self.found.devices_left_out += 1;
            // What it replaces is gone all the same, in this layer and in those below.
            let cleared = self.clear(parent, name)?;
            if self.alone() {
                self.hide(path)?;
                self.parent = None;
            }
            return Ok(cleared);
        }
        let attributes = self.attributes(entry);
        let permissions = Mode::from_raw_mode(attributes.mode & 0o777);
        let cleared =
            self.in_place(parent, name, || mknodat(&parent.fd, name, kind, permissions, makedev(device.0, device.1)))?;
        self.attribute(parent, name, &attributes)?;
        chmodat(&parent.fd, name, Mode::from_raw_mode(attributes.mode), AtFlags::empty()).context(|| "set mode")?;
        utimensat(&parent.fd, name, &attributes.times(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(cleared)
    }

    /// Attributes of what is not opened: a link, a device, a pipe.
    fn attribute(&mut self, parent: &Parent, name: &[u8], attributes: &Attributes) -> Result<()> {
        let (uid, gid) = attributes.owner();
        chownat(&parent.fd, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).context(|| "set owner")?;
        set_on_link(parent.fd.as_fd(), name, &attributes.xattrs, &mut self.found.dropped)?;
        utimensat(&parent.fd, name, &attributes.times(), AtFlags::SYMLINK_NOFOLLOW).context(|| "set times")
    }

    /// Makes something under a name, instead of what has it.
    fn in_place(&mut self, parent: &Parent, name: &[u8], make: impl Fn() -> rustix::io::Result<()>) -> Result<Cleared> {
        match make() {
            Err(Errno::EXIST) => {
                let cleared = self.clear(parent, name)?;
                make()?;
                Ok(cleared)
            }
            made => Ok(made.map(|()| Cleared::Nothing)?),
        }
    }

    /// Removes what has the name.
    fn clear(&mut self, parent: &Parent, name: &[u8]) -> Result<Cleared> {
        let stat = match statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(Cleared::Nothing),
            stat => stat?,
        };
        if self.alone() && is_whiteout(&stat) {
            unlinkat(&parent.fd, name, AtFlags::empty())?;
            return Ok(Cleared::Whiteout);
        }
        remove(parent.fd.as_fd(), name, &mut Nothing)?;
        Ok(Cleared::Something)
    }
}

/// Writes the entry's data into the new file.
fn write<R: BufRead>(file: &OwnedFd, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
    let whole = [Segment { offset: 0, length: entry.size }];
    let segments = match &entry.segments {
        Some(segments) => {
            ftruncate(file, entry.size).context(|| format!("make a file of {} bytes", entry.size))?;
            segments.as_slice()
        }
        None => {
            if PREALLOCATED.contains(&entry.size) {
                match fallocate(file, FallocateFlags::empty(), 0, entry.size) {
                    Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {}
                    Err(errno) => return Err(Error::from(errno).within(format!("reserve {} bytes", entry.size))),
                }
            }
            &whole
        }
    };
    for segment in segments {
        let (mut offset, end) = (segment.offset, segment.offset + segment.length);
        while offset < end {
            let piece = reader.data()?;
            let most = usize::try_from(end - offset).unwrap_or(usize::MAX).min(piece.len());
            let n = pwrite(file, &piece[..most], offset).context(|| "write")?;
            reader.consume(n);
            offset += n as u64;
        }
    }
    Ok(())
}

/// A file system without access lists has none to take away.
fn take_acl(taken: rustix::io::Result<()>) -> Result<()> {
    match taken {
        Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
