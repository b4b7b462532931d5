//! `clone3(2)`: one process, in its namespaces and its cgroup from its first instruction.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::unistd::Pid;

use crate::{Result, check};

/// Linux 5.7; the constant of `libc` is too narrow for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone the caller is on.
pub enum Fork {
    /// The caller: the new process's id and a pidfd to it (close-on-exec).
    Parent { pid: Pid, pidfd: OwnedFd },
    /// The new process.
    Child,
}

/// Clones the calling process, like fork(2), with `flags` (`CLONE_NEW*`, `CLONE_PARENT`), into `cgroup` if given
/// (a cgroup v2 directory; `CLONE_INTO_CGROUP`, Linux 5.7).
///
/// The caller must be single-threaded, or the child may only make async-signal-safe calls.
///
/// # Errors
/// Those of clone3(2): `EPERM` without the privilege for a namespace, `ENOSPC` past a namespace limit, `EAGAIN` at
/// a pids limit, `EBUSY`/`EOPNOTSUPP` for a cgroup that cannot take processes, `ENOSYS` below Linux 5.3.
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Fork> {
    let mut pidfd: RawFd = -1;
    let mut args = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if flags & libc::CLONE_PARENT as u64 != 0 {
        args.exit_signal = 0;
    }
    if let Some(dir) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = dir.as_raw_fd() as u64;
    }
    // SAFETY: `args` and `pidfd` live across the call; without CLONE_VM and with no stack given the child gets a
    // copy of this address space and returns here, exactly as from fork(2).
    let ret = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) })?;
    if ret == 0 {
        return Ok(Fork::Child);
    }
    // SAFETY: the kernel stored a new descriptor that nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Fork::Parent { pid: Pid::from_raw(ret as i32), pidfd })
}

/// Opens a pidfd for `pid` (pidfd_open(2), Linux 5.3).
pub fn pidfd_open(pid: Pid) -> Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// A copy of descriptor `number` of the process behind `pidfd`, close-on-exec (pidfd_getfd(2), Linux 5.6).
///
/// # Errors
/// `EBADF` if the process has none of the number, `EPERM` without the right to trace it, `ESRCH` if it has ended.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, number: RawFd) -> Result<OwnedFd> {
    // SAFETY: no pointers are passed.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    // SAFETY: the kernel returned a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends signal number `signal` (0 probes) to the process behind `pidfd` (pidfd_send_signal(2), Linux 5.1).
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    // SAFETY: the siginfo pointer may be null; no other pointer is passed.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, 0usize, 0) }).map(drop)
}

/// Ends this process at once: no destructor, no exit handler of a process that was cloned from another.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes no pointers and does not return.
    unsafe { libc::_exit(code) }
}
