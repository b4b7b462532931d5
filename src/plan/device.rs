//! A device node to create (mknod(2)).

use std::ffi::CString;
use std::fmt;

use crate::step::show;

/// What kind of node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceType {
    Char,
    Block,
    Fifo,
}

/// A symbolic link in /dev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub to: CString,
    /// Relative to the root.
    pub at: CString,
    /// Make it only if this, relative to the root, is there.
    pub needs: Option<CString>,
    /// Put it in the place of what is there; otherwise that stays.
    pub replace: bool,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "create symlink /{} -> {}", show(&self.at), show(&self.to))?;
        self.needs.as_ref().map_or(Ok(()), |needs| write!(f, " if there is /{}", show(needs)))
    }
}

/// A node and its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Relative to the root.
    pub path: CString,
    /// The same path on the host.
    pub host: CString,
    pub kind: DeviceType,
    pub major: u32,
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container's user namespace.
    pub uid: u32,
    pub gid: u32,
    /// Whether a new node belongs to somebody else and must be given to the owner.
    pub chown: bool,
}

impl Device {
    /// The file type bits of the node's mode.
    pub fn type_bits(&self) -> u32 {
        match self.kind {
            DeviceType::Char => libc::S_IFCHR,
            DeviceType::Block => libc::S_IFBLK,
            DeviceType::Fifo => libc::S_IFIFO,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceType::Char => 'c',
            DeviceType::Block => 'b',
            DeviceType::Fifo => 'p',
        };
        write!(f, "/{} {kind} {}:{} {:04o}", show(&self.path), self.major, self.minor, self.mode)?;
        if (self.uid, self.gid) == (0, 0) { Ok(()) } else { write!(f, " {}:{}", self.uid, self.gid) }
    }
}
