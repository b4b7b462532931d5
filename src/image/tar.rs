//! A strict reader of tar streams: ustar, pax, GNU long names and sparse files.
//!
//! A layer is read by many programs, and what two of them understand differently is a way to smuggle. So whatever is
//! malformed, ambiguous or over a limit is an error with the entry's number and name, never a guess. What follows the
//! end of the archive is left to the caller, who still has to hash it.

mod field;
mod header;
mod limits;
mod pax;
mod sparse;
mod write;

use std::io::BufRead;

pub use limits::Limits;
pub use sparse::Segment;
pub use write::Writer;

use crate::error::{Error, Escaped, Result};
use header::{BLOCK, Flag, Header};
use pax::Extended;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    HardLink,
    Symlink,
    Char,
    Block,
    Directory,
    Fifo,
}

/// A moment: seconds since 1970 and nanoseconds after them (0 to 999 999 999).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Time {
    pub seconds: i64,
    pub nanoseconds: u32,
}

/// One entry. Paths are as they stand in the archive, without NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub path: Vec<u8>,
    pub kind: Kind,
    /// The target of a symbolic or hard link.
    pub link: Vec<u8>,
    /// The permission bits with set-user-ID, set-group-ID and sticky (07777).
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Time,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Names and values, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The size of the file that is made.
    pub size: u64,
    /// Where the data goes if it is not one piece, in ascending order.
    pub segments: Option<Vec<Segment>>,
}

/// Reads the entries of the archive `inner` one after the other.
#[derive(Debug)]
pub struct Reader<R> {
    inner: R,
    limits: Limits,
    entries: u64,
    /// Data of the entry that is not yet read, and the padding after it.
    left: u64,
    padding: u64,
    ended: bool,
    position: u64,
}

/// What came before the header of an entry and belongs to it.
#[derive(Default)]
struct Before {
    extended: Option<Extended>,
    long_path: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    bytes: u64,
}

impl Before {
    fn is_empty(&self) -> bool {
        self.extended.is_none() && self.long_path.is_none() && self.long_link.is_none()
    }
}

impl<R: BufRead> Reader<R> {
    pub fn new(inner: R, limits: Limits) -> Reader<R> {
        Reader { inner, limits, entries: 0, left: 0, padding: 0, ended: false, position: 0 }
    }

    /// The next entry; data of the one before that was not read is skipped. None at the end of the archive.
    ///
    /// # Errors
    /// `Invalid` with the number and name of the entry; what reading gives.
    pub fn entry(&mut self) -> Result<Option<Entry>> {
        self.skip()?;
        let mut before = Before::default();
        while let Some(header) = self.header()? {
            let read = self.step(&header, &mut before);
            match read.map_err(|error| self.within(&header, &before, error))? {
                Some(entry) => return Ok(Some(entry)),
                None => continue,
            }
        }
        if before.is_empty() { Ok(None) } else { Err(self.at("the archive ends after an extended header")) }
    }

    /// The next piece of the entry's data; empty at its end. [`Reader::consume`] says how much of it was used.
    pub fn data(&mut self) -> Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let piece = self.inner.fill_buf()?;
        if piece.is_empty() {
            return Err(Error::invalid(format!("the archive ends {} bytes before the data does", self.left)));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        Ok(&piece[..most])
    }

    pub fn consume(&mut self, count: usize) {
        self.advance(count);
        self.left -= count as u64;
    }

    /// The bytes of the archive read so far: after [`Reader::entry`], where the entry's data begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn advance(&mut self, count: usize) {
        self.inner.consume(count);
        self.position += count as u64;
    }

    /// Reads an extended header or long name into `before`, or makes the entry.
    fn step(&mut self, header: &Header, before: &mut Before) -> Result<Option<Entry>> {
        match header.flag()? {
            Flag::Extended if before.extended.is_some() => {
                return Err(Error::invalid("two extended headers for one entry"));
            }
            Flag::Extended => {
                let records = self.contents(header, before)?;
                before.extended = Some(Extended::parse(&records, &self.limits)?);
            }
            Flag::Global => {
                let records = self.contents(header, before)?;
                // What would change every later entry is refused: readers do not agree on it.
                if Extended::parse(&records, &self.limits)?.says_something() {
                    return Err(Error::invalid("a global extended header changes entries"));
                }
                before.bytes = 0;
            }
            Flag::LongPath if before.long_path.is_none() => before.long_path = Some(self.long_name(header, before)?),
            Flag::LongLink if before.long_link.is_none() => before.long_link = Some(self.long_name(header, before)?),
            Flag::LongPath | Flag::LongLink => return Err(Error::invalid("two long names for one entry")),
            Flag::Entry(kind) => return self.made(header, kind, std::mem::take(before)).map(Some),
            Flag::Sparse => {
                let map = sparse::old_gnu(header, || self.needed_block())?;
                let mut entry = self.made(header, Kind::File, std::mem::take(before))?;
                self.lay_out(&mut entry, map.0, map.1)?;
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The entry of `header` and what came before it.
    fn made(&mut self, header: &Header, kind: Kind, before: Before) -> Result<Entry> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::invalid(format!("more than {} entries", self.limits.entries)));
        }
        let mut extended = before.extended.unwrap_or_default();
        let path = one_of(extended.path.take(), before.long_path, "path")?;
        let link = one_of(extended.link.take(), before.long_link, "link")?;
        let mut entry = header.entry(kind)?;
        let stored = match (kind, extended.size) {
            // Only files have data, whatever the size field of the others says.
            (Kind::File, Some(size)) => size,
            (Kind::File, None) => header.size()?,
            _ => 0,
        };
        entry.path = match path {
            Some(path) => path,
            None => header.path(),
        };
        if let Some(link) = link {
            entry.link = link;
        }
        entry.uid = id(extended.uid.map_or_else(|| header.uid(), Ok)?, "user")?;
        entry.gid = id(extended.gid.map_or_else(|| header.gid(), Ok)?, "group")?;
        if let Some(mtime) = extended.mtime {
            entry.mtime = mtime;
        }
        entry.xattrs = std::mem::take(&mut extended.xattrs);
        entry.size = stored;
        (self.left, self.padding) = (stored, padding(stored));
        if let Some(sparse) = extended.sparse {
            if kind != Kind::File {
                return Err(Error::invalid("only a file can be sparse"));
            }
            if let Some(name) = sparse.name.clone() {
                entry.path = name;
            }
            let (size, segments) = self.sparse_map(sparse)?;
            self.lay_out(&mut entry, size, segments)?;
        }
        Ok(entry)
    }

    fn sparse_map(&mut self, sparse: pax::Sparse) -> Result<(u64, Vec<Segment>)> {
        let size = sparse.size.ok_or_else(|| Error::invalid("a sparse file without its size"))?;
        let segments = match sparse.map {
            Some(map) => map,
            None => {
                let (mut left, most) = (self.left, self.limits.headers);
                let segments = sparse::map_before_data(&mut left, most, || self.needed_block())?;
                self.left = left;
                segments
            }
        };
        Ok((size, segments))
    }

    /// Checks a map of data against the data there is and makes it that of `entry`.
    fn lay_out(&mut self, entry: &mut Entry, size: u64, segments: Vec<Segment>) -> Result<()> {
        sparse::check(&segments, size, self.left)?;
        if size > self.limits.sparse_size {
            return Err(Error::invalid(format!(
                "a sparse file of {size} bytes is over the limit of {}",
                self.limits.sparse_size
            )));
        }
        entry.size = size;
        entry.segments = Some(segments);
        Ok(())
    }

    /// The next header; None at the end: two blocks of zeros, or the end of the stream where a header could be.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        match self.block()? {
            Some(block) if block == [0; BLOCK] => {
                if self.block()?.is_some_and(|block| block != [0; BLOCK]) {
                    return Err(self.at("one block of zeros, then more entries"));
                }
                self.ended = true;
                Ok(None)
            }
            Some(block) => Header::checked(block).map(Some).map_err(|error| error.within(self.place(b""))),
            None => {
                self.ended = true;
                Ok(None)
            }
        }
    }

    /// The data of an extended header or long name, as far as the limit allows.
    fn contents(&mut self, header: &Header, before: &mut Before) -> Result<Vec<u8>> {
        let size = header.size()?;
        before.bytes = before.bytes.saturating_add(size);
        if before.bytes > self.limits.headers {
            return Err(Error::invalid(format!("extended headers over the limit of {} bytes", self.limits.headers)));
        }
        (self.left, self.padding) = (size, padding(size));
        let mut contents = Vec::new();
        loop {
            let piece = self.data()?;
            let n = piece.len();
            if n == 0 {
                break;
            }
            contents.extend_from_slice(piece);
            self.consume(n);
        }
        self.skip()?;
        Ok(contents)
    }

    /// The contents of a GNU long name, which end with a NUL.
    fn long_name(&mut self, header: &Header, before: &mut Before) -> Result<Vec<u8>> {
        let mut name = self.contents(header, before)?;
        if name.last() == Some(&0) {
            name.pop();
        }
        if name.is_empty() || name.contains(&0) {
            return Err(Error::invalid("a long name that is empty or holds a NUL"));
        }
        Ok(name)
    }

    /// Skips what is left of the entry's data, and the padding.
    fn skip(&mut self) -> Result<()> {
        let mut left = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        while left > 0 {
            let available = self.inner.fill_buf()?.len();
            if available == 0 {
                return Err(self.at("the archive ends in the middle of the data"));
            }
            let n = available.min(usize::try_from(left).unwrap_or(usize::MAX));
            self.advance(n);
            left -= n as u64;
        }
        Ok(())
    }

    /// The next block; None at the end of the stream.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let available = self.inner.fill_buf()?;
            if available.is_empty() {
                return if have == 0 { Ok(None) } else { Err(self.at("the archive ends in the middle of a header")) };
            }
            let n = available.len().min(BLOCK - have);
            block[have..have + n].copy_from_slice(&available[..n]);
            self.advance(n);
            have += n;
        }
        Ok(Some(block))
    }

    fn needed_block(&mut self) -> Result<[u8; BLOCK]> {
        self.block()?.ok_or_else(|| self.at("the archive ends in the middle of a header"))
    }

    fn within(&self, header: &Header, before: &Before, error: Error) -> Error {
        let named = before.extended.as_ref().and_then(|extended| extended.path.clone());
        error.within(self.place(&named.or_else(|| before.long_path.clone()).unwrap_or_else(|| header.path())))
    }

    fn at(&self, message: &str) -> Error {
        Error::invalid(message).within(self.place(b""))
    }

    fn place(&self, path: &[u8]) -> String {
        let number = self.entries + 1;
        if path.is_empty() { format!("entry {number}") } else { format!("entry {number} \"{}\"", Escaped(path)) }
    }
}

/// The bytes from the end of `size` bytes of data to the next header.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// A name that both extended headers and GNU's long names may give, but not both.
fn one_of(extended: Option<Vec<u8>>, long: Option<Vec<u8>>, what: &str) -> Result<Option<Vec<u8>>> {
    match (extended, long) {
        (Some(_), Some(_)) => Err(Error::invalid(format!("two different headers give the {what}"))),
        (extended, long) => Ok(extended.or(long)),
    }
}

/// A user or group the kernel knows: -1 means "no change" to chown(2).
fn id(number: i128, what: &str) -> Result<u32> {
    match u32::try_from(number) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(Error::invalid(format!("{what} id {number} is out of range"))),
    }
}
