//! Writes archives that every reader understands the same: ustar headers, and pax records for what does not fit them.

use std::io::{Read, Write};

use super::header::BLOCK;
use super::{Entry, Kind, Time, padding};
use crate::error::{Error, Result};

/// What the fields of a ustar header hold at most.
const SIZE: u64 = 0o77_777_777_777;
const ID: u32 = 0o7_777_777;

/// An archive in the making. Everything in it follows from its entries: the same ones give the same bytes.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    pub fn new(out: W) -> Writer<W> {
        Writer { out }
    }

    /// Writes the entry, and for a file `entry.size` bytes of `data`.
    ///
    /// # Errors
    /// Data that ends earlier; those of reading and writing.
    pub fn entry(&mut self, entry: &Entry, data: &mut dyn Read) -> Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let size = records.len() as u64;
            self.out.write_all(&header(b"pax", b'x', entry, &[], size))?;
            self.padded(&mut records.as_slice(), size)?;
        }
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        let path = if entry.path.len() > 100 { &entry.path[entry.path.len() - 100..] } else { &entry.path };
        self.out.write_all(&header(path, flag(entry.kind), entry, &entry.link, size))?;
        self.padded(data, size)
    }

    /// A plain file of root's, for archives that hold images.
    pub fn file(&mut self, path: &str, size: u64, mtime: Time, data: &mut dyn Read) -> Result<()> {
        self.entry(&Entry { mtime, size, ..plain(path, Kind::File, 0o644) }, data)
    }

    /// A directory of root's, for archives that hold images.
    pub fn directory(&mut self, path: &str, mtime: Time) -> Result<()> {
        self.entry(&Entry { mtime, ..plain(path, Kind::Directory, 0o755) }, &mut std::io::empty())
    }

    /// Ends the archive; without, it is not complete.
    pub fn finish(mut self) -> Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }

    fn padded(&mut self, data: &mut dyn Read, size: u64) -> Result<()> {
        let copied = std::io::copy(&mut data.take(size), &mut self.out)?;
        if copied != size {
            return Err(Error::invalid(format!("the data ends after {copied} of {size} bytes")));
        }
        let rest = padding(size) as usize;
        Ok(self.out.write_all(&[0; BLOCK][..rest])?)
    }
}

fn plain(path: &str, kind: Kind, mode: u32) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        link: Vec::new(),
        mode,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        device: (0, 0),
        xattrs: Vec::new(),
        size: 0,
        segments: None,
    }
}

fn flag(kind: Kind) -> u8 {
    match kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::Char => b'3',
        Kind::Block => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// The header block; what does not fit is cut, and said in a record.
fn header(path: &[u8], flag: u8, entry: &Entry, link: &[u8], size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, most: usize, bytes: &[u8]| {
        let n = bytes.len().min(most);
        block[at..at + n].copy_from_slice(&bytes[..n]);
    };
    let octal = |value: u64, width: usize| format!("{value:0width$o}").into_bytes();
    put(0, 100, path);
    put(100, 7, &octal(entry.mode.into(), 7));
    put(108, 7, &octal(entry.uid.min(ID).into(), 7));
    put(116, 7, &octal(entry.gid.min(ID).into(), 7));
    put(124, 11, &octal(size.min(SIZE), 11));
    put(136, 11, &octal(u64::try_from(entry.mtime.seconds).unwrap_or(0).min(SIZE), 11));
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, 100, link);
    put(257, 8, b"ustar\x0000");
    put(329, 7, &octal(entry.device.0.into(), 7));
    put(337, 7, &octal(entry.device.1.into(), 7));
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The pax records that `entry` needs.
fn records(entry: &Entry) -> Vec<u8> {
    let mut records = Vec::new();
    let mut add = |key: &[u8], value: &[u8]| {
        let body = key.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = body + 1;
        while length != body + length.to_string().len() {
            length = body + length.to_string().len();
        }
        records.extend_from_slice(length.to_string().as_bytes());
        for piece in [b" ", key, b"=", value, b"\n"] {
            records.extend_from_slice(piece);
        }
    };
    let number = |value: u64| value.to_string().into_bytes();
    if entry.path.len() > 100 {
        add(b"path", &entry.path);
    }
    if entry.link.len() > 100 {
        add(b"linkpath", &entry.link);
    }
    if entry.kind == Kind::File && entry.size > SIZE {
        add(b"size", &number(entry.size));
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > ID {
            add(key, &number(id.into()));
        }
    }
    let Time { seconds, nanoseconds } = entry.mtime;
    if nanoseconds != 0 || !(0..=SIZE.cast_signed()).contains(&seconds) {
        add(b"mtime", text(entry.mtime).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        add(&[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    records
}

/// Seconds with a fraction: `-1.5` is one and a half seconds before 1970.
fn text(Time { seconds, nanoseconds }: Time) -> String {
    match (seconds, nanoseconds) {
        (seconds, 0) => seconds.to_string(),
        (..0, nanoseconds) => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanoseconds),
        _ => format!("{seconds}.{nanoseconds:09}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, Reader};
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let full = Entry {
            path: [&b"d/"[..], &b"\xff".repeat(200)].concat(),
            uid: 4_000_000_000,
            gid: 3_000_000,
            mtime: Time { seconds: -2, nanoseconds: 750_000_000 },
            xattrs: vec![(b"user.a".to_vec(), b"\0=\n".to_vec())],
            size: 5,
            ..plain("", Kind::File, 0o6755)
        };
        let entries = [
            plain("d", Kind::Directory, 0o1777),
            full,
            Entry { link: b"l".repeat(300), ..plain("link", Kind::Symlink, 0o777) },
            Entry { link: b"d".to_vec(), ..plain("hard", Kind::HardLink, 0o644) },
            Entry {
                device: (8, 17),
                mtime: Time { seconds: 1 << 40, nanoseconds: 0 },
                ..plain("b", Kind::Block, 0o660)
            },
            Entry { mtime: Time { seconds: -1, nanoseconds: 1 }, ..plain("p", Kind::Fifo, 0) },
        ];
        let mut writer = Writer::new(Vec::new());
        for entry in &entries {
            writer.entry(entry, &mut &b"hello"[..]).unwrap();
        }
        let archive = writer.finish().unwrap();
        let mut reader = Reader::new(archive.as_slice(), Limits::default());
        for entry in &entries {
            assert_eq!(reader.entry().unwrap().as_ref(), Some(entry));
            assert_eq!(reader.data().unwrap(), if entry.size > 0 { &b"hello"[..] } else { b"" });
        }
        assert_eq!(reader.entry().unwrap(), None);
        assert_eq!(reader.position(), archive.len() as u64);
        assert!(Writer::new(Vec::new()).file("f", 6, Time::default(), &mut &b"hello"[..]).is_err());
    }
}
