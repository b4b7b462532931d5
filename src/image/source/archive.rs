//! A tar archive as a set of named files, read where they stand.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::Arc;

use super::Content;
use super::layout::{check_marker, parse_index};
use super::slice::Slice;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, Index};
use crate::tar::{self, Limits, Reader};

/// Members an archive may have: two each of a few hundred layers.
const MEMBERS: u64 = 100_000;

/// Links from one member to another that are followed.
const LINKS: usize = 8;

/// Members by their path without a leading `./`.
pub struct Archive {
    file: Arc<File>,
    members: BTreeMap<String, Member>,
}

enum Member {
    Data { begin: u64, size: u64 },
    Link(String),
}

/// Counts what is taken from a reader.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.set(self.count.get() + n as u64);
        Ok(n)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count.set(self.count.get() + count as u64);
        self.inner.consume(count);
    }
}

impl Archive {
    /// Finds the members of an uncompressed archive.
    pub fn open(file: File) -> Result<Archive> {
        let count = Rc::new(Cell::new(0));
        let input = Counted { inner: BufReader::with_capacity(1 << 18, &file), count: count.clone() };
        let mut reader = Reader::new(input, Limits { entries: MEMBERS, ..Limits::default() });
        let mut members = BTreeMap::new();
        while let Some(entry) = reader.entry()? {
            let Some(path) = plain(&entry.path, b"") else { continue };
            let member = match entry.kind {
                tar::Kind::File if entry.segments.is_none() => Member::Data { begin: count.get(), size: entry.size },
                // Old versions of Docker link a layer that is there already.
                tar::Kind::Symlink | tar::Kind::HardLink => {
                    let base: &[u8] = if entry.kind == tar::Kind::Symlink { &entry.path } else { b"" };
                    match plain(&entry.link, base) {
                        Some(target) => Member::Link(target),
                        None => continue,
                    }
                }
                _ => continue,
            };
            if members.insert(path.clone(), member).is_some() {
                return Err(Error::invalid(format!("the archive has two members {path:?}")));
            }
        }
        drop(reader);
        Ok(Archive { file: Arc::new(file), members })
    }

    pub fn has(&self, path: &str) -> bool {
        self.members.contains_key(path)
    }

    /// The bytes of a member.
    pub fn member(&self, path: &str) -> Result<Slice> {
        let mut path = path;
        for _ in 0..LINKS {
            match self.members.get(path) {
                Some(Member::Data { begin, size }) => return Ok(Slice::new(self.file.clone(), *begin, *size)),
                Some(Member::Link(target)) => path = target,
                None => return Err(Error::new(Kind::NotFound, format!("the archive has no member {path:?}"))),
            }
        }
        Err(Error::invalid(format!("the archive's member {path:?} is a link in a circle")))
    }

    /// A small member as a whole.
    pub fn small(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.member(path)?.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(Error::invalid(format!("the archive's member {path:?} is larger than {DOCUMENT_LIMIT} bytes")));
        }
        Ok(bytes)
    }

    /// The index of an image layout in the archive.
    pub fn index(&self) -> Result<Index> {
        check_marker(&self.small("oci-layout").context(|| "not an OCI archive")?)?;
        parse_index(&self.small("index.json")?)
    }
}

impl Content for Archive {
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.member(&format!("blobs/{}", blob.digest.path()))?.from(offset)))
    }
}

/// A path within the archive, in plain form; `None` for what leads out of it. A link's is relative to its directory.
fn plain(path: &[u8], link: &[u8]) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    let (path, link) = (std::str::from_utf8(path).ok()?, std::str::from_utf8(link).ok()?);
    if let Some((directory, _)) = link.rsplit_once('/')
        && !path.starts_with('/')
    {
        parts.extend(directory.split('/').filter(|part| !matches!(*part, "" | ".")));
    }
    for part in path.split('/') {
        match part {
            "" | "." => (),
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        let cases: &[(&str, &str, Option<&str>)] = &[
            ("./a/b", "", Some("a/b")),
            ("/a//b/", "", Some("a/b")),
            ("../b", "a/x/layer.tar", Some("a/b")),
            ("../../b", "a/layer.tar", None),
            ("..", "", None),
            ("a/../../b", "", None),
            (".", "", None),
        ];
        for (path, link, expected) in cases {
            assert_eq!(plain(path.as_bytes(), link.as_bytes()).as_deref(), *expected, "{path}");
        }
        assert_eq!(plain(b"\xff", b""), None);
    }
}
