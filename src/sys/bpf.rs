//! BPF programs that decide on access to devices in cgroup v2 (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Errno, Result, check};

const PROG_LOAD: i32 = 5;
const PROG_ATTACH: i32 = 8;
const PROG_DETACH: i32 = 9;
const PROG_GET_FD_BY_ID: i32 = 13;
const PROG_QUERY: i32 = 16;

const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// Several programs may be attached to one cgroup; each must allow (`BPF_F_ALLOW_MULTI`).
pub const ALLOW_MULTI: u32 = 1 << 1;
/// `BPF_F_REPLACE`, Linux 5.6.
const REPLACE: u32 = 1 << 2;

/// One instruction (struct bpf_insn).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Insn {
    pub code: u8,
    /// Destination in the lower four bits, source in the upper.
    pub regs: u8,
    pub off: i16,
    pub imm: i32,
}

fn bpf<T>(command: i32, attr: &mut T) -> Result<libc::c_long> {
    // SAFETY: `attr` is a prefix of union bpf_attr, at least as long as `command` reads and zero where it says
    // nothing; the buffers it points to are borrowed by the callers below for the length of the call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) })
}

/// Loads a device program. With `log` the kernel's verifier writes its reasons there, as text that ends at a NUL; an
/// empty one costs nothing.
///
/// # Errors
/// `EPERM` without CAP_BPF and CAP_NET_ADMIN, or CAP_SYS_ADMIN, in the first user namespace; `EINVAL`, `EACCES` for a
/// program the verifier refuses; `ENOSPC` when the log is too small.
pub fn load_device(program: &[Insn], log: &mut [u8]) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
    }
    let mut attr = Attr {
        prog_type: TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(|_| Errno::E2BIG)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(|_| Errno::EINVAL)?,
        log_buf: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kern_version: 0,
        prog_flags: 0,
        prog_name: *b"coracle_devices\0",
    };
    bpf(PROG_LOAD, &mut attr).map(owned)
}

/// Attaches `program` to the directory of `cgroup`, in the place of `replaced` if given: there is no moment without
/// either.
///
/// # Errors
/// `EPERM` where a cgroup above allows no more programs, `ENOENT` when `replaced` is not attached.
pub fn attach_device(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, replaced: Option<BorrowedFd<'_>>) -> Result<()> {
    let flags = ALLOW_MULTI | if replaced.is_some() { REPLACE } else { 0 };
    bpf(PROG_ATTACH, &mut attachment(cgroup, program, flags, replaced)).map(drop)
}

/// Takes `program` off `cgroup`.
pub fn detach_device(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<()> {
    bpf(PROG_DETACH, &mut attachment(cgroup, program, 0, None)).map(drop)
}

/// Fills `ids` with the device programs attached to `cgroup` itself, not those above it. Returns how many there are and
/// the flags they were attached with.
///
/// # Errors
/// `ENOSPC` when there are more than fit.
pub fn query_device(cgroup: BorrowedFd<'_>, ids: &mut [u32]) -> Result<(usize, u32)> {
    #[repr(C)]
    struct Attr {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        padding: u32,
        prog_attach_flags: u64,
    }
    let mut attr = Attr {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: u32::try_from(ids.len()).map_err(|_| Errno::EINVAL)?,
        padding: 0,
        prog_attach_flags: 0,
    };
    bpf(PROG_QUERY, &mut attr)?;
    Ok((attr.prog_cnt as usize, attr.attach_flags))
}

/// Opens the program with number `id`.
///
/// # Errors
/// `EPERM` without CAP_SYS_ADMIN, `ENOENT` when it is gone.
pub fn program_by_id(id: u32) -> Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    bpf(PROG_GET_FD_BY_ID, &mut Attr { id, next_id: 0, open_flags: 0 }).map(owned)
}

#[repr(C)]
struct Attachment {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

fn attachment(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    flags: u32,
    replaced: Option<BorrowedFd<'_>>,
) -> Attachment {
    Attachment {
        target_fd: cgroup.as_raw_fd() as u32,
        attach_bpf_fd: program.as_raw_fd() as u32,
        attach_type: ATTACH_CGROUP_DEVICE,
        attach_flags: flags,
        replace_bpf_fd: replaced.map_or(0, |fd| fd.as_raw_fd() as u32),
    }
}

fn owned(ret: libc::c_long) -> OwnedFd {
    // SAFETY: called only with the fresh descriptor that bpf(2) returned.
    unsafe { OwnedFd::from_raw_fd(ret as RawFd) }
}
