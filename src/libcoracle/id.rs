//! The name of a container, checked once.

use std::fmt;
use std::str::FromStr;

/// A container's name: one or more of `A-Z a-z 0-9 _ + . -`, and neither `.` nor `..`.
///
/// It becomes a file name below the state root and part of a cgroup's, so nothing else in the library accepts a
/// string in its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId(String);

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidId {
    /// It has no characters.
    Empty,
    /// It has a character outside the alphabet, or names a directory itself or its parent.
    Format,
}

impl ContainerId {
    /// Whether `c` may be part of a name.
    pub fn allows(c: char) -> bool {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '.' | '-')
    }
}

impl FromStr for ContainerId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() {
            return Err(InvalidId::Empty);
        }
        if text == "." || text == ".." || !text.chars().all(ContainerId::allows) {
            return Err(InvalidId::Format);
        }
        Ok(ContainerId(text.to_owned()))
    }
}

impl AsRef<str> for ContainerId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InvalidId::Empty => "container id cannot be empty",
            InvalidId::Format => "invalid container ID format",
        })
    }
}

impl std::error::Error for InvalidId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let long = "x".repeat(300);
        for good in ["a", "web1", "A_b+c.d-e", "...", ".a", "-x", "0", "..a", long.as_str()] {
            assert_eq!(good.parse::<ContainerId>().map(|id| id.to_string()).as_deref(), Ok(good));
        }
        assert_eq!("".parse::<ContainerId>(), Err(InvalidId::Empty));
        for bad in [".", "..", "a/b", "/", "../a", "a b", "a\n", "a\0", "é", "a:b", "a@b", "*", "a,b", "~"] {
            assert_eq!(bad.parse::<ContainerId>(), Err(InvalidId::Format), "{bad:?}");
        }
    }

    #[test]
    fn words_that_callers_match_on() {
        assert_eq!(InvalidId::Empty.to_string(), "container id cannot be empty");
        assert_eq!(InvalidId::Format.to_string(), "invalid container ID format");
    }
}
