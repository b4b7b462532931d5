//! What went wrong, as containerd is told it.

use std::fmt;

use containerd_shim_protos::ttrpc::{self, Code};
use nix::errno::Errno;

/// An error of the shim: a text for people and a code for the engine, which decides by it.
#[derive(Debug)]
pub struct Error {
    code: Code,
    text: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What the engine cannot do anything about but show it.
    pub fn new(text: impl Into<String>) -> Error {
        Error { code: Code::UNKNOWN, text: text.into() }
    }

    pub fn not_found(text: impl Into<String>) -> Error {
        Error { code: Code::NOT_FOUND, text: text.into() }
    }

    pub fn already_exists(text: impl Into<String>) -> Error {
        Error { code: Code::ALREADY_EXISTS, text: text.into() }
    }

    /// The task is not in a state for what was asked.
    pub fn precondition(text: impl Into<String>) -> Error {
        Error { code: Code::FAILED_PRECONDITION, text: text.into() }
    }

    pub fn invalid(text: impl Into<String>) -> Error {
        Error { code: Code::INVALID_ARGUMENT, text: text.into() }
    }

    pub fn unimplemented(text: impl Into<String>) -> Error {
        Error { code: Code::UNIMPLEMENTED, text: text.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for ttrpc::Error {
    fn from(error: Error) -> ttrpc::Error {
        ttrpc::Error::RpcStatus(ttrpc::get_status(error.code, error.text))
    }
}

/// Says what was tried when a system call failed.
pub trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for std::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let why = error.raw_os_error().map_or_else(|| error.to_string(), |n| describe(Errno::from_raw(n)));
            Error::new(format!("{}: {why}", what()))
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::new(format!("{}: {}", what(), describe(errno))))
    }
}

fn describe(errno: Errno) -> String {
    coracle_sys::describe(errno)
}
