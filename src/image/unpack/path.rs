//! Names of entries: what they say once slashes and dots are gone, and what the image specification reserves.

use crate::error::{Error, Escaped, Result};
use crate::tar::Limits;

/// The prefix of names that are instructions, not files (layer.md, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
/// The instruction that hides all a directory had in lower layers.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS kept for itself in its layers.
const AUFS: &[u8] = b".wh..wh.";

/// What an entry's name asks for. Paths are relative to the root, which is the empty one.
#[derive(Debug, PartialEq, Eq)]
pub enum Asks {
    /// Make this path.
    Make(Vec<u8>),
    /// Hide this path of the lower layers.
    Hide(Vec<u8>),
    /// Hide all this directory has in the lower layers.
    HideBelow(Vec<u8>),
    Nothing,
}

/// The components of `path` joined by single slashes.
///
/// # Errors
/// An empty path, `..`, and what is over the limits.
pub fn normal(path: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    if path.is_empty() {
        return Err(Error::invalid("an empty name"));
    }
    if path.len() > limits.path {
        return Err(Error::invalid(format!("a path of {} bytes is over the limit of {}", path.len(), limits.path)));
    }
    let mut normal = Vec::with_capacity(path.len());
    for component in path.split(|&b| b == b'/').filter(|c| !c.is_empty() && *c != b".") {
        if component == b".." {
            return Err(Error::invalid("a path with \"..\""));
        }
        if component.len() > limits.component {
            return Err(Error::invalid(format!(
                "a name of {} bytes is over the limit of {}",
                component.len(),
                limits.component
            )));
        }
        if !normal.is_empty() {
            normal.push(b'/');
        }
        normal.extend_from_slice(component);
    }
    Ok(normal)
}

/// Reads `path`, which is normal, as an instruction.
///
/// # Errors
/// A whiteout of nothing, `.` or `..`, and names below a whiteout.
pub fn asks(path: Vec<u8>) -> Result<Asks> {
    // Nearly no name has it.
    if !path.windows(WHITEOUT.len()).any(|window| window == WHITEOUT) {
        return Ok(Asks::Make(path));
    }
    let (parent, name) = split(&path);
    let reserved = |component: &[u8]| component.starts_with(WHITEOUT);
    if name != OPAQUE && path.split(|&b| b == b'/').any(|component| component.starts_with(AUFS)) {
        return Ok(Asks::Nothing);
    }
    if parent.split(|&b| b == b'/').any(reserved) {
        return Err(Error::invalid(format!("\"{}\" is a reserved name, not a directory", Escaped(parent))));
    }
    if name == OPAQUE {
        return Ok(Asks::HideBelow(parent.to_vec()));
    }
    match name.strip_prefix(WHITEOUT) {
        None => Ok(Asks::Make(path)),
        Some(b"" | b"." | b"..") => Err(Error::invalid("a whiteout of nothing that can be hidden")),
        Some(hidden) => Ok(Asks::Hide(joined(parent, hidden))),
    }
}

/// The directory and the last component of a normal path.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

pub fn joined(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// `path` and all above it but the root, the longest first.
pub fn upwards(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(path), |path| Some(split(path).0)).take_while(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_normal_or_are_refused() {
        let limits = Limits::default();
        for (path, expected) in [("/a", "a"), ("./a//b/.", "a/b"), ("./", ""), ("/", ""), ("a/", "a"), (".a", ".a")] {
            assert_eq!(normal(path.as_bytes(), &limits).unwrap(), expected.as_bytes(), "{path}");
        }
        for bad in ["", "..", "a/../b", "a/..", &"x".repeat(256), &"x/".repeat(2049)] {
            assert!(normal(bad.as_bytes(), &limits).is_err(), "{bad}");
        }
    }

    #[test]
    fn instructions() {
        let ask = |path: &str| asks(path.as_bytes().to_vec()).ok();
        assert_eq!(ask("a/b"), Some(Asks::Make(b"a/b".to_vec())));
        assert_eq!(ask("a/.wh.b"), Some(Asks::Hide(b"a/b".to_vec())));
        assert_eq!(ask(".wh.b"), Some(Asks::Hide(b"b".to_vec())));
        assert_eq!(ask("a/.wh..wh..opq"), Some(Asks::HideBelow(b"a".to_vec())));
        assert_eq!(ask(".wh..wh..opq"), Some(Asks::HideBelow(Vec::new())));
        assert_eq!(ask("a.wh.b"), Some(Asks::Make(b"a.wh.b".to_vec())));
        assert_eq!(ask(".wh..hidden"), Some(Asks::Hide(b".hidden".to_vec())));
        assert_eq!(ask(".wh..wh.plnk/1.2"), Some(Asks::Nothing));
        for bad in [".wh.", ".wh..", ".wh...", "a/.wh.", ".wh.a/b", ".wh.a/.wh..wh..opq"] {
            assert_eq!(ask(bad), None, "{bad}");
        }
    }
}
