//! Kernel calls that `nix` lacks, and nothing else.
//!
//! This is the only crate of the project that may contain `unsafe`. Every function is one system call (or one
//! fixed sequence that has no meaning apart), takes descriptors and C strings, allocates nothing, and reports
//! the kernel's [`Errno`] as it is: most of them run in a process that has just been cloned and may do nothing
//! but make system calls.

pub mod bpf;
pub mod clone;
pub mod creds;
pub mod directories;
#[cfg(target_arch = "x86_64")]
mod early;
pub mod exec;
pub mod fds;
pub mod fs;
pub mod guard;
pub mod keyring;
pub mod mount;
pub mod namespace;
pub mod net;
pub mod rlimit;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod spawn;
pub mod stamps;
pub mod tty;

pub use nix::errno::Errno;

/// The result of a system call: its value, or the kernel's error number.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the return value of a raw system call into a [`Result`].
fn check(ret: libc::c_long) -> Result<libc::c_long> {
    if ret < 0 { Err(Errno::last()) } else { Ok(ret) }
}

/// `errno` for people and for the callers that look for its words: `no such file or directory (ENOENT)`.
pub fn describe(errno: Errno) -> String {
    let text = errno.desc();
    let lower = text.chars().next().map(|c| c.to_lowercase().to_string() + &text[c.len_utf8()..]);
    format!("{} ({errno:?})", lower.unwrap_or_default())
}

/// Sets the NIS domain name of the UTS namespace (setdomainname(2)).
pub fn set_domainname(name: &std::ffi::CStr) -> Result<()> {
    // SAFETY: the name is valid for its length.
    check(unsafe { libc::syscall(libc::SYS_setdomainname, name.as_ptr(), name.to_bytes().len()) }).map(drop)
}

/// The working directory as the kernel knows it, in `buf`: a path it cannot reach from the root starts with
/// `(unreachable)` (getcwd(2); the C library's function would hide that).
pub fn getcwd(buf: &mut [u8]) -> Result<&[u8]> {
    // SAFETY: the buffer is valid for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_getcwd, buf.as_mut_ptr(), buf.len()) })? as usize;
    Ok(&buf[..n.saturating_sub(1)])
}
