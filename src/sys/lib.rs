//! Kernel calls that `nix` lacks, and nothing else.
//!
//! This is the only crate of the project that may contain `unsafe`. Every function is one system call (or one
//! fixed sequence that has no meaning apart), takes descriptors and C strings, allocates nothing, and reports
//! the kernel's [`Errno`] as it is: most of them run in a process that has just been cloned and may do nothing
//! but make system calls.

pub mod bpf;
pub mod clone;
pub mod creds;
pub mod exec;
pub mod fds;
pub mod guard;
pub mod keyring;
pub mod mount;
pub mod net;
pub mod sched;
pub mod seccomp;

pub use nix::errno::Errno;

/// The result of a system call: its value, or the kernel's error number.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns the return value of a raw system call into a [`Result`].
fn check(ret: libc::c_long) -> Result<libc::c_long> {
    if ret < 0 { Err(Errno::last()) } else { Ok(ret) }
}
