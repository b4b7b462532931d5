//! What a namespace descriptor is (ioctl_ns(2)).

use std::os::fd::{AsFd, AsRawFd};

use crate::{Result, check};

/// The `CLONE_NEW*` flag of the namespace open as `fd` (NS_GET_NSTYPE, Linux 4.11).
///
/// # Errors
/// `ENOTTY` if it is no namespace.
pub fn kind(fd: impl AsFd) -> Result<i32> {
    const NS_GET_NSTYPE: libc::Ioctl = 0xb703;
    // SAFETY: the request takes no argument.
    let flag = check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE) }.into())?;
    Ok(flag as i32)
}
