//! A limit as the kernel takes it: a control file and what to write there.

use std::borrow::Cow;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use crate::dir::{Dir, write_once};
use crate::error::Error;

/// One write to a control file of a cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Write {
    pub file: Cow<'static, str>,
    pub value: String,
    missing: Missing,
    later: bool,
}

/// What it means that the kernel has no such file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Missing {
    Fails,
    /// The value is what holds without the file.
    Passes,
    /// The same limit has another spelling.
    Instead(Box<Write>),
}

impl Write {
    pub fn new(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Write {
        Write { file: file.into(), value: value.to_string(), missing: Missing::Fails, later: false }
    }

    /// Kernels without the file already do what is asked.
    pub fn optional(self) -> Write {
        Write { missing: Missing::Passes, ..self }
    }

    /// Kernels without the file take `other`.
    pub fn or(self, other: Write) -> Write {
        Write { missing: Missing::Instead(Box::new(other)), ..self }
    }

    /// The write that would be done to `dir`, this one or its other spelling, and what the file reads now.
    pub fn current(&self, dir: &Dir) -> Option<(&Write, String)> {
        match (dir.read(&self.file), &self.missing) {
            (Ok(text), _) => Some((self, text)),
            (Err(Errno::ENOENT), Missing::Instead(other)) => other.current(dir),
            (Err(_), _) => None,
        }
    }

    /// The kernel checks this value against another one of the same controller, and may take it only after that has
    /// been written.
    pub fn later_if_refused(self) -> Write {
        Write { later: true, ..self }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "set {} to {}", self.file, self.value)
    }
}

/// A write the kernel refused.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    pub write: &'a Write,
    pub errno: Errno,
}

impl From<Refused<'_>> for Error {
    fn from(refused: Refused<'_>) -> Error {
        Error::kernel(refused.write.to_string(), refused.errno)
    }
}

/// Does `writes` in their order, those that must come later once more after the others.
pub(crate) fn apply<'a>(dir: &Dir, writes: &'a [Write]) -> Result<(), Refused<'a>> {
    let mut open = None;
    let mut again = Vec::new();
    for write in writes {
        match one(dir, write, &mut open) {
            Err(Refused { errno: Errno::EINVAL, .. }) if write.later => again.push(write),
            done => done?,
        }
    }
    again.into_iter().try_for_each(|write| one(dir, write, &mut open))
}

/// Does one write. `open` is the file of the one before: rules for devices are many lines to the same file.
fn one<'a>(dir: &Dir, write: &'a Write, open: &mut Option<(&'a str, OwnedFd)>) -> Result<(), Refused<'a>> {
    let refused = |errno| Refused { write, errno };
    if !matches!(open, Some((name, _)) if *name == write.file) {
        match (dir.open_file(&write.file), &write.missing) {
            (Ok(file), _) => *open = Some((&write.file, file)),
            (Err(Errno::ENOENT), Missing::Passes) => return Ok(()),
            (Err(Errno::ENOENT), Missing::Instead(other)) => return one(dir, other, open),
            (Err(errno), _) => return Err(refused(errno)),
        }
    }
    match open {
        Some((_, file)) => write_once(file.as_fd(), &write.value).map_err(refused),
        None => Ok(()),
    }
}

/// Lines `file = value`, to compare in tests.
#[cfg(test)]
pub(crate) fn lines(writes: &[Write]) -> Vec<String> {
    writes.iter().map(|write| format!("{} = {}", write.file, write.value)).collect()
}
