//! `execve(2)` with tables that were built before the clone.

use std::convert::Infallible;
use std::ffi::{CStr, CString, c_char};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Errno, Result};

/// A null-terminated table of C strings, as `execve` wants its arguments and environment.
#[derive(Debug, Default)]
pub struct CArray {
    strings: Vec<CString>,
    pointers: Vec<AtomicUsize>,
}

impl CArray {
    /// Takes the strings and builds the table over them.
    pub fn new(strings: Vec<CString>) -> CArray {
        // Addresses as integers: the table never leaves this module as anything but a pointer, and integers keep
        // the type Send.
        let pointers = strings.iter().map(|s| s.as_ptr() as usize).chain([0]).map(AtomicUsize::new).collect();
        CArray { strings, pointers }
    }

    /// The strings in the table.
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr().cast()
    }

    /// Puts another string in the place of one, and returns what was there.
    fn exchange(&self, index: usize, string: usize) -> Option<usize> {
        // The last place is the null that ends the table.
        let place = self.pointers[..self.strings.len()].get(index)?;
        Some(place.swap(string, Ordering::Relaxed))
    }
}

/// Replaces this process's program by the one at `path` (execve(2)). `replaced` is what the environment has at an
/// index instead of what is in the table.
pub fn execve(path: &CStr, argv: &CArray, envp: &CArray, replaced: Option<(usize, &CStr)>) -> Result<Infallible> {
    let kept = replaced.and_then(|(index, entry)| Some((index, envp.exchange(index, entry.as_ptr() as usize)?)));
    // SAFETY: both tables are null-terminated and point to strings that live across the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    let errno = Errno::last();
    if let Some((index, string)) = kept {
        envp.exchange(index, string);
    }
    Err(errno)
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
