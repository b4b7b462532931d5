//! Network interfaces of the calling process's network namespace.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Result, check};

/// Brings the loopback interface up (netdevice(7), SIOCSIFFLAGS).
pub fn loopback_up() -> Result<()> {
    // SAFETY: no pointers are passed.
    let fd =
        check(unsafe { libc::syscall(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel returned a new descriptor that nothing else owns.
    let socket = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    // SAFETY: an all-zero ifreq is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = libc::IFF_UP as i16;
    // SAFETY: `request` lives across the call and its name is null-terminated.
    check(unsafe { libc::syscall(libc::SYS_ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
        .map(drop)
}
