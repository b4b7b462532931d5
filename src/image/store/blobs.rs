//! Blobs: files named by the digest of what they hold.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, openat, renameat};

use super::{FILE, Fetch, Store};
use crate::digest::{Digest, Hasher, Verified};
use crate::error::{Context, Error, Kind, Result};

/// Bytes are copied in pieces of this many.
const PIECE: usize = 128 << 10;

impl Store {
    /// The blob, open for reading, if it is in the store.
    pub fn blob(&self, digest: &Digest) -> Result<Option<File>> {
        self.file(&format!("blobs/{}", digest.path()))
    }

    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        self.has(&format!("blobs/{}", digest.path()))
    }

    /// A whole blob of at most `most` bytes: a manifest, index or configuration.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a larger one.
    pub fn small_blob(&self, digest: &Digest, most: u64) -> Result<Vec<u8>> {
        let file = self.blob(digest)?.ok_or_else(|| Error::new(Kind::NotFound, format!("{digest} is not there")))?;
        let mut content = Vec::new();
        file.take(most + 1).read_to_end(&mut content).context(|| format!("read blob {digest}"))?;
        if content.len() as u64 > most {
            return Err(Error::invalid(format!("blob {digest} is larger than {most} bytes")));
        }
        Ok(content)
    }

    /// Takes the blob from `content`, which must have exactly this size and digest. Nothing is read if it is there.
    ///
    /// # Errors
    /// `Mismatch`; what reading gives; the kernel's errors, as of a full disk. The store is then as before.
    pub fn put_blob(&self, digest: &Digest, size: u64, content: &mut dyn Read) -> Result<()> {
        if self.has_blob(digest)? {
            return Ok(());
        }
        let put = || -> Result<()> {
            let mut incoming = self.incoming(digest)?;
            incoming.restart()?;
            let mut verified = Verified::new(content, digest, size);
            let mut piece = vec![0; PIECE];
            loop {
                let n = verified.read(&mut piece)?;
                if n == 0 {
                    break;
                }
                incoming.write_all(&piece[..n])?;
            }
            incoming.commit()
        };
        put().context(|| format!("store blob {digest}"))
    }

    /// Takes `content` as a blob, and gives its digest.
    pub fn put_bytes(&self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(content);
        self.put_blob(&digest, content.len() as u64, &mut &content[..])?;
        Ok(digest)
    }

    /// Has `write` read the blob, which is fetched from where an earlier try has stopped, and keeps it. `write` verifies it.
    pub(super) fn fetched<T>(
        &self,
        digest: &Digest,
        size: u64,
        fetch: Fetch<'_>,
        write: impl FnOnce(&mut (dyn Read + Send)) -> Result<T>,
    ) -> Result<T> {
        let mut incoming = self.incoming(digest)?;
        if let Some(mut blob) = self.blob(digest)? {
            return write(&mut blob);
        }
        if incoming.length() > size {
            incoming.restart()?;
        }
        let have = incoming.length();
        let start = incoming.file.try_clone()?;
        incoming.file.seek(SeekFrom::Start(0))?;
        let rest: Box<dyn Read + Send> = if have < size { fetch(have)? } else { Box::new(std::io::empty()) };
        let mut kept = Kept { rest, incoming: &mut incoming, broken: false };
        let written = write(&mut start.take(have).chain(&mut kept));
        let broken = kept.broken;
        match &written {
            // What came over a connection that broke is right as far as one knows; what makes no sense never was.
            Err(error) if !broken && matches!(error.kind(), Kind::Mismatch | Kind::Invalid) => incoming.restart()?,
            Err(error) if error.kind() != Kind::NeedsBase => {}
            _ => incoming.commit()?,
        }
        written
    }

    /// The blob as far as an earlier, interrupted try has brought it. Held by one process at a time.
    pub fn incoming(&self, digest: &Digest) -> Result<Incoming<'_>> {
        let claim = self.claim(digest.hex())?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut file: File = openat(&self.dir, incoming_name(digest), flags, FILE)
            .map(File::from)
            .context(|| format!("open {}", incoming_name(digest)))?;
        let length = file.seek(SeekFrom::End(0)).context(|| format!("seek {}", incoming_name(digest)))?;
        Ok(Incoming { store: self, digest: digest.clone(), file, length, _claim: claim })
    }
}

fn incoming_name(digest: &Digest) -> String {
    format!("temporary/{}.blob", digest.hex())
}

/// A blob that is being fetched. When it is dropped before the end, what there is stays for another try.
#[derive(Debug)]
pub struct Incoming<'s> {
    store: &'s Store,
    digest: Digest,
    file: File,
    length: u64,
    _claim: OwnedFd,
}

impl Incoming<'_> {
    /// The bytes there are already.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads the bytes there are into `hasher`; the file is then at its end.
    pub fn hash(&mut self, hasher: &mut Hasher) -> Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut self.file, hasher)?;
        Ok(())
    }

    /// Throws away the bytes there are.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        Ok(())
    }

    /// Makes it a blob of the store. The caller has verified digest and size.
    pub fn commit(self) -> Result<()> {
        self.file.sync_data()?;
        let place = format!("blobs/{}", self.digest.path());
        renameat(&self.store.dir, incoming_name(&self.digest), &self.store.dir, &place)
            .context(|| format!("rename to {place}"))
    }
}

/// What is read is kept.
struct Kept<'i, 's> {
    rest: Box<dyn Read + Send>,
    incoming: &'i mut Incoming<'s>,
    /// Reading has failed.
    broken: bool,
}

impl Read for Kept<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.rest.read(buf).inspect_err(|_| self.broken = true)?;
        self.incoming.write_all(&buf[..n])?;
        Ok(n)
    }
}

impl Write for Incoming<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_verified_becomes_a_blob() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let digest = Digest::sha256(b"content");
        for (content, size) in [(&b"kontent"[..], 7), (b"content", 6), (b"content", 8), (b"content and more", 7)] {
            let error = store.put_blob(&digest, size, &mut &content[..]).unwrap_err();
            assert_eq!(error.kind(), Kind::Mismatch, "{error}");
            assert!(!store.has_blob(&digest).unwrap());
        }
        store.put_blob(&digest, 7, &mut &b"content"[..]).unwrap();
        assert_eq!(store.small_blob(&digest, 7).unwrap(), b"content");
        assert!(store.small_blob(&digest, 6).is_err());
        assert_eq!(store.put_bytes(b"content").unwrap(), digest);
    }
}
