//! One thing found, and the list of all of them.

use coracle_plan::invalid::OneLine;
use serde::Serialize;

use crate::error::{Error, Result};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// It keeps the container from starting.
    Error,
    /// The container starts, but something will not be as it was written, or may fail.
    Warning,
    /// What an unusual field does, or a fact about the machine.
    Note,
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// JSON pointer (RFC 6901) into the configuration, the subject on the host (`cgroup`), or nothing for the whole.
    pub at: String,
    /// A lower-case fragment of one line.
    pub text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Findings in the making.
#[derive(Debug, Default)]
pub(super) struct Findings {
    all: Vec<Finding>,
    /// Pointers to what is no longer as it was written.
    mended: Vec<String>,
}

impl Findings {
    pub fn error(&mut self, at: &str, text: impl Into<String>) {
        self.add(Level::Error, at, text.into(), None);
    }

    pub fn error_with(&mut self, at: &str, text: impl Into<String>, hint: &str) {
        self.add(Level::Error, at, text.into(), Some(hint.to_owned()));
    }

    pub fn warn(&mut self, at: &str, text: impl Into<String>) {
        self.add(Level::Warning, at, text.into(), None);
    }

    pub fn warn_with(&mut self, at: &str, text: impl Into<String>, hint: &str) {
        self.add(Level::Warning, at, text.into(), Some(hint.to_owned()));
    }

    pub fn note(&mut self, at: &str, text: impl Into<String>) {
        self.add(Level::Note, at, text.into(), None);
    }

    /// From here on nothing is said of what is at `pointer`, or below it: its author has not written that.
    pub fn forget(&mut self, pointer: String) {
        self.mended.push(pointer);
    }

    /// The value, or else its error among the findings: at the pointer that the error names, or at `at`.
    pub fn catch<T>(&mut self, at: &str, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed(at, &error);
                None
            }
        }
    }

    /// An error of an operation that a start would fail with too.
    pub fn failed(&mut self, at: &str, error: &Error) {
        let text = error.to_string();
        let named = text.strip_prefix("config.json /").and_then(|rest| rest.split_once(": "));
        let (at, text) = match named {
            Some((pointer, text)) => (format!("/{pointer}"), text.to_owned()),
            None => (at.to_owned(), text),
        };
        self.add(Level::Error, &at, text, error.hint().map(str::to_owned));
    }

    fn add(&mut self, level: Level, at: &str, text: String, hint: Option<String>) {
        let below = |pointer: &String| {
            at.strip_prefix(pointer.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !at.is_empty() && self.mended.iter().any(below) {
            return;
        }
        let text = OneLine(&text).to_string();
        let finding = Finding { level, at: at.to_owned(), text, hint };
        if !self.all.contains(&finding) {
            self.all.push(finding);
        }
    }

    /// Errors first, otherwise in the order they were found.
    pub fn sorted(mut self) -> Vec<Finding> {
        self.all.sort_by_key(|finding| finding.level);
        self.all
    }
}
