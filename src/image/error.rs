//! The crate's one error: what was tried, on what, and why it failed.

use std::fmt;
use std::io;

use coracle_sys::{Errno, describe};

/// The result of an operation on images.
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure, for callers that act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image, blob or layer that is not there.
    NotFound,
    /// The image or what it is made of is malformed, hostile or over a limit.
    Invalid,
    /// Bytes that do not have the digest or size they were announced with.
    Mismatch,
    /// A layer that can only be unpacked onto the tree of those below it.
    NeedsBase,
    /// Well-formed, but this program does not do it.
    Unsupported,
    System(Errno),
}

/// A failure as a chain of lower-case `verb object` fragments, the outermost first.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, message)
    }

    /// The kernel refused `operation`.
    pub fn system(operation: impl fmt::Display, errno: Errno) -> Error {
        Error::new(Kind::System(errno), format!("{operation}: {}", describe(errno)))
    }

    /// A library refused `operation`: for the kernel's reasons if there is an [`io::Error`] of the kernel's among its causes,
    /// otherwise because it is of kind `otherwise`.
    pub fn library(operation: impl fmt::Display, error: &(dyn std::error::Error + 'static), otherwise: Kind) -> Error {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let mut errnos = causes.filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error());
        match errnos.next() {
            Some(errno) => Error::system(operation, Errno::from_raw(errno)),
            None => Error::new(otherwise, format!("{operation}: {error}")),
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<Errno> {
        match self.kind {
            Kind::System(errno) => Some(errno),
            _ => None,
        }
    }

    /// The same failure, seen as part of `outer`.
    pub fn within(mut self, outer: impl fmt::Display) -> Error {
        self.message = format!("{outer}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// An error of this crate travels through readers and writers as the payload of an [`io::Error`].
impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(own) => own,
            Err(error) => match error.raw_os_error() {
                Some(errno) => Error::new(Kind::System(Errno::from_raw(errno)), describe(Errno::from_raw(errno))),
                None => Error::invalid(error.to_string()),
            },
        }
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Error {
        io::Error::from(errno).into()
    }
}

impl From<Errno> for Error {
    fn from(errno: Errno) -> Error {
        Error::new(Kind::System(errno), describe(errno))
    }
}

/// Says what was tried when something went wrong.
pub trait Context<T> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for std::result::Result<T, E> {
    fn context<D: fmt::Display>(self, operation: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.into().within(operation()))
    }
}

/// Text of an image for a message: what a terminal would obey is escaped.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0[..self.0.len().min(256)] {
            write!(f, "{}", byte.escape_ascii())?;
        }
        f.write_str(if self.0.len() > 256 { "…" } else { "" })
    }
}
