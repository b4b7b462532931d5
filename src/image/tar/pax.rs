//! The records of extended headers (pax(1), "pax Extended Header"; GNU tar, "Storing Sparse Files").

use super::field::{decimal, size, time};
use super::sparse::{self, Segment};
use super::{Limits, Time};
use crate::error::{Error, Escaped, Result};

/// What an extended header says of the entry after it.
#[derive(Debug, Default)]
pub struct Extended {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<i128>,
    pub gid: Option<i128>,
    pub mtime: Option<Time>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse: Option<Sparse>,
}

/// A sparse file of GNU tar's formats 0.0, 0.1 (map in the header) and 1.0 (map before the data).
#[derive(Debug, Default)]
pub struct Sparse {
    pub name: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub map: Option<Vec<Segment>>,
}

impl Extended {
    pub fn parse(records: &[u8], limits: &Limits) -> Result<Extended> {
        let mut found = Extended::default();
        let mut rest = records;
        while !rest.is_empty() {
            let (key, value);
            (key, value, rest) = record(rest)?;
            found.take(key, value, limits)?;
        }
        Ok(found)
    }

    /// Whether anything in it changes an entry.
    pub fn says_something(&self) -> bool {
        let Extended { path, link, size, uid, gid, mtime, xattrs, sparse } = self;
        path.is_some()
            || link.is_some()
            || size.is_some()
            || uid.is_some()
            || gid.is_some()
            || mtime.is_some()
            || !xattrs.is_empty()
            || sparse.is_some()
    }

    /// An empty value takes back what was said before.
    fn take(&mut self, key: &[u8], value: &[u8], limits: &Limits) -> Result<()> {
        let some = !value.is_empty();
        match key {
            b"path" => self.path = some.then(|| name(value, "path")).transpose()?,
            b"linkpath" => self.link = some.then(|| name(value, "link")).transpose()?,
            b"size" => self.size = some.then(|| size(decimal(value, "size")?, "size")).transpose()?,
            b"uid" => self.uid = some.then(|| decimal(value, "user id")).transpose()?,
            b"gid" => self.gid = some.then(|| decimal(value, "group id")).transpose()?,
            b"mtime" => self.mtime = some.then(|| time(value)).transpose()?,
            _ => {
                if let Some(xattr) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattr(name(xattr, "attribute")?, value.to_vec(), limits)?;
                } else if let Some(xattr) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    let value = base64(value)
                        .ok_or_else(|| Error::invalid(format!("attribute {} is not base64", Escaped(xattr))))?;
                    self.xattr(name(&unescaped(xattr), "attribute")?, value, limits)?;
                } else if let Some(sparse) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse(sparse, value)?;
                }
            }
        }
        Ok(())
    }

    /// An attribute; libarchive writes each in both spellings, which then say the same.
    fn xattr(&mut self, name: Vec<u8>, value: Vec<u8>, limits: &Limits) -> Result<()> {
        if value.len() > limits.xattr_value {
            return Err(Error::invalid(format!(
                "extended attribute {} is over the limit of {} bytes",
                Escaped(&name),
                limits.xattr_value
            )));
        }
        let full = self.xattrs.len() >= limits.xattrs;
        match self.xattrs.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None if full => {
                return Err(Error::invalid(format!("more than {} extended attributes", limits.xattrs)));
            }
            None => self.xattrs.push((name, value)),
        }
        Ok(())
    }

    fn sparse(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let sparse = self.sparse.get_or_insert_default();
        let number = |value| size(decimal(value, "sparse file")?, "sparse file");
        match key {
            b"name" => sparse.name = Some(name(value, "path")?),
            b"size" | b"realsize" => sparse.size = Some(number(value)?),
            b"map" => sparse.map = Some(sparse::pairs(value)?),
            // The values of format 0.0 come in turn, one pair after the other.
            b"offset" => sparse.map.get_or_insert_default().push(Segment { offset: number(value)?, length: 0 }),
            b"numbytes" => match sparse.map.as_mut().and_then(|map| map.last_mut()) {
                Some(last) if last.length == 0 => last.length = number(value)?,
                _ => return Err(Error::invalid("a map of data that is out of order")),
            },
            b"major" if value != b"0" && value != b"1" => {
                return Err(Error::invalid("a sparse file of a format to come"));
            }
            _ => {}
        }
        Ok(())
    }
}

/// The first record, `LENGTH KEY=VALUE\n`, and what follows it. The length is that of the whole record.
fn record(records: &[u8]) -> Result<(&[u8], &[u8], &[u8])> {
    let invalid = |what: &str| Error::invalid(format!("a record of the extended header {what}"));
    let space = records.iter().take(20).position(|&b| b == b' ').ok_or_else(|| invalid("has no length"))?;
    let digits = &records[..space];
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(invalid("has no length"));
    }
    let length = usize::try_from(decimal(digits, "length")?).map_err(|_| invalid("is too long"))?;
    if length > records.len() {
        return Err(invalid("is longer than the header"));
    }
    let body = records.get(space + 1..length).ok_or_else(|| invalid("is shorter than its length"))?;
    let body = body.strip_suffix(b"\n").ok_or_else(|| invalid("does not end its line"))?;
    let equals = body.iter().position(|&b| b == b'=').ok_or_else(|| invalid("has no value"))?;
    if equals == 0 {
        return Err(invalid("has no key"));
    }
    Ok((&body[..equals], &body[equals + 1..], &records[length..]))
}

fn name(value: &[u8], what: &str) -> Result<Vec<u8>> {
    if value.is_empty() || value.contains(&0) {
        return Err(Error::invalid(format!("a {what} that is empty or holds a NUL")));
    }
    Ok(value.to_vec())
}

/// `%41` is `A`.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut i = 0;
    while i < text.len() {
        let code = text.get(i + 1..i + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (text[i], code.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => (out.push(byte), i += 3),
            (byte, _) => (out.push(byte), i += 1),
        };
    }
    out
}

fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in text.iter().filter(|&&b| b != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[u8]) -> Result<Extended> {
        Extended::parse(records, &Limits::default())
    }

    #[test]
    fn records_are_held_to_their_lengths() {
        assert_eq!(parse(b"9 path=a\n").unwrap().path.unwrap(), b"a");
        assert!(parse(b"11 path=a=b\n8 uid=7\n").is_err());
        assert_eq!(parse(b"12 path=a=b\n8 uid=7\n").unwrap().uid, Some(7));
        for bad in [
            &b"0 path=a\n"[..],
            b"-9 path=a\n",
            b"+9 path=a\n",
            b"11 path=a\n",
            b"8 path=a\n",
            b"9 path=a ",
            b"9 pathxa\n",
            b"6 =aa\n",
            b"path=a\n",
            b"10 path=a\0\n",
            b"99999999999999999999 path=a\n",
            b"11 size=-1\n",
            b"28 size=9223372036854775808\n",
        ] {
            assert!(parse(bad).is_err(), "{}", Escaped(bad));
        }
    }

    #[test]
    fn attributes_in_both_spellings() {
        let found = parse(b"25 SCHILY.xattr.user.a=x\n37 LIBARCHIVE.xattr.user.%62=SGVsbG8\n").unwrap();
        assert_eq!(found.xattrs, [(b"user.a".to_vec(), b"x".to_vec()), (b"user.b".to_vec(), b"Hello".to_vec())]);
    }
}
