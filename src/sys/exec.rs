//! `execve(2)` with tables that were built before the clone.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Errno, Result};

/// A null-terminated table of C strings, as `execve` wants its arguments and environment.
#[derive(Debug, Default)]
pub struct CArray {
    strings: Vec<CString>,
    pointers: Vec<usize>,
}

impl CArray {
    /// Takes the strings and builds the table over them.
    pub fn new(strings: Vec<CString>) -> CArray {
        // Addresses as integers: the table never leaves this module as anything but a pointer, and integers keep
        // the type Send.
        let pointers = strings.iter().map(|s| s.as_ptr() as usize).chain([0]).collect();
        CArray { strings, pointers }
    }

    /// The strings in the table.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr().cast()
    }
}

/// Replaces this process's program by the one at `path` (execve(2)).
pub fn execve(path: &CStr, argv: &CArray, envp: &CArray) -> Result<Infallible> {
    // SAFETY: both tables are null-terminated and point to strings that live as long as they do.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Err(Errno::last())
}

/// Replaces this process's program by the file open as `fd` (execveat(2) with `AT_EMPTY_PATH`).
pub fn fexecve(fd: BorrowedFd<'_>, argv: &CArray, envp: &CArray) -> Result<Infallible> {
    // SAFETY: as for `execve`; the path is a constant empty string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(Errno::last())
}
