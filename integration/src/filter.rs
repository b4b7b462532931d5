//! The seccomp filter of a process, as the kernel has it.

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

/// The program of the filter that the process `pid` loaded last, as an array of struct sock_filter: the process is
/// stopped for a moment (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
///
/// # Errors
/// The kernel's; `EACCES` for a caller with a filter of its own, `EIO` from a kernel without CONFIG_CHECKPOINT_RESTORE.
pub fn filter(pid: i32) -> Result<Vec<u8>, Errno> {
    let pid = Pid::from_raw(pid);
    ptrace::seize(pid, ptrace::Options::empty())?;
    ptrace::interrupt(pid)?;
    waitpid(pid, None)?;
    let program = stopped(pid);
    ptrace::detach(pid, None)?;
    program
}

fn stopped(pid: Pid) -> Result<Vec<u8>, Errno> {
    const GET_FILTER: libc::c_uint = 0x420c;
    const LAST: usize = 0;
    let get = |buffer: *mut u8| {
        // SAFETY: the kernel writes at most the length that it returns when there is no buffer, 8 bytes an instruction.
        Errno::result(unsafe { libc::ptrace(GET_FILTER, pid.as_raw(), LAST, buffer) }).map(|n| n as usize)
    };
    let mut program = vec![0; get(std::ptr::null_mut())? * 8];
    get(program.as_mut_ptr())?;
    Ok(program)
}
