//! The home directory, from the container's own /etc/passwd.

use std::ffi::CStr;
use std::os::fd::AsFd;

use nix::fcntl::OFlag;
use nix::sys::stat::fstat;

use super::path::{open_in, own_root};
use super::{Init, Result};

/// Room for `HOME=` and a directory.
const LENGTH: usize = 1024;
/// How much of the file is read, in bytes: an image may put anything there.
const MOST: usize = 1 << 20;
const NAME: &[u8] = b"HOME=";

/// An entry of the environment, once it is found.
pub struct Home {
    entry: [u8; LENGTH],
    len: usize,
}

impl Home {
    pub const NONE: Home = Home { entry: [0; LENGTH], len: 0 };

    /// `HOME=/home/user`, or `None` to keep what the plan says.
    pub fn entry(&self) -> Option<&CStr> {
        if self.len == 0 { None } else { CStr::from_bytes_with_nul(&self.entry[..=self.len]).ok() }
    }

    fn set(&mut self, directory: &[u8]) {
        let len = NAME.len() + directory.len();
        if !directory.is_empty() && len < LENGTH && !directory.contains(&0) {
            self.entry[..NAME.len()].copy_from_slice(NAME);
            self.entry[NAME.len()..len].copy_from_slice(directory);
            self.len = len;
        }
    }
}

impl Init<'_> {
    /// A missing or unreadable file is no error: then it is as the plan says.
    pub fn find_home(&mut self, uid: u32) -> Result<()> {
        // A fifo must not keep the container waiting for a writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let root = own_root()?;
        let regular = |flags| {
            let file = open_in(root.as_fd(), c"etc/passwd", flags, false).ok()?;
            (fstat(&file).ok()?.st_mode & libc::S_IFMT == libc::S_IFREG).then_some(file)
        };
        // Looked at first: to open a device can set it off, and the cgroup's rules for devices need not hold yet.
        let Some(file) = regular(OFlag::O_PATH).and_then(|_| regular(flags)) else { return Ok(()) };
        let mut line = Line::new();
        let mut chunk = [0; 4096];
        for _ in 0..MOST / chunk.len() {
            let n = match nix::unistd::read(&file, &mut chunk) {
                Ok(0) | Err(_) => break,
                Ok(n) => n,
            };
            for byte in &chunk[..n] {
                if *byte != b'\n' {
                    line.push(*byte);
                } else if let Some(directory) = line.home_of(uid) {
                    self.home.set(directory);
                    return Ok(());
                } else {
                    line.clear();
                }
            }
        }
        // The last line need not have an end.
        if let Some(directory) = line.home_of(uid) {
            self.home.set(directory);
        }
        Ok(())
    }
}

/// A line of passwd(5): `name:password:uid:gid:comment:directory:shell`.
struct Line {
    bytes: [u8; 2 * LENGTH],
    len: usize,
    too_long: bool,
}

impl Line {
    fn new() -> Line {
        Line { bytes: [0; 2 * LENGTH], len: 0, too_long: false }
    }

    fn clear(&mut self) {
        (self.len, self.too_long) = (0, false);
    }

    fn push(&mut self, byte: u8) {
        match self.bytes.get_mut(self.len) {
            Some(place) => (*place, self.len) = (byte, self.len + 1),
            None => self.too_long = true,
        }
    }

    /// The directory, if the line is about `uid`.
    fn home_of(&self, uid: u32) -> Option<&[u8]> {
        let mut fields = self.bytes[..self.len].split(|byte| *byte == b':');
        let number = str::from_utf8(fields.nth(2)?).ok()?.parse::<u32>().ok()?;
        let directory = fields.nth(2)?;
        (number == uid && !self.too_long).then_some(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let mut line = Line::new();
        text.bytes().for_each(|byte| line.push(byte));
        line
    }

    #[test]
    fn only_a_whole_line_about_the_user_counts() {
        let long = format!("x:x:7:7:{}:/long:/bin/sh", "c".repeat(4000));
        for (text, home) in [
            ("root:x:0:0:root:/root:/bin/sh", None),
            ("user:x:7:7::/home/user:/bin/sh", Some("/home/user")),
            ("user:x:7:7::/home/user", Some("/home/user")),
            ("user:x:7:7:", None),
            ("user:x:+7x:7::/y:", None),
            ("x:x:70:7::/y:", None),
            ("", None),
            (&long, None),
        ] {
            assert_eq!(line(text).home_of(7), home.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn a_directory_that_cannot_be_an_entry_is_left_out() {
        let entry = |directory: &[u8]| {
            let mut home = Home::NONE;
            home.set(directory);
            home.entry().map(CStr::to_owned)
        };
        assert_eq!(entry(b"/x"), Some(c"HOME=/x".to_owned()));
        assert_eq!(entry(b""), None);
        assert_eq!(entry(b"/a\0b"), None);
        assert_eq!(entry(&[b'/'; 2000]), None);
    }
}
