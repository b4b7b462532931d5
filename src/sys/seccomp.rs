//! `seccomp(2)`: load a filter that was compiled before the clone.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::{Errno, Result, check};

/// Loads `program` (an array of struct sock_filter, 8 bytes an instruction) with `flags` (`SECCOMP_FILTER_FLAG_*`).
/// Returns the listener when the flags ask for one.
///
/// # Errors
/// `EACCES` without CAP_SYS_ADMIN or no_new_privs, `EINVAL` for a program or flag the kernel does not take.
pub fn load(program: &[u8], flags: u64) -> Result<Option<OwnedFd>> {
    const SET_MODE_FILTER: u32 = 1;
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const u8,
    }
    let len = u16::try_from(program.len() / 8).map_err(|_| Errno::EINVAL)?;
    let prog = Program { len, filter: program.as_ptr() };
    // SAFETY: `prog` has the layout of struct sock_fprog and points to `len` instructions that live across the call.
    let ret = check(unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const prog) })?;
    if flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with NEW_LISTENER the return value is a fresh descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(ret as RawFd) }))
}
