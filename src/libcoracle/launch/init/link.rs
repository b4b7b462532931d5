//! A symbolic link of the host made anew in the container.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use coracle_sys::{Errno, fs};
use nix::unistd::symlinkat;

use super::path::{directory, split};
use super::{Failure, Result};

/// The longest target of a link, with a NUL byte after it.
const LONGEST: usize = 4096;

/// Makes `path` below `root` a link like `link`. One that is there already and the same will do.
pub fn copy(link: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &CStr) -> Result<()> {
    let mut buffer = [0; LONGEST];
    let len = fs::readlink(link, c"", &mut buffer[..LONGEST - 1])?.len();
    let target = CStr::from_bytes_with_nul(&buffer[..=len]).map_err(|_| Errno::EINVAL)?;
    let (before, name) = split(path)?;
    let parent = directory(root, before)?;
    match symlinkat(target, parent.as_fd(), name) {
        Err(Errno::EEXIST) => {}
        other => return Ok(other?),
    }
    let mut there = [0; LONGEST];
    match fs::readlink(parent.as_fd(), name, &mut there) {
        Ok(text) if text.len() == len && text == target.to_bytes() => Ok(()),
        _ => Err(Failure::said(Errno::EEXIST, "there is something else than the same link")),
    }
}
