//! The library's one error: what was tried, on what, and why it failed.

use std::fmt;

use coracle_plan::Invalid;
use coracle_plan::invalid::OneLine;
use coracle_sys::{Errno, describe};

/// The result of an operation on a container.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure, for exit codes and for callers that have codes of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    NotFound,
    AlreadyExists,
    InvalidConfig,
    InvalidState,
    Unsupported,
    Permission,
    System(Errno),
}

/// A failure as a chain of lower-case `verb object` fragments, the outermost first.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None }
    }

    /// The kernel refused `operation`.
    pub fn system(operation: impl fmt::Display, errno: Errno) -> Error {
        let kind = match errno {
            Errno::EPERM | Errno::EACCES => Kind::Permission,
            errno => Kind::System(errno),
        };
        Error::new(kind, format!("{operation}: {}", describe(errno)))
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// One sentence on what to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure, seen as part of `outer`.
    pub fn within(mut self, outer: impl fmt::Display) -> Error {
        self.message = format!("{outer}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(&self.message))
    }
}

impl std::error::Error for Error {}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Error {
        Error::new(Kind::InvalidConfig, format!("config.json {invalid}"))
    }
}

impl From<coracle_cgroup::Error> for Error {
    fn from(error: coracle_cgroup::Error) -> Error {
        let kind = match error.errno() {
            Some(Errno::EPERM | Errno::EACCES) => Kind::Permission,
            Some(errno) => Kind::System(errno),
            None => Kind::InvalidState,
        };
        Error::new(kind, error.to_string())
    }
}

/// Says what was tried when something went wrong.
pub trait Context<T> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Errno> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|errno| Error::system(operation(), errno))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Error::system(operation(), Errno::from_raw(errno)),
            None => Error::new(Kind::InvalidState, format!("{}: {error}", operation())),
        })
    }
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.within(operation()))
    }
}
