//! Why a command ends with an error, as callers and people read it.

use coracle_sys::{Errno, describe};
use libcoracle::{ContainerId, Error};

/// An error on its way to `main`.
#[derive(Debug)]
pub struct Failure {
    text: String,
    hint: Option<String>,
    during: Option<(&'static str, String)>,
    /// What the process exits with.
    pub code: u8,
}

impl Failure {
    /// An error of the command line itself.
    pub fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), hint: None, during: None, code: 1 }
    }

    /// The kernel refused `what`.
    pub fn system(what: impl std::fmt::Display, error: &std::io::Error) -> Failure {
        Failure::new(match error.raw_os_error() {
            Some(errno) => format!("{what}: {}", describe(Errno::from_raw(errno))),
            None => format!("{what}: {error}"),
        })
    }

    /// There is no such command.
    pub fn no_command(text: impl Into<String>) -> Failure {
        Failure { code: 3, ..Failure::new(text) }
    }

    /// The same error with another exit code.
    pub fn with_code(self, code: u8) -> Failure {
        Failure { code, ..self }
    }

    /// A process that could not be executed in a container; its own exit codes end below.
    pub fn of_exec(self) -> Failure {
        Failure { text: format!("exec failed: {}", self.text), code: 255, ..self }
    }

    /// The same error with the command and the container it is about.
    pub fn during(self, verb: &'static str, id: &ContainerId) -> Failure {
        Failure { during: Some((verb, id.to_string())), ..self }
    }

    /// One sentence on what to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The text programs match on: runc's, which names the command for these two only.
    pub fn log_text(&self) -> String {
        match &self.during {
            Some((verb @ ("create" | "run"), _)) => format!("coracle {verb} failed: {}", self.text),
            _ => self.text.clone(),
        }
    }

    /// The text for a terminal.
    pub fn plain(&self) -> String {
        let mut text = match &self.during {
            Some((verb, id)) => format!("coracle: {verb} {id}: {}\n", self.text),
            None => format!("coracle: {}\n", self.text),
        };
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { hint: error.hint().map(str::to_owned), ..Failure::new(error.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_error_as_the_library_does() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(Failure::system("open x", &error).log_text(), "open x: no such file or directory (ENOENT)");
    }

    #[test]
    fn names_the_command_as_its_readers_expect() {
        let during = |verb| Failure::new("no").during(verb, &"web1".parse().unwrap());
        assert_eq!(during("create").log_text(), "coracle create failed: no");
        assert_eq!(during("run").log_text(), "coracle run failed: no");
        assert_eq!(during("kill").log_text(), "no");
        assert_eq!(during("kill").plain(), "coracle: kill web1: no\n");
        assert_eq!(Failure::new("no").plain(), "coracle: no\n");
        let hinted = Failure { hint: Some("try".into()), ..during("run") };
        assert_eq!(hinted.plain(), "coracle: run web1: no\nhint: try\n");
    }
}
