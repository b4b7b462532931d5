//! A part of a file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a file that others read too: each slice has a position of its own.
#[derive(Debug, Clone)]
pub struct Slice {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Slice {
    pub fn new(file: Arc<File>, begin: u64, size: u64) -> Slice {
        Slice { file, position: begin, end: begin.saturating_add(size) }
    }

    pub fn size(&self) -> u64 {
        self.end - self.position
    }

    /// The same without its first bytes.
    pub fn from(mut self, offset: u64) -> Slice {
        self.position = self.position.saturating_add(offset).min(self.end);
        self
    }
}

impl Read for Slice {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size()).unwrap_or(usize::MAX).min(buf.len());
        let Some(buf) = buf.get_mut(..most) else { return Ok(0) };
        let n = self.file.read_at(buf, self.position)?;
        self.position += n as u64;
        Ok(n)
    }
}
