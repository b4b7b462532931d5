//! Kernel calls that nix has no safe form of. All the unsafe code of this program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_long, c_ulong};

fn check(result: c_long) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes system call `number` with plain numbers as arguments and returns what it returned.
///
/// Only for calls that fail or change nothing when given numbers for pointers: address 0 is never mapped here.
///
/// # Errors
/// The errno of the call.
pub fn syscall(number: i64, args: &[u64]) -> io::Result<i64> {
    let arg = |index: usize| args.get(index).copied().unwrap_or(0);
    // SAFETY: the kernel validates every pointer itself; the caller hands over numbers, none of which is the address
    // of an object of this program, so no memory Rust knows of is written.
    check(unsafe { libc::syscall(number, arg(0), arg(1), arg(2), arg(3), arg(4), arg(5)) })
}

/// prctl(2) for the options whose arguments are numbers.
///
/// # Errors
/// The errno of the call.
pub fn prctl(option: i32, a: u64, b: u64) -> io::Result<i64> {
    // SAFETY: only called for options that take no pointer (bounding and ambient capability queries).
    check(c_long::from(unsafe { libc::prctl(option, a as c_ulong, b as c_ulong, 0 as c_ulong, 0 as c_ulong) }))
}

/// Effective, permitted and inheritable capability masks (capget(2), version 3).
///
/// # Errors
/// The errno of the call.
pub fn capget() -> io::Result<[u64; 3]> {
    let header: [u32; 2] = [0x2008_0522, 0];
    let mut data = [0u32; 6];
    // SAFETY: header and data have the layout and size that version 3 of the call reads and writes.
    check(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) })?;
    let wide = |index: usize| u64::from(data[index]) | u64::from(data[index + 3]) << 32;
    Ok([wide(0), wide(1), wide(2)])
}

/// What sched_getattr(2) reports of this thread: policy, flags, nice, priority, runtime, deadline, period.
///
/// # Errors
/// The errno of the call.
pub fn sched_getattr() -> io::Result<(u32, u64, i32, u32, [u64; 3])> {
    let mut attr = [0u8; 48];
    // SAFETY: the buffer is 48 bytes, the size of the first version of struct sched_attr, and is told as such.
    check(unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attr.as_mut_ptr(), attr.len(), 0) })?;
    let word = |at: usize| u32::from_ne_bytes([attr[at], attr[at + 1], attr[at + 2], attr[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    Ok((word(4), long(8), word(16) as i32, word(20), [long(24), long(32), long(40)]))
}

/// Class and level of ioprio_get(2) for this process.
///
/// # Errors
/// The errno of the call.
pub fn ioprio_get() -> io::Result<(i64, i64)> {
    // SAFETY: takes two numbers.
    let value = check(unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) })?;
    Ok((value >> 13, value & 0x1fff))
}

/// The description of the session keyring, `type;uid;gid;perm;name`.
///
/// # Errors
/// The errno of keyctl(2).
pub fn session_keyring() -> io::Result<String> {
    let mut text = [0u8; 256];
    // SAFETY: KEYCTL_DESCRIBE (6) of KEY_SPEC_SESSION_KEYRING (-3) writes at most the given length.
    let length = check(unsafe { libc::syscall(libc::SYS_keyctl, 6, -3, text.as_mut_ptr(), text.len()) })?;
    let length = usize::try_from(length).unwrap_or(0).min(text.len()).saturating_sub(1);
    Ok(String::from_utf8_lossy(&text[..length]).into_owned())
}

/// Mode (with flags) and node mask of the default memory policy.
///
/// # Errors
/// The errno of get_mempolicy(2).
pub fn mempolicy() -> io::Result<(i32, Vec<u32>)> {
    let mut mode = 0i32;
    let mut nodes = [0u64; 16];
    // SAFETY: mode is an int, the mask has the 1024 bits that are announced.
    check(unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, nodes.as_mut_ptr(), 1024, 0, 0) })?;
    Ok((mode, (0..1024u32).filter(|node| nodes[*node as usize / 64] & 1 << (node % 64) != 0).collect()))
}

/// Has that many bytes of huge pages, and touches the first.
///
/// # Errors
/// The errno of mmap(2), ENOMEM when they cannot be reserved.
pub fn huge_pages(bytes: usize) -> io::Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
    // SAFETY: an anonymous mapping at an address of the kernel's choice.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is at least a page long, writable, and nobody else's.
    unsafe { memory.cast::<u8>().write_volatile(1) };
    Ok(())
}

/// Rows and columns of a terminal.
///
/// # Errors
/// The errno of TIOCGWINSZ, ENOTTY when it is no terminal.
pub fn window_size(fd: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one struct winsize.
    check(c_long::from(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) }))?;
    Ok((size.ws_row, size.ws_col))
}

/// Makes the terminal the controlling one of this session.
///
/// # Errors
/// The errno of TIOCSCTTY.
pub fn control_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(c_long::from(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) })).map(drop)
}

/// Makes `fd` the descriptor `number`, kept over exec. Descriptors below 3 and numbers nobody in this program owns only.
///
/// # Errors
/// The errno of dup2(2).
pub fn place(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: the program calls this right before exec, when nothing else uses the descriptors it replaces.
    check(c_long::from(unsafe { libc::dup2(fd.as_raw_fd(), number) })).map(drop)
}

/// Closes a descriptor of the caller's.
///
/// # Errors
/// The errno of close(2).
pub fn close(number: i32) -> io::Result<()> {
    // SAFETY: the program calls this right before exec, when nothing else uses the descriptors it closes.
    check(c_long::from(unsafe { libc::close(number) })).map(drop)
}

/// Takes one seccomp notification from `listener` and answers it with `errno`; the number of the system call.
///
/// # Errors
/// The errno of the two ioctls.
pub fn answer_notification(listener: BorrowedFd<'_>, errno: i32) -> io::Result<i32> {
    let mut request = [0u64; 10];
    // SAFETY: struct seccomp_notif is 80 bytes, zeroed as the call demands.
    check(c_long::from(unsafe { libc::ioctl(listener.as_raw_fd(), 0xc050_2100, request.as_mut_ptr()) }))?;
    let error_and_flags = u64::from(errno.wrapping_neg() as u32);
    let response = [request[0], 0, error_and_flags];
    // SAFETY: struct seccomp_notif_resp is 24 bytes: id, value, error and flags.
    check(c_long::from(unsafe { libc::ioctl(listener.as_raw_fd(), 0xc018_2101, response.as_ptr()) }))?;
    Ok(request[2] as u32 as i32)
}

/// Takes a descriptor that was just received over a socket.
pub fn adopt(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor for us while it received the message, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// fork(2): whether this is the child.
///
/// # Errors
/// The errno of the call.
pub fn fork() -> io::Result<bool> {
    // SAFETY: the program has one thread, so nothing the child needs is held by another.
    check(c_long::from(unsafe { libc::fork() })).map(|pid| pid == 0)
}
