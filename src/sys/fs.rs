//! Directories, links and data for a process that may not allocate: everything goes through the caller's buffers.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// The target of the symbolic link `name` below `dir`, or of `dir` itself if that is one and `name` is empty
/// (readlinkat(2)). A target as long as `buf` may have been cut off.
pub fn readlink<'b>(dir: BorrowedFd<'_>, name: &CStr, buf: &'b mut [u8]) -> Result<&'b [u8]> {
    // SAFETY: the name is a C string and the buffer is valid for its length.
    let n =
        check(unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) } as _)?;
    Ok(&buf[..n as usize])
}

/// The next names in the directory open as `dir`, as many as `buf` holds; none at the end (getdents64(2)).
pub fn names<'b>(dir: BorrowedFd<'_>, buf: &'b mut [u8]) -> Result<Names<'b>> {
    // SAFETY: the buffer is valid for its length.
    let n = check(unsafe { libc::syscall(libc::SYS_getdents64, dir.as_raw_fd(), buf.as_mut_ptr(), buf.len()) })?;
    Ok(Names(&buf[..n as usize]))
}

/// Names out of a buffer of getdents64(2), `.` and `..` among them.
#[derive(Debug)]
pub struct Names<'b>(&'b [u8]);

impl Names<'_> {
    /// Whether the directory has no more names.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'b> Iterator for Names<'b> {
    type Item = &'b CStr;

    fn next(&mut self) -> Option<&'b CStr> {
        // struct linux_dirent64: inode and offset of 8 bytes each, 2 bytes length of the entry, 1 byte type, the name.
        const LENGTH: usize = 16;
        const NAME: usize = 19;
        let length = u16::from_ne_bytes([*self.0.get(LENGTH)?, *self.0.get(LENGTH + 1)?]);
        let (entry, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        CStr::from_bytes_until_nul(entry.get(NAME..)?).ok()
    }
}

/// Sets the mode of what is open as `fd`, O_PATH or not (fchmodat2(2), Linux 6.6).
///
/// # Errors
/// ENOSYS from an older kernel.
pub fn chmod(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    // SAFETY: the empty name is a C string; the descriptor is open as long as it is borrowed.
    check(unsafe { libc::syscall(libc::SYS_fchmodat2, fd.as_raw_fd(), c"".as_ptr(), mode, libc::AT_EMPTY_PATH) })
        .map(drop)
}

/// Copies at most `count` bytes from `from` to `to` at their offsets; 0 at the end (sendfile(2)).
pub fn copy_data(from: BorrowedFd<'_>, to: BorrowedFd<'_>, count: usize) -> Result<usize> {
    // SAFETY: the offset pointer may be null.
    let n = check(unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), count) } as _)?;
    Ok(n as usize)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn names_of_a_directory() {
        let dir = std::fs::File::open("/proc/self").unwrap();
        let mut buf = [0u8; 1024];
        let (mut found, mut total) = (Vec::new(), 0);
        loop {
            let names = names(dir.as_fd(), &mut buf).unwrap();
            if names.is_empty() {
                break;
            }
            found.extend(names.map(|name| name.to_owned()));
            total += 1;
        }
        assert!(total > 1, "the buffer holds everything: nothing is continued");
        for name in [c".", c"..", c"mountinfo", c"exe"] {
            assert!(found.iter().any(|found| found.as_c_str() == name), "{name:?}");
        }
        let link = readlink(dir.as_fd(), c"exe", &mut buf).unwrap();
        assert_eq!(link.first(), Some(&b'/'));
    }
}
