//! A blob whose connection may break: it goes on where it broke.

use std::io::{self, Read};

use super::Registry;
use crate::error::Result;
use crate::manifest::Descriptor;

/// How often one blob is taken up again without a byte in between.
const ATTEMPTS: u32 = 4;

/// The bytes of a blob over as many connections as it takes.
pub struct Resuming {
    registry: Registry,
    blob: Descriptor,
    position: u64,
    inner: Box<dyn Read + Send>,
    failures: u32,
}

impl Resuming {
    pub fn open(registry: Registry, blob: Descriptor, offset: u64) -> Result<Resuming> {
        // Nothing is left to ask for, and an empty range is an error for registries.
        let inner: Box<dyn Read + Send> =
            if offset >= blob.size { Box::new(io::empty()) } else { registry.blob(&blob, offset)? };
        Ok(Resuming { registry, blob, position: offset, inner, failures: 0 })
    }
}

impl Read for Resuming {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.inner.read(buf) {
                Ok(0) if self.position < self.blob.size && !buf.is_empty() => {
                    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before the blob did")
                }
                Ok(n) => {
                    self.position += n as u64;
                    self.failures = 0;
                    return Ok(n);
                }
                Err(error) => error,
            };
            self.failures += 1;
            if self.failures > ATTEMPTS {
                return Err(error);
            }
            super::http::wait(self.failures);
            self.inner = self.registry.blob(&self.blob, self.position)?;
        }
    }
}
