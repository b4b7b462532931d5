//! References: the names of images, one file each, which holds the descriptor of the manifest or index.

use std::collections::BTreeMap;
use std::io::Read;

use rustix::fs::{AtFlags, Dir, OFlags, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{FILE, Store};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};

/// What a name stands for: a manifest or index that is a blob of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
}

impl Store {
    /// All names and what they stand for.
    pub fn references(&self) -> Result<BTreeMap<String, Reference>> {
        let listed = || -> Result<BTreeMap<String, Reference>> {
            let dir = openat(&self.dir, "references", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, FILE)?;
            let mut found = BTreeMap::new();
            for entry in Dir::new(dir)? {
                let entry = entry?;
                let Some(name) = entry.file_name().to_str().ok().and_then(decoded) else { continue };
                if let Some(reference) = self.reference(&name)? {
                    found.insert(name, reference);
                }
            }
            Ok(found)
        };
        listed().context(|| "list references")
    }

    /// What `name` stands for.
    pub fn reference(&self, name: &str) -> Result<Option<Reference>> {
        let Some(mut file) = self.file(&place(name)?)? else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text).context(|| format!("read reference {name}"))?;
        serde_json::from_str(&text).map(Some).map_err(|e| Error::invalid(format!("read reference {name}: {e}")))
    }

    /// Lets `name` stand for `reference`, instead of whatever it stood for.
    pub fn set_reference(&self, name: &str, reference: &Reference) -> Result<()> {
        let place = place(name)?;
        let text = serde_json::to_string(reference).map_err(|e| Error::invalid(e.to_string()))?;
        let set = || -> Result<()> {
            let temporary = format!("temporary/reference.{}", Digest::sha256(name.as_bytes()).hex());
            let _claim = self.claim("references")?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let mut file = std::fs::File::from(openat(&self.dir, &temporary, flags, FILE)?);
            std::io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_data()?;
            renameat(&self.dir, &temporary, &self.dir, &place)?;
            let directory =
                openat(&self.dir, "references", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, FILE)?;
            Ok(rustix::fs::fsync(directory)?)
        };
        set().context(|| format!("set reference {name}"))
    }

    /// Forgets `name`; false if there is none. What it stood for goes with the next collection of garbage.
    pub fn remove_reference(&self, name: &str) -> Result<bool> {
        match unlinkat(&self.dir, place(name)?, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::from(errno).within(format!("remove reference {name}"))),
        }
    }
}

/// The file of `name`. Names hold slashes, so all but letters, digits, `.`, `_` and `-` is written as `%XX`.
fn place(name: &str) -> Result<String> {
    let mut file = String::from("references/");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => file.push(char::from(byte)),
            b'.' if file.len() > "references/".len() => file.push('.'),
            _ => file.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.is_empty() || file.len() > "references/".len() + 255 {
        return Err(Error::invalid(format!("invalid name of an image \"{}\"", name.escape_debug())));
    }
    Ok(file)
}

/// The name a file stands for.
fn decoded(file: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = file.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            b'.' if bytes.is_empty() => return None,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let reference = Reference { media_type: "application/x".into(), digest: Digest::sha256(b"manifest"), size: 8 };
        let names = ["localhost:5000/a/b:latest", "..", ".", "a%2fb", "../../etc/passwd", "ü"];
        for name in names {
            store.set_reference(name, &reference).unwrap();
        }
        let listed = store.references().unwrap();
        assert_eq!(listed.len(), names.len());
        for name in names {
            assert_eq!(listed.get(name), Some(&reference), "{name}");
            assert!(store.remove_reference(name).unwrap());
            assert!(!store.remove_reference(name).unwrap());
        }
        assert!(store.set_reference("", &reference).is_err());
        assert!(store.set_reference(&"a".repeat(256), &reference).is_err());
    }
}
