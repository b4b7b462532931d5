//! What a finished program said.

use serde_json::Value;

use crate::json::Facts;

/// Exit status and text of one call. Must be judged: `.ok()`, `.fails()` or `.code(n)`.
#[must_use = "an output nobody looks at proves nothing"]
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Exit code, or 128 and the signal's number when it was killed.
    pub code: i32,
    /// Everything written to standard output so far.
    pub stdout: String,
    /// Everything written to standard error so far.
    pub stderr: String,
}

impl Output {
    #[track_caller]
    fn complain(&self, wanted: &str) -> ! {
        let Output { command, code, stdout, stderr } = self;
        let stdout: String = stdout.chars().take(1500).collect();
        panic!("{wanted}\n  command: {command}\n  exit code: {code}\n  stdout: {stdout}\n  stderr: {stderr}")
    }

    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn ok(&self) -> &Output {
        self.code(0)
    }

    /// Fails the test unless the exit code is this.
    #[track_caller]
    pub fn code(&self, code: i32) -> &Output {
        if self.code != code {
            self.complain(&format!("exit code {code} was expected"));
        }
        self
    }

    /// Fails the test when the exit code is 0, or says that the program crashed.
    #[track_caller]
    pub fn fails(&self) -> &Output {
        if self.code == 0 || self.code > 128 && self.code != 255 || self.code == 101 || self.code == 134 {
            self.complain("an orderly failure was expected");
        }
        self
    }

    /// Fails the test unless standard error contains the text.
    #[track_caller]
    pub fn stderr(&self, text: &str) -> &Output {
        if !self.stderr.contains(text) {
            self.complain(&format!("{text:?} was expected on standard error"));
        }
        self
    }

    /// Fails the test unless standard error contains one of the texts.
    #[track_caller]
    pub fn stderr_any(&self, texts: &[&str]) -> &Output {
        if !texts.iter().any(|text| self.stderr.contains(text)) {
            self.complain(&format!("one of {texts:?} was expected on standard error"));
        }
        self
    }

    /// Fails the test unless standard output contains the text.
    #[track_caller]
    pub fn stdout(&self, text: &str) -> &Output {
        if !self.stdout.contains(text) {
            self.complain(&format!("{text:?} was expected on standard output"));
        }
        self
    }

    /// Fails the test unless standard output, without white space around it, is the text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Output {
        if self.stdout.trim() != text {
            self.complain(&format!("{text:?} was expected as all of standard output"));
        }
        self
    }

    /// Standard output as JSON; fails the test when it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.ok().stdout.trim())
            .unwrap_or_else(|error| self.complain(&format!("no JSON: {error}")))
    }

    /// Standard output as the report of `guest probe`.
    #[track_caller]
    pub fn facts(&self) -> Facts {
        Facts(self.json())
    }
}
