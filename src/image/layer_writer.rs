//! Makes a layer of a container's changes.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, major, minor, openat, readlinkat};

use crate::error::{Error, Result};
use crate::tar::{Entry, Kind, Time, Writer};
use crate::unpack::attributes::{is_of_overlay, xattrs};
use crate::unpack::{joined, split};
use crate::upper::{Object, Upper};

/// Writes what is in `upper` to `out` as an uncompressed layer, in the order of names, so that the same changes give the
/// same bytes. `excluded` are the mount points of the container: what the runtime has made for them is left out.
///
/// Sockets are left out: they are nothing without the process that listens.
///
/// # Errors
/// A file whose name is reserved for whiteouts, or that changes while it is read; the kernel's.
pub fn write_layer(upper: &Path, excluded: &[Vec<u8>], out: &mut dyn Write) -> Result<()> {
    let mut writer = Writer::new(out);
    let mut links = HashMap::new();
    Upper::open(upper, excluded)?.walk(&mut |object| write(object, &mut links, &mut writer))?;
    writer.finish().map(drop)
}

/// The paths of inodes that have more than one, by device and number.
type Links = HashMap<(u64, u64), Vec<u8>>;

fn write(object: &Object<'_>, links: &mut Links, writer: &mut Writer<&mut dyn Write>) -> Result<()> {
    let (parent, name) = split(object.path);
    if name.starts_with(b".wh.") {
        return Err(Error::invalid("a name that is reserved for whiteouts cannot be in a layer"));
    }
    let nothing = &mut std::io::empty();
    if object.whiteout {
        let path = joined(parent, &[b".wh.", name].concat());
        return writer.entry(&whiteout(path, object), nothing);
    }
    let mut entry = attributes(object);
    match object.kind() {
        FileType::Directory => {
            entry.path.push(b'/');
            entry.xattrs = read_xattrs(object)?;
            writer.entry(&entry, nothing)?;
            if object.opaque {
                writer.entry(&whiteout(joined(object.path, b".wh..wh..opq"), object), nothing)?;
            }
            return Ok(());
        }
        FileType::Socket => return Ok(()),
        FileType::Symlink => {
            entry.kind = Kind::Symlink;
            entry.link = readlinkat(object.parent, object.name, Vec::new())?.into_bytes();
        }
        FileType::RegularFile => entry.kind = Kind::File,
        FileType::CharacterDevice => entry.kind = Kind::Char,
        FileType::BlockDevice => entry.kind = Kind::Block,
        FileType::Fifo => entry.kind = Kind::Fifo,
        _ => return Err(Error::invalid("a file of unknown type")),
    }
    if object.stat.st_nlink > 1 {
        let first = links.entry((object.stat.st_dev, object.stat.st_ino)).or_insert_with(|| object.path.to_vec());
        if *first != object.path {
            (entry.kind, entry.link) = (Kind::HardLink, first.clone());
            return writer.entry(&entry, nothing);
        }
    }
    if entry.kind == Kind::File { write_file(object, entry, writer) } else { writer.entry(&entry, nothing) }
}

/// Opens nothing but regular files, and those so that a pipe in their place would not block.
fn write_file(object: &Object<'_>, mut entry: Entry, writer: &mut Writer<&mut dyn Write>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(object.parent, object.name, flags, Mode::empty())?;
    let identity =
        |stat: &rustix::fs::Stat| (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    let before = fstat(&file)?;
    if identity(&before) != identity(&object.stat) {
        return Err(Error::invalid("it changes while it is read"));
    }
    entry.size = u64::try_from(before.st_size).unwrap_or(0);
    entry.xattrs = xattrs(std::os::fd::AsFd::as_fd(&file))?;
    let mut file = File::from(file);
    writer.entry(&entry, &mut file)?;
    if identity(&fstat(&file)?) != identity(&before) {
        return Err(Error::invalid("it changes while it is read"));
    }
    Ok(())
}

fn read_xattrs(object: &Object<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(object.parent, object.name, flags, Mode::empty())?;
    let mut found = xattrs(std::os::fd::AsFd::as_fd(&directory))?;
    found.retain(|(name, _)| !is_of_overlay(name));
    Ok(found)
}

fn attributes(object: &Object<'_>) -> Entry {
    let stat = &object.stat;
    let device = matches!(object.kind(), FileType::CharacterDevice | FileType::BlockDevice);
    Entry {
        path: object.path.to_vec(),
        kind: Kind::Directory,
        link: Vec::new(),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
        device: if device { (major(stat.st_rdev), minor(stat.st_rdev)) } else { (0, 0) },
        xattrs: Vec::new(),
        size: 0,
        segments: None,
    }
}

/// An empty file; its time is that of the change.
fn whiteout(path: Vec<u8>, object: &Object<'_>) -> Entry {
    let mode = 0o600;
    Entry { path, kind: Kind::File, mode, uid: 0, gid: 0, device: (0, 0), ..attributes(object) }
}
