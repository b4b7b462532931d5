//! Descriptors: packets between the two halves of a launch, and what may stay open at exec.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Errno, Result, check};

/// Standard input, output and error. A process may start without them, which shows as `EBADF`.
// SAFETY: the numbers are not -1, and no owner of them exists that would close them.
pub const STDIO: [BorrowedFd<'static>; 3] =
    unsafe { [BorrowedFd::borrow_raw(0), BorrowedFd::borrow_raw(1), BorrowedFd::borrow_raw(2)] };

/// Sets close-on-exec on every descriptor from `first` up (close_range(2), Linux 5.11).
pub fn cloexec_from(first: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop)
}

/// Closes every descriptor from `first` to `last`, both included.
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: no pointers are passed. Owners of the descriptors that are closed are never dropped: this is only
    // called between clone and exec.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Whether a descriptor has this number, whoever owns it (fcntl(2), F_GETFD).
pub fn is_open(fd: RawFd) -> bool {
    // SAFETY: no pointers are passed, and nothing about the descriptor changes.
    unsafe { libc::fcntl(fd, libc::F_GETFD) != -1 }
}

/// The number the next new descriptor will have: the lowest that is free.
pub fn next_number(any: BorrowedFd<'_>) -> Result<RawFd> {
    let copy = any.try_clone_to_owned().map_err(|_| Errno::last())?;
    Ok(copy.as_raw_fd())
}

/// Makes descriptor `to` another name of `from`, without close-on-exec (dup2(2)).
pub fn dup_to(from: BorrowedFd<'_>, to: RawFd) -> Result<()> {
    if from.as_raw_fd() == to {
        // dup2 of a descriptor onto itself leaves close-on-exec set.
        // SAFETY: no pointers are passed.
        return check(unsafe { libc::syscall(libc::SYS_fcntl, to, libc::F_SETFD, 0) }).map(drop);
    }
    // SAFETY: no pointers are passed; the target numbers are ones no owner exists for.
    check(unsafe { libc::syscall(libc::SYS_dup3, from.as_raw_fd(), to, 0) }).map(drop)
}

/// Sends `data` with the descriptor `fd` attached, if any, as one message (sendmsg(2), SCM_RIGHTS). An interrupted call is
/// repeated.
pub fn send_with_fd(socket: BorrowedFd<'_>, data: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut iov = libc::iovec { iov_base: data.as_ptr() as *mut _, iov_len: data.len() };
    // Room for one descriptor, aligned as struct cmsghdr asks.
    let mut control = [0u64; 4];
    // SAFETY: an all-zero msghdr is a valid value.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    msg.msg_iov = &raw mut iov;
    msg.msg_iovlen = 1;
    if let Some(fd) = fd {
        msg.msg_control = control.as_mut_ptr().cast();
        // SAFETY: computes a length; the buffer holds CMSG_SPACE(4) = 24 bytes and more.
        msg.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<RawFd>() as u32) } as usize;
        // SAFETY: the control buffer is large enough for one header and one descriptor, and aligned.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const msg);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd.as_raw_fd());
        }
    }
    // SAFETY: `msg` and what it points to live across the call.
    let send =
        || check(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const msg, libc::MSG_NOSIGNAL) } as libc::c_long);
    let sent = loop {
        match send() {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if sent as usize == data.len() { Ok(()) } else { Err(Errno::EMSGSIZE) }
}

/// Receives one message into `buf`: its length (0 at end of file) and the first descriptor attached, if any
/// (recvmsg(2), close-on-exec). Interrupted calls are repeated, and for a second those for which there is no room.
pub fn receive_with_fd(socket: BorrowedFd<'_>, buf: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let mut control = [0u64; 4];
    let mut room = Room::default();
    loop {
        let mut iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
        // SAFETY: an all-zero msghdr is a valid value.
        let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
        msg.msg_iov = &raw mut iov;
        msg.msg_iovlen = 1;
        msg.msg_control = control.as_mut_ptr().cast();
        msg.msg_controllen = size_of_val(&control);
        // SAFETY: `msg` and what it points to live across the call.
        let n = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut msg, libc::MSG_CMSG_CLOEXEC) };
        let n = match check(n as libc::c_long) {
            Err(errno) if room.again(errno) => continue,
            other => other?,
        };
        // SAFETY: walks the control data the kernel wrote; a descriptor found there is new and unowned.
        let fd = unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const msg);
            if !header.is_null() && (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS
            {
                Some(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
            } else {
                None
            }
        };
        return Ok((n as usize, fd));
    }
}

/// How often a call for which there was no room is to be made again.
struct Room(u32);

impl Default for Room {
    fn default() -> Room {
        Room(100)
    }
}

impl Room {
    /// Whether the call that failed is to be repeated; it is then time for it.
    fn again(&mut self, errno: Errno) -> bool {
        match errno {
            Errno::EINTR => true,
            Errno::ENOMEM | Errno::ENOBUFS | Errno::ENFILE | Errno::EMFILE if self.0 > 0 => {
                self.0 -= 1;
                // SAFETY: there are no descriptors to wait for; 10 ms.
                unsafe { libc::poll(std::ptr::null_mut(), 0, 10) };
                true
            }
            _ => false,
        }
    }
}

/// Accepts one connection (accept4(2), close-on-exec). Interrupted calls are repeated, and for a second those for which there
/// is no room: the connection waits.
pub fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd> {
    let null = std::ptr::null_mut::<libc::sockaddr>();
    let mut room = Room::default();
    loop {
        // SAFETY: the address pointers may be null.
        let fd = unsafe { libc::accept4(listener.as_raw_fd(), null, std::ptr::null_mut(), libc::SOCK_CLOEXEC) };
        match check(fd.into()) {
            Err(errno) if room.again(errno) => {}
            // SAFETY: the kernel returned a new descriptor that nothing else owns.
            other => return other.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as RawFd) }),
        }
    }
}
