//! Content addresses: `sha256:…` and `sha512:…`, and readers that hold a stream to one.

use std::fmt::{self, Write as _};
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

use crate::error::{Error, Kind, Result};

/// The registered algorithms of the image specification (descriptor.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn hex_length(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

/// The digest of some content. Its text is safe as part of a path: the algorithm is known and the rest is lower-case
/// hexadecimal of the right length.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: String,
}

impl Digest {
    /// The SHA-256 digest of `content`.
    pub fn sha256(content: &[u8]) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(content);
        hasher.finish()
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// As a relative path: `sha256/…`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.algorithm.name(), self.hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest> {
        let invalid = || Error::invalid(format!("invalid digest \"{}\"", text.escape_debug()));
        let (name, hex) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(invalid()),
        };
        if hex.len() != algorithm.hex_length() || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(invalid());
        }
        Ok(Digest { algorithm, hex: hex.to_owned() })
    }
}

impl TryFrom<String> for Digest {
    type Error = Error;

    fn try_from(text: String) -> Result<Digest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// A digest in the making.
#[derive(Debug, Clone)]
pub enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    pub fn new(algorithm: Algorithm) -> Hasher {
        match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Box::new(Sha512::new())),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(state) => state.update(bytes),
            Hasher::Sha512(state) => state.update(bytes),
        }
    }

    pub fn finish(self) -> Digest {
        let (algorithm, bytes) = match self {
            Hasher::Sha256(state) => (Algorithm::Sha256, state.finalize().to_vec()),
            Hasher::Sha512(state) => (Algorithm::Sha512, state.finalize().to_vec()),
        };
        let mut hex = String::with_capacity(algorithm.hex_length());
        for byte in bytes {
            // Writing to a string does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Digest { algorithm, hex }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that gives exactly the announced bytes: its end is an error unless size and digest are those expected, and
/// not one byte beyond the size is asked for.
#[derive(Debug)]
pub struct Verified<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    size: u64,
    left: u64,
}

impl<R: Read> Verified<R> {
    pub fn new(inner: R, expected: &Digest, size: u64) -> Verified<R> {
        let hasher = Some(Hasher::new(expected.algorithm));
        Verified { inner, hasher, expected: expected.clone(), size, left: size }
    }

    /// The end of the stream: the source must end here too, and the digest must be right.
    fn verify(&mut self) -> Result<()> {
        let Some(hasher) = self.hasher.take() else { return Ok(()) };
        if self.inner.read(&mut [0])? != 0 {
            return Err(Error::new(Kind::Mismatch, format!("blob is larger than its {} bytes", self.size)));
        }
        let found = hasher.finish();
        if found != self.expected {
            return Err(Error::new(Kind::Mismatch, format!("content has digest {found}")));
        }
        Ok(())
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            self.verify()?;
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        if n == 0 {
            let found = self.size - self.left;
            return Err(Error::new(Kind::Mismatch, format!("blob ends after {found} of {} bytes", self.size)).into());
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buf[..n]);
        }
        self.left -= n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_algorithms_in_lower_case() {
        let good = Digest::sha256(b"").to_string();
        assert_eq!(good, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert!(good.parse::<Digest>().is_ok());
        assert!(format!("sha512:{}", "0".repeat(128)).parse::<Digest>().is_ok());
        for bad in [
            "",
            "sha256",
            "sha256:",
            "sha256:../../etc/passwd",
            &good.to_uppercase(),
            &good.replace("e3b0", "E3B0"),
            &good[..70],
            &format!("{good}0"),
            &good.replace("sha256", "md5"),
            &good.replace("sha256", "sha512"),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_is_held_to_digest_and_size() {
        let digest = Digest::sha256(b"content");
        let read = |content: &[u8], size| {
            let mut out = Vec::new();
            Verified::new(content, &digest, size).read_to_end(&mut out).map_err(Error::from)
        };
        assert_eq!(read(b"content", 7).unwrap(), 7);
        for (content, size) in [(&b"content"[..], 6), (b"content", 8), (b"contenT", 7), (b"", 0)] {
            assert_eq!(read(content, size).unwrap_err().kind(), Kind::Mismatch, "{size}");
        }
    }
}
