//! What an object is besides its content: mode, owner, time of change, extended attributes.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{
    Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr,
    fstat, futimens, lsetxattr,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Escaped, Result};
use crate::tar::{Entry, Time};

/// An extended attribute's name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// Attributes of a directory, or those a file is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Permission bits with set-user-ID, set-group-ID and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub seconds: i64,
    pub nanoseconds: u32,
    pub xattrs: Vec<Xattr>,
}

/// What a directory gets that no layer says anything of.
impl Default for Attributes {
    fn default() -> Attributes {
        Attributes { mode: 0o755, uid: 0, gid: 0, seconds: 0, nanoseconds: 0, xattrs: Vec::new() }
    }
}

impl Attributes {
    pub fn of_entry(entry: &Entry, dropped: &mut Dropped) -> Attributes {
        let mut xattrs = entry.xattrs.clone();
        xattrs.retain(|(name, _)| !dropped.refuses(name));
        let Time { seconds, nanoseconds } = entry.mtime;
        Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, seconds, nanoseconds, xattrs }
    }

    /// Those for a user of one id: all is his, and lists of who else has access name ids that he does not have.
    pub fn squash(&mut self, dropped: &mut Dropped) {
        (self.uid, self.gid) = (0, 0);
        self.xattrs.retain(|(name, _)| {
            let list = name.starts_with(b"system.posix_acl_");
            if list {
                dropped.count(name);
            }
            !list
        });
    }

    /// Those of the object open as `fd`, without what overlayfs keeps for itself.
    pub fn read(fd: impl AsFd) -> Result<Attributes> {
        let stat = fstat(&fd)?;
        Ok(Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            seconds: stat.st_mtime,
            nanoseconds: stat.st_mtime_nsec as u32,
            xattrs: xattrs(fd.as_fd())?,
        })
    }

    /// Gives all of them to the object open as `fd`: the owner first, since that takes away set-user-ID and capabilities;
    /// the time last.
    pub fn apply(&self, fd: BorrowedFd<'_>, dropped: &mut Dropped) -> Result<()> {
        self.own(fd)?;
        fchmod(fd, Mode::from_raw_mode(self.mode)).context(|| "set mode")?;
        for (name, value) in &self.xattrs {
            dropped.unless_supported(name, fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()))?;
        }
        self.date(fd)
    }

    pub fn own(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let (uid, gid) = self.owner();
        fchown(fd, Some(uid), Some(gid)).context(|| format!("set owner {}:{}", self.uid, self.gid))
    }

    pub fn date(&self, fd: BorrowedFd<'_>) -> Result<()> {
        futimens(fd, &self.times()).context(|| "set times")
    }

    pub fn owner(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }

    /// The time of access is the same: when the image was unpacked is no property of the image.
    pub fn times(&self) -> Timestamps {
        let time = Timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds.into() };
        Timestamps { last_access: time, last_modification: time }
    }
}

/// The extended attributes of the object open as `fd`, by name, without those of overlayfs.
pub fn xattrs(fd: BorrowedFd<'_>) -> Result<Vec<Xattr>> {
    let mut names = Vec::with_capacity(1024);
    loop {
        match flistxattr(fd, rustix::buffer::spare_capacity(&mut names)) {
            Err(Errno::RANGE) => names.reserve(64 << 10),
            Err(Errno::OPNOTSUPP) => break,
            listed => {
                listed?;
                break;
            }
        }
    }
    let mut found = Vec::new();
    for name in names.split(|&b| b == 0).filter(|name| !name.is_empty() && !is_of_overlay(name)) {
        let mut value = Vec::with_capacity(256);
        loop {
            match fgetxattr(fd, name, rustix::buffer::spare_capacity(&mut value)) {
                Err(Errno::RANGE) => value.reserve(64 << 10),
                read => {
                    read?;
                    break;
                }
            }
        }
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

/// Takes away the extended attributes that `wanted` does not have.
pub fn remove_others(fd: BorrowedFd<'_>, wanted: &[Xattr]) -> Result<()> {
    for (name, _) in xattrs(fd)? {
        if !wanted.iter().any(|(other, _)| *other == name) {
            fremovexattr(fd, name.as_slice()).context(|| format!("remove attribute {}", Escaped(&name)))?;
        }
    }
    Ok(())
}

/// Attributes by which overlayfs is controlled. From a layer they are not obeyed, in a container not shown.
pub fn is_of_overlay(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// The extended attributes of a layer that were not set, and how often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped(pub std::collections::BTreeMap<Vec<u8>, u64>);

impl Dropped {
    const NAMES: usize = 64;

    fn count(&mut self, name: &[u8]) {
        if self.0.len() < Dropped::NAMES || self.0.contains_key(name) {
            *self.0.entry(name.to_vec()).or_default() += 1;
        }
    }

    /// Those that mean something to the host alone: labels of its policy, and what controls overlayfs.
    fn refuses(&mut self, name: &[u8]) -> bool {
        let refused = is_of_overlay(name) || name == b"security.selinux" || name == b"system.nfs4_acl";
        if refused {
            self.count(name);
        }
        refused
    }

    /// What the file system does not have, or the user namespace not allow, is counted. All else is an error.
    pub fn unless_supported(&mut self, name: &[u8], set: rustix::io::Result<()>) -> Result<()> {
        match set {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::PERM) => {
                self.count(name);
                Ok(())
            }
            Err(errno) => Err(Error::from(errno).within(format!("set attribute {}", Escaped(name)))),
        }
    }
}

/// Sets the attributes of `name` in `parent` itself, also if it is a link.
pub fn set_on_link(parent: BorrowedFd<'_>, name: &[u8], xattrs: &[Xattr], dropped: &mut Dropped) -> Result<()> {
    use std::os::fd::AsRawFd;
    let path = [format!("/proc/self/fd/{}/", parent.as_raw_fd()).as_bytes(), name].concat();
    for (key, value) in xattrs {
        let set = lsetxattr(path.as_slice(), key.as_slice(), value, XattrFlags::empty());
        dropped.unless_supported(key, set)?;
    }
    Ok(())
}
