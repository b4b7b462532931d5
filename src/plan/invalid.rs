//! What is wrong with a configuration, and where.

use std::ffi::CString;
use std::fmt;

/// A value of config.json that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// JSON pointer (RFC 6901) to the value, such as `/mounts/3/options/1`; empty for the whole file.
    pub pointer: String,
    /// What is wrong with it, as a lower-case fragment.
    pub problem: String,
}

impl Invalid {
    pub fn new(pointer: impl Into<String>, problem: impl Into<String>) -> Invalid {
        Invalid { pointer: pointer.into(), problem: problem.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => write!(f, "{}", OneLine(&self.problem)),
            pointer => write!(f, "{}: {}", OneLine(pointer), OneLine(&self.problem)),
        }
    }
}

impl std::error::Error for Invalid {}

/// Text that somebody else chose, with control characters escaped, so that a message stays one line.
#[derive(Debug, Clone, Copy)]
pub struct OneLine<'t>(pub &'t str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plain = self.0.split_inclusive(char::is_control);
        plain.try_for_each(|part| match part.strip_suffix(char::is_control) {
            Some(before) => {
                f.write_str(before)?;
                part[before.len()..].chars().try_for_each(|c| write!(f, "{}", c.escape_default()))
            }
            None => f.write_str(part),
        })
    }
}

/// A member's name as part of a JSON pointer.
pub fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// `text` as the kernel takes it; a NUL byte inside is refused, since it would cut the value short.
///
/// # Errors
/// [`Invalid`] at `pointer` if `text` contains a NUL byte.
pub fn c_string(pointer: &str, text: impl Into<Vec<u8>>) -> Result<CString, Invalid> {
    CString::new(text).map_err(|_| Invalid::new(pointer, "contains a NUL byte"))
}
