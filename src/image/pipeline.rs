//! A layer's bytes on their way: read, hashed and inflated by one thread, given to another that parses and writes.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::compression::expand;
use crate::digest::{Digest, Hasher, Verified};
use crate::error::{Error, Kind, Result};
use crate::progress::{Progress, Told};

/// Expanded bytes travel in pieces of this many, of which so many may be on their way.
const PIECE: usize = 256 << 10;
const PIECES: usize = 16;

/// From this many expanded bytes on, more than `RATIO` for one compressed byte are a bomb: what deflate can do at most is
/// 1032, and no file system is like that.
const SUSPICIOUS: u64 = 1 << 30;
const RATIO: u64 = 1000;

/// What a layer's bytes must be.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Digest and size of the blob.
    pub digest: &'a Digest,
    pub size: u64,
    /// Digest of the expanded bytes.
    pub diff_id: &'a Digest,
    /// Expanded bytes at most, if there is a limit.
    pub most: Option<u64>,
}

/// Has `work` read the expanded bytes of `blob`, in a thread of its own. Its result counts only if blob and expanded bytes are those expected, to
/// the last byte, whether `work` has read them or not.
///
/// # Errors
/// `Mismatch`, `Invalid` for what does not expand or is over a limit, and those of `work`. All is read too when `work`
/// ends in `NeedsBase`, so that a caller who keeps the blob has all of it.
pub fn run<T: Send>(
    blob: impl Read + Send,
    expected: Expected<'_>,
    progress: Progress<'_>,
    work: impl FnOnce(&mut Pieces) -> Result<T> + Send,
) -> Result<T> {
    let (full, pieces) = sync_channel(PIECES);
    let (empty, used) = channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let last = produce(blob, expected, progress, &full, &used);
            // Nobody listens when the work has failed: then its error is the one that counts.
            let _ = full.send(last.map(|()| Vec::new()));
        });
        let mut pieces = Pieces { pieces, empty, current: Vec::new(), at: 0, ended: false };
        let working = scope.spawn(move || {
            let done = work(&mut pieces);
            if !done.as_ref().is_err_and(|error| error.kind() != Kind::NeedsBase) {
                pieces.drain()?;
            }
            done
        });
        working.join().unwrap_or_else(|_| Err(Error::invalid("the unpacking thread ended")))
    })
}

fn produce(
    blob: impl Read + Send,
    expected: Expected<'_>,
    progress: Progress<'_>,
    full: &SyncSender<Result<Vec<u8>>>,
    used: &Receiver<Vec<u8>>,
) -> Result<()> {
    let compressed = AtomicU64::new(0);
    let told = Told::new(Counted { inner: blob, count: &compressed }, expected.digest, progress);
    let mut expanded = expand(Verified::new(told, expected.digest, expected.size))?;
    let mut hasher = Hasher::new(expected.diff_id.algorithm());
    let mut total = 0;
    loop {
        let mut piece = used.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let mut length = 0;
        while length < PIECE {
            match expanded.read(&mut piece[length..])? {
                0 => break,
                n => length += n,
            }
        }
        piece.truncate(length);
        if length == 0 {
            break;
        }
        hasher.update(&piece);
        total += length as u64;
        within_limits(total, compressed.load(Ordering::Relaxed), expected.most)?;
        if full.send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
    let found = hasher.finish();
    if found != *expected.diff_id {
        let message = format!("the expanded layer has digest {found}, not {} (diffID)", expected.diff_id);
        return Err(Error::new(Kind::Mismatch, message));
    }
    Ok(())
}

/// `compressed` bytes have come so far: what size was announced is a stranger's word until the end.
fn within_limits(total: u64, compressed: u64, most: Option<u64>) -> Result<()> {
    if let Some(most) = most.filter(|&most| total > most) {
        return Err(Error::invalid(format!("the expanded layer is over the limit of {most} bytes")));
    }
    if total > SUSPICIOUS && total / RATIO > compressed {
        let message = format!("{compressed} compressed bytes expand to more than {total}");
        return Err(Error::invalid(message));
    }
    Ok(())
}

/// A reader that counts its bytes.
struct Counted<'c, R> {
    inner: R,
    count: &'c AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The expanded bytes of a layer. An error of the other thread is an error of reading.
#[derive(Debug)]
pub struct Pieces {
    pieces: Receiver<Result<Vec<u8>>>,
    /// Where the buffers go back.
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Pieces {
    fn drain(&mut self) -> Result<()> {
        loop {
            let n = self.fill_buf()?.len();
            if n == 0 {
                return Ok(());
            }
            self.consume(n);
        }
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.current.len() && !self.ended {
            // The other end is gone when there is nothing more to inflate.
            let _ = self.empty.send(std::mem::take(&mut self.current));
            self.at = 0;
            match self.pieces.recv() {
                Ok(Ok(piece)) => {
                    self.ended = piece.is_empty();
                    self.current = piece;
                }
                Ok(Err(error)) => {
                    self.ended = true;
                    return Err(error.into());
                }
                Err(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(&self.current[self.at..])
    }

    fn consume(&mut self, count: usize) {
        self.at += count;
    }
}

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let n = available.len().min(buf.len());
        buf[..n].copy_from_slice(&available[..n]);
        self.consume(n);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::silent;

    fn read(blob: &[u8], digest: &Digest, diff_id: &Digest, take: u64) -> Result<Vec<u8>> {
        let expected = Expected { digest, size: blob.len() as u64, diff_id, most: Some(1 << 20) };
        run(blob, expected, &silent, |pieces| {
            let mut out = Vec::new();
            pieces.take(take).read_to_end(&mut out)?;
            Ok(out)
        })
    }

    #[test]
    fn a_bomb_is_known_by_what_came() {
        assert!(within_limits(SUSPICIOUS, 1, None).is_ok());
        assert!(within_limits(SUSPICIOUS + 1, 2 << 20, None).is_ok());
        assert!(within_limits(SUSPICIOUS + 1, 1 << 20, None).unwrap_err().to_string().contains("expand"));
    }

    #[test]
    fn a_result_counts_only_with_both_digests() {
        let content = vec![7; 1 << 20];
        let blob = zstd::encode_all(&content[..], 3).unwrap();
        let (digest, diff_id) = (Digest::sha256(&blob), Digest::sha256(&content));
        assert_eq!(read(&blob, &digest, &diff_id, u64::MAX).unwrap(), content);
        assert_eq!(read(&blob, &digest, &diff_id, 5).unwrap(), &content[..5]);
        assert_eq!(read(&blob, &digest, &digest, 5).unwrap_err().kind(), Kind::Mismatch);
        assert_eq!(read(&blob, &diff_id, &diff_id, 5).unwrap_err().kind(), Kind::Mismatch);
        let large = zstd::encode_all(&vec![7; (1 << 20) + 1][..], 3).unwrap();
        let error = read(&large, &Digest::sha256(&large), &diff_id, 5).unwrap_err();
        assert!(error.to_string().contains("limit"), "{error}");
    }
}
