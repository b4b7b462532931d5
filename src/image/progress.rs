//! What is told while an image is fetched and unpacked. Calls come from several threads.

use std::io::{self, Read};

use crate::digest::Digest;

/// One piece of news about the blob or layer with the given digest (that of the compressed blob).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Work on a blob of `total` bytes begins.
    Begin { digest: &'a Digest, total: u64 },
    /// `count` further bytes of the blob have been read.
    Bytes { digest: &'a Digest, count: u64 },
    /// The blob was there already, nothing is done.
    Cached { digest: &'a Digest },
    /// The blob is verified and, if it is a layer, unpacked.
    Done { digest: &'a Digest },
}

/// Where the news goes.
pub type Progress<'a> = &'a (dyn Fn(Event<'_>) + Sync);

/// For those who do not want to know.
pub fn silent(_: Event<'_>) {}

/// A reader that tells of what is read of a blob.
pub struct Told<'a, R> {
    inner: R,
    digest: &'a Digest,
    progress: Progress<'a>,
}

impl<'a, R> Told<'a, R> {
    pub fn new(inner: R, digest: &'a Digest, progress: Progress<'a>) -> Told<'a, R> {
        Told { inner, digest, progress }
    }
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        if n > 0 {
            (self.progress)(Event::Bytes { digest: self.digest, count: n as u64 });
        }
        Ok(n)
    }
}
