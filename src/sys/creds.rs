//! Credentials of the calling thread, by raw system call: glibc's wrappers signal the other threads that a cloned
//! process no longer has.

use crate::{Result, check};

/// Sets real, effective and saved group id (setresgid(2)).
pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user id (setresuid(2)).
pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Sets the supplementary groups (setgroups(2)).
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the slice is valid for its length; gid_t is u32.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// Three capability sets, bit n being capability n.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Sets the calling thread's capability sets (capset(2)).
pub fn capset(sets: CapSets) -> Result<()> {
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> shift) as u32);
    let data = [half(0), half(32)];
    // SAFETY: header and data have the layout of the kernel's version 3 structures and live across the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) }).map(drop)
}

/// Reads the calling thread's capability sets (capget(2)).
pub fn capget() -> Result<CapSets> {
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [[0u32; 3]; 2];
    // SAFETY: as for `capset`; the kernel writes two structures of three words.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let whole = |i: usize| u64::from(data[0][i]) | u64::from(data[1][i]) << 32;
    Ok(CapSets { effective: whole(0), permitted: whole(1), inheritable: whole(2) })
}

fn prctl(option: i32, arg2: u64, arg3: u64) -> Result<()> {
    // SAFETY: the options used below take integers only.
    check(unsafe { libc::syscall(libc::SYS_prctl, option, arg2, arg3, 0u64, 0u64) }).map(drop)
}

/// Removes capability `cap` from the bounding set (PR_CAPBSET_DROP).
pub fn drop_bounding(cap: u32) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(cap), 0)
}

/// Raises capability `cap` in the ambient set (PR_CAP_AMBIENT_RAISE).
pub fn raise_ambient(cap: u32) -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(cap))
}

/// Empties the ambient set (PR_CAP_AMBIENT_CLEAR_ALL).
pub fn clear_ambient() -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)
}

/// Keeps the permitted capabilities across the next change of user id, or not (PR_SET_KEEPCAPS).
pub fn set_keep_caps(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0)
}

/// Sets no_new_privs, for good (PR_SET_NO_NEW_PRIVS).
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0)
}

/// Whether others of the same user may attach to this process and open its /proc entries (PR_SET_DUMPABLE).
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0)
}

/// Orphans among this process's descendants become its children (PR_SET_CHILD_SUBREAPER).
pub fn set_child_subreaper() -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0)
}

/// The signal this process gets when its parent ends (PR_SET_PDEATHSIG); 0 for none.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64, 0)
}
