//! Signals of a process that is about to execute a program.

use crate::{Result, check};

/// The highest signal number plus one (signal(7)); the kernel's sets have 8 bytes.
const END: i32 = 65;
const SET: usize = 8;

/// Gives every signal its default disposition and blocks none: a program inherits both across execve, and Rust's
/// runtime ignores SIGPIPE.
///
/// By raw system call: the C library keeps two signals to itself.
pub fn reset() -> Result<()> {
    // Room for struct sigaction of any architecture; all zero is SIG_DFL without flags and with an empty mask.
    let default = [0u64; 8];
    for signal in (1..END).filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal)) {
        let old = std::ptr::null_mut::<u64>();
        // SAFETY: the new action is valid for reads and larger than the kernel's structure; the old is not wanted.
        check(unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, SET) })?;
    }
    let (none, old) = (0u64, std::ptr::null_mut::<u64>());
    // SAFETY: the set is valid for reads of 8 bytes; the old one is not wanted.
    check(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, old, SET) }).map(drop)
}
