//! Maps of files with holes.

use super::field::{decimal, number, size};
use super::header::{BLOCK, Header};
use crate::error::{Error, Result};

/// A piece of data of a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    pub offset: u64,
    pub length: u64,
}

/// More pieces than this are no saving.
const SEGMENTS: usize = 1 << 20;

/// The size and map of GNU's old format: four pieces in the header, 21 in each further block that `next` gives.
pub fn old_gnu(header: &Header, mut next: impl FnMut() -> Result<[u8; BLOCK]>) -> Result<(u64, Vec<Segment>)> {
    let real = size(number(header.bytes(483..495), "size")?, "size")?;
    let mut segments = Vec::new();
    let mut more = header.bytes(482..483) != [0];
    read_pieces(header.bytes(386..482), &mut segments)?;
    while more {
        let block = next()?;
        read_pieces(&block[..504], &mut segments)?;
        more = block[504] != 0;
    }
    Ok((real, segments))
}

fn read_pieces(fields: &[u8], segments: &mut Vec<Segment>) -> Result<()> {
    for piece in fields.chunks_exact(24) {
        // The first that is not used ends the list.
        if piece[0] == 0 || piece[12] == 0 {
            break;
        }
        let field = |range| size(number(range, "map of data")?, "map of data");
        push(segments, Segment { offset: field(&piece[..12])?, length: field(&piece[12..])? })?;
    }
    Ok(())
}

/// The map of format 0.1: `offset,length,offset,length…`.
pub fn pairs(text: &[u8]) -> Result<Vec<Segment>> {
    let mut numbers = text.split(|&b| b == b',').filter(|_| !text.is_empty());
    let mut segments = Vec::new();
    while let Some(offset) = numbers.next() {
        let length = numbers.next().ok_or_else(|| Error::invalid("a map of data with an odd count of numbers"))?;
        let field = |text| size(decimal(text, "map of data")?, "map of data");
        push(&mut segments, Segment { offset: field(offset)?, length: field(length)? })?;
    }
    Ok(segments)
}

/// The map of format 1.0: lines before the data, padded to a block. Takes what it reads off `left`.
pub fn map_before_data(
    left: &mut u64,
    most: u64,
    mut next: impl FnMut() -> Result<[u8; BLOCK]>,
) -> Result<Vec<Segment>> {
    let (mut text, mut at) = (Vec::new(), 0);
    let mut line = |left: &mut u64| -> Result<u64> {
        loop {
            if let Some(end) = text[at..].iter().position(|&b| b == b'\n') {
                let line = decimal(&text[at..at + end], "map of data")?;
                at += end + 1;
                return size(line, "map of data");
            }
            if *left < BLOCK as u64 || text.len() as u64 > most || text.len() - at > 32 {
                return Err(Error::invalid("a map of data that does not end"));
            }
            *left -= BLOCK as u64;
            text.extend_from_slice(&next()?);
        }
    };
    let count = line(left)?;
    let mut segments = Vec::new();
    for _ in 0..count {
        let (offset, length) = (line(left)?, line(left)?);
        push(&mut segments, Segment { offset, length })?;
    }
    Ok(segments)
}

fn push(segments: &mut Vec<Segment>, segment: Segment) -> Result<()> {
    if segments.len() >= SEGMENTS {
        return Err(Error::invalid(format!("a sparse file of more than {SEGMENTS} pieces")));
    }
    segments.push(segment);
    Ok(())
}

/// The pieces must be in order, within the file, and as long together as the data that is stored.
pub fn check(segments: &[Segment], size: u64, stored: u64) -> Result<()> {
    let (mut end, mut sum) = (0, 0_u64);
    for segment in segments {
        if segment.offset < end {
            return Err(Error::invalid("a map of data that is out of order"));
        }
        // Neither overflows: both are below 2^62.
        end = segment.offset + segment.length;
        sum += segment.length;
        if end > size || sum > stored {
            return Err(Error::invalid("a map of data that is larger than the file"));
        }
    }
    if sum == stored { Ok(()) } else { Err(Error::invalid("data that the map of the sparse file does not place")) }
}
