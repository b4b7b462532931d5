//! The compressions of a layer: gzip of one or more members, zstd of one or more frames, none.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Error, Result};

/// How a layer blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// The largest window a zstd frame may ask for, as a power of two: 128 MiB. What needs more memory is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Compressed bytes are asked for in pieces of this many.
const INPUT: usize = 128 << 10;

impl Compression {
    /// What the media type of a layer says (image specification, layer.md and media-types.md; Docker's schema 2).
    ///
    /// # Errors
    /// A media type that is not that of a layer.
    pub fn of_media_type(media_type: &str) -> Result<Compression> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Ok(Compression::Gzip),
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
            other => Err(Error::invalid(format!("media type {} is not that of a layer", other.escape_debug()))),
        }
    }

    /// What the first bytes say: archives of Docker do not tell otherwise, and some writers tell wrong.
    pub fn sniff(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// The expanded bytes of `compressed`, whatever its compression: the first bytes decide. To the end of the input: what
/// follows a gzip member or zstd frame must be another one.
///
/// # Errors
/// Reading gives an error for truncated or corrupt input and for zstd windows over 128 MiB.
pub fn expand<'a>(compressed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut input = BufReader::with_capacity(INPUT, compressed);
    let start = input.fill_buf()?;
    Ok(match Compression::sniff(start) {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    })
}
