//! Signals of a process that is about to execute a program.

use crate::{Result, check};

/// The kernel's sets have 8 bytes, one bit a signal (signal(7)).
const SET: usize = 8;

/// Gives those of the signals that are `ignored`, bit n - 1 being signal n, their default disposition and blocks none: a
/// program inherits both across execve, and Rust's runtime ignores SIGPIPE. What has a function gets its default there.
///
/// By raw system call: the C library keeps two signals to itself.
pub fn reset(ignored: u64) -> Result<()> {
    // Room for struct sigaction of any architecture; all zero is SIG_DFL without flags and with an empty mask.
    let default = [0u64; 8];
    for signal in (1..=u64::BITS).filter(|signal| ignored >> (signal - 1) & 1 == 1) {
        let old = std::ptr::null_mut::<u64>();
        // SAFETY: the new action is valid for reads and larger than the kernel's structure; the old is not wanted.
        check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SET) })?;
    }
    let (none, old) = (0u64, std::ptr::null_mut::<u64>());
    // SAFETY: the set is valid for reads of 8 bytes; the old one is not wanted.
    check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, old, SET) }).map(drop)
}
