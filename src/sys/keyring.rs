//! Session keyrings (keyrings(7)).

use std::ffi::CStr;

use crate::{Result, check};

const JOIN_SESSION_KEYRING: i32 = 1;
const SETPERM: i32 = 5;
const DESCRIBE: i32 = 6;

/// Joins a new session keyring called `name` and returns its serial number.
pub fn join_session(name: &CStr) -> Result<i32> {
    // SAFETY: `name` is a C string that lives across the call.
    let id = check(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) })?;
    Ok(id as i32)
}

/// Reads the description of key `id` (`type;uid;gid;perm;name`) into `buf` and returns its length.
pub fn describe(id: i32, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is valid for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, id, buf.as_mut_ptr(), buf.len()) })?;
    Ok((n as usize).min(buf.len()))
}

/// Sets the permission mask of key `id`.
pub fn set_permissions(id: i32, mask: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, id, mask) }).map(drop)
}
