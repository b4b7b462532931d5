//! Pseudo-terminals (pty(7)): the calls of a process that has just been cloned.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Result, check};

/// Unlocks the pty whose controlling side is `master` (TIOCSPTLCK).
pub fn unlock(master: BorrowedFd<'_>) -> Result<()> {
    let unlocked: libc::c_int = 0;
    // SAFETY: the argument is a pointer to an int that lives across the call.
    check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) }.into()).map(drop)
}

/// Opens the other side of `master` by descriptor, not by its name in some /dev/pts (TIOCGPTPEER, Linux 4.13).
pub fn peer(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the argument is an integer.
    let fd = check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }.into())?;
    // SAFETY: the kernel returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Makes `terminal` the controlling terminal of this session (TIOCSCTTY).
pub fn set_controlling(terminal: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: the argument is an integer.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 0) }.into()).map(drop)
}

/// Rows and columns of `terminal` (TIOCGWINSZ).
pub fn size(terminal: BorrowedFd<'_>) -> Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the argument is a pointer to a winsize that lives across the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }.into())?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets rows and columns of `terminal` (TIOCSWINSZ).
pub fn set_size(terminal: BorrowedFd<'_>, (rows, columns): (u16, u16)) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the argument is a pointer to a winsize that lives across the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) }.into()).map(drop)
}
