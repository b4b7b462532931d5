//! Both kinds of terminal: a pty under a foreground container, and the console socket of a detached one.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use serde_json::Value;

use crate::call::Running;
use crate::registry::Context;

/// A pseudo-terminal the test holds the master of.
#[derive(Debug)]
pub struct Pty {
    master: std::fs::File,
    slave: OwnedFd,
    path: PathBuf,
    text: String,
}

impl Pty {
    /// Opens one of this size.
    pub fn open(rows: u16, columns: u16) -> Pty {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let path = nix::unistd::ttyname(&pair.slave).unwrap();
        // For callers who are not this user.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        Pty { master: pair.master.into(), slave: pair.slave, path, text: String::new() }
    }

    /// Path of the slave.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its modes.
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    /// Changes its size, by which the foreground process group gets SIGWINCH.
    pub fn resize(&self, context: &Context, rows: u16, columns: u16) {
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let path = self.path.to_string_lossy().into_owned();
        context.tool("/usr/bin/stty", &["-F", &path, "rows", &rows, "cols", &columns]).run().ok();
    }

    /// Types text.
    pub fn write(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until the text has appeared; everything so far is returned.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &str {
        let end = Instant::now() + Duration::from_secs(15);
        while !self.text.contains(text) {
            assert!(Instant::now() < end, "{text:?} did not appear on the terminal: {:?}", self.text);
            self.tick();
        }
        &self.text
    }

    fn tick(&mut self) {
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::from(50u8)).unwrap_or(0);
        let mut buffer = [0u8; 4096];
        if ready > 0 {
            let count = self.master.read(&mut buffer).unwrap_or(0);
            self.text.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()));
        }
    }

    /// Number of the master descriptor, which the container must not see.
    pub fn number(&self) -> i32 {
        self.master.as_raw_fd()
    }
}

/// A listener of the console socket protocol: the guest's `console` word, which then stands between the pty and us.
#[derive(Debug)]
pub struct ConsoleSocket {
    path: PathBuf,
    helper: Running,
}

impl ConsoleSocket {
    /// Listens on a socket in the directory of the test.
    #[track_caller]
    pub fn listen(context: &Context) -> ConsoleSocket {
        let path = context.path(&context.unique());
        let mut helper = context.helper(&["console", &path.to_string_lossy()]).stdin("").spawn();
        assert_eq!(helper.line(), "listening");
        ConsoleSocket { path, helper }
    }

    /// Path of the socket.
    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// What came over it: `name` (the payload), `fds` (how many), `closed`, `rows`, `columns`.
    #[track_caller]
    pub fn received(&mut self) -> Value {
        serde_json::from_str(&self.helper.line()).unwrap()
    }

    /// Types text into the terminal.
    pub fn write(&mut self, text: &str) {
        self.helper.write(text);
    }

    /// The next line on the terminal, without the carriage return.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.helper.line().trim_end_matches('\r').to_owned()
    }
}
