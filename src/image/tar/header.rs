//! The header block (POSIX ustar, GNU, v7).

use super::field::{moment, number, size};
use super::{Entry, Kind};
use crate::error::{Error, Result};

/// Everything in an archive is a multiple of this many bytes.
pub const BLOCK: usize = 512;

/// What the type flag of a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    Entry(Kind),
    /// GNU's own sparse file, with the map in the header.
    Sparse,
    Extended,
    Global,
    LongPath,
    LongLink,
}

/// A header whose checksum is right.
pub struct Header([u8; BLOCK]);

impl Header {
    pub fn checked(block: [u8; BLOCK]) -> Result<Header> {
        let stored = number(&block[148..156], "checksum")?;
        let of = |add: fn(u8) -> i128| -> i128 {
            block.iter().enumerate().map(|(i, &b)| if (148..156).contains(&i) { 32 } else { add(b) }).sum()
        };
        // Some old writers summed signed bytes.
        if of(i128::from) != stored && of(|b| i128::from(b.cast_signed())) != stored {
            return Err(Error::invalid("the checksum of the header is wrong"));
        }
        Ok(Header(block))
    }

    pub fn flag(&self) -> Result<Flag> {
        Ok(Flag::Entry(match self.0[156] {
            // Before POSIX a directory was a file with a slash at its end.
            0 if self.path().ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Char,
            b'4' => Kind::Block,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            b'x' => return Ok(Flag::Extended),
            b'g' => return Ok(Flag::Global),
            b'L' => return Ok(Flag::LongPath),
            b'K' => return Ok(Flag::LongLink),
            b'S' if self.is_gnu() => return Ok(Flag::Sparse),
            other => return Err(Error::invalid(format!("unknown type of entry '{}'", other.escape_ascii()))),
        }))
    }

    /// The name with the prefix that only POSIX archives have; GNU keeps other things there.
    pub fn path(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = match &self.0[257..265] {
            // star keeps times behind a shorter prefix.
            b"ustar\x0000" if &self.0[508..] == b"tar\0" => text(&self.0[345..476]),
            b"ustar\x0000" => text(&self.0[345..500]),
            _ => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub fn size(&self) -> Result<u64> {
        size(number(&self.0[124..136], "size")?, "size")
    }

    pub fn uid(&self) -> Result<i128> {
        number(&self.0[108..116], "user id")
    }

    pub fn gid(&self) -> Result<i128> {
        number(&self.0[116..124], "group id")
    }

    /// What the header alone says of the entry, but for path, owner and size.
    pub fn entry(&self, kind: Kind) -> Result<Entry> {
        let device = match kind {
            Kind::Char | Kind::Block => (self.device(329..337)?, self.device(337..345)?),
            _ => (0, 0),
        };
        Ok(Entry {
            path: Vec::new(),
            kind,
            link: match kind {
                Kind::HardLink | Kind::Symlink => text(&self.0[157..257]).to_vec(),
                _ => Vec::new(),
            },
            // Some writers keep the type of the file in the high bits.
            mode: (number(&self.0[100..108], "mode")? & 0o7777) as u32,
            uid: 0,
            gid: 0,
            mtime: moment(number(&self.0[136..148], "time")?, 0)?,
            device,
            xattrs: Vec::new(),
            size: 0,
            segments: None,
        })
    }

    /// The bytes at `range`, for the map of a sparse file.
    pub fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.0[range]
    }

    fn is_gnu(&self) -> bool {
        &self.0[257..265] == b"ustar  \0"
    }

    fn device(&self, range: std::ops::Range<usize>) -> Result<u32> {
        let value = number(&self.0[range], "device number")?;
        // What the kernel keeps: 12 bits of major and 20 bits of minor number.
        u32::try_from(value)
            .ok()
            .filter(|&n| n < 1 << 20)
            .ok_or_else(|| Error::invalid(format!("device number {value} is out of range")))
    }
}

/// A field of text: up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}
