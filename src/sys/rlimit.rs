//! Resource limits, of this process and of others.

use nix::unistd::Pid;

use crate::{Result, check};

/// Sets the soft and hard limit of `resource` of the calling process, in the resource's own unit (prlimit(2)).
pub fn set_own(resource: u32, soft: u64, hard: u64) -> Result<()> {
    set(Pid::from_raw(0), resource, soft, hard)
}

/// Sets the soft and hard limit of `resource` of process `pid`.
///
/// # Errors
/// `EPERM` without CAP_SYS_RESOURCE when the hard limit is raised, or the process is another user's.
pub fn set(pid: Pid, resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = [soft, hard];
    let old = std::ptr::null_mut::<u64>();
    // SAFETY: the new limit has the layout of struct rlimit64; the old one is not wanted.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, pid.as_raw(), resource, limit.as_ptr(), old) }).map(drop)
}

/// The soft and the hard limit of `resource` of the calling process.
pub fn own(resource: u32) -> Result<(u64, u64)> {
    let mut limit = [0u64; 2];
    let new = std::ptr::null::<u64>();
    // SAFETY: the old limit is valid for writes and has the layout of struct rlimit64; no new one is given.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, new, limit.as_mut_ptr()) })?;
    Ok((limit[0], limit[1]))
}
