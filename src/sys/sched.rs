//! Scheduling and memory placement of the calling process.

use crate::{Result, check};

/// The argument of sched_setattr(2) (struct sched_attr as of Linux 5.3: 56 bytes).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedAttr {
    pub size: u32,
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    /// Nanoseconds, as `deadline` and `period`.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
    /// Bounds of the utilisation, 0 to 1024.
    pub util_min: u32,
    pub util_max: u32,
}

/// Sets the calling thread's scheduling policy and parameters.
pub fn set_scheduler(attr: &SchedAttr) -> Result<()> {
    let attr = SchedAttr { size: size_of::<SchedAttr>() as u32, ..*attr };
    // SAFETY: `attr` has the layout of struct sched_attr, says its own size and lives across the call.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) }).map(drop)
}

/// Sets the processors the calling thread may run on, as a bit mask of any length (sched_setaffinity(2)).
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    // SAFETY: the mask is valid for its length in bytes.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(mask), mask.as_ptr()) }).map(drop)
}

/// Sets the io priority of the calling process's group: `class` 1 realtime, 2 best effort, 3 idle; `level` 0 to 7
/// (ioprio_set(2)).
pub fn set_io_priority(class: u16, level: u16) -> Result<()> {
    const WHO_PROCESS_GROUP: i32 = 2;
    let value = i32::from(class) << 13 | i32::from(level);
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS_GROUP, 0, value) }).map(drop)
}

/// Sets the memory policy: `mode` with its flags, and the nodes as a bit mask (set_mempolicy(2)).
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    // The kernel reads one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let mask = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the mask is valid for its length, or null with length 0.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, bits) }).map(drop)
}

/// Sets the execution domain (personality(2)).
pub fn set_personality(persona: u32) -> Result<()> {
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_personality, u64::from(persona)) }).map(drop)
}
