//! What went wrong with a cgroup, in the words of the operation.

use std::fmt;

use nix::errno::Errno;

/// An operation on a cgroup that did not work: `set memory.max to 12: Invalid argument (EINVAL)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    text: String,
    errno: Option<Errno>,
}

/// The result of an operation on a cgroup.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The kernel refused `operation` (a lower-case "verb object") with `errno`.
    pub(crate) fn kernel(operation: impl Into<String>, errno: Errno) -> Error {
        Error { text: operation.into(), errno: Some(errno) }
    }

    /// This crate refuses, for the reason that `text` gives.
    pub(crate) fn refused(text: impl Into<String>) -> Error {
        Error { text: text.into(), errno: None }
    }

    /// The same error, with what went wrong beside it.
    pub(crate) fn with(self, other: &str) -> Error {
        Error { text: format!("{self}{other}"), errno: None }
    }

    /// The kernel's error number, where a system call failed.
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// Whether the caller lacks the privilege, rather than the request being wrong.
    pub fn is_permission(&self) -> bool {
        matches!(self.errno, Some(Errno::EPERM | Errno::EACCES | Errno::EROFS))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{}: {} ({errno:?})", self.text, errno.desc()),
            None => f.write_str(&self.text),
        }
    }
}

impl std::error::Error for Error {}

/// A resource limit, or an annotation about cgroups, that cannot be applied as it is written, or not on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Where in the configuration: a JSON pointer such as `/linux/resources/cpu/shares`.
    pub pointer: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Invalid {
    pub(crate) fn new(field: &str, problem: impl Into<String>) -> Invalid {
        Invalid { pointer: format!("/linux/resources/{field}"), problem: problem.into() }
    }

    pub(crate) fn annotation(key: &str, problem: impl Into<String>) -> Invalid {
        Invalid { pointer: format!("/annotations/{key}"), problem: problem.into() }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.problem)
    }
}

impl std::error::Error for Invalid {}
