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

/// A node and its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Relative to the root.
    pub path: CString,
    pub kind: DeviceType,
    pub major: u32,
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner in the container's user namespace.
    pub uid: u32,
    pub gid: u32,
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
