//! Standard input, output and error of a process: what containerd names is opened and handed on as it is, so that
//! nothing is copied.
//!
//! The shim keeps an end of each pipe, lest a containerd that is started anew look like the end of the container's input,
//! or like nobody reading its output any more.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use coracle_sys::directories;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc::{ENXIO, O_NONBLOCK};

use crate::console::Terminal;
use crate::error::{Doing, Error, Result};
use crate::exits::Children;
use crate::logger;

/// How long a client may take to read from a pipe, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

/// Where a process reads and writes, as containerd names it: a pipe, a file, a URL of a logger, or nothing.
#[derive(Debug, Clone, Default)]
pub struct Stdio {
    pub stdin: String,
    pub stdout: String,
    pub stderr: String,
    pub terminal: bool,
}

/// Whose the process is: the owner of its pipes, and what a logger is told.
pub struct Whose<'a> {
    pub children: &'a Children,
    pub namespace: &'a str,
    pub container: &'a str,
    pub uid: u32,
    pub gid: u32,
}

/// The process's own ends. `None` is nothing to read or write.
#[derive(Default)]
pub struct Given {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// What the shim holds until the process is deleted.
#[derive(Default)]
pub struct Held {
    /// The end of standard input comes when this and that of the client is closed.
    pub stdin: Option<OwnedFd>,
    /// Ends to read of what the process writes to.
    pub readers: Vec<OwnedFd>,
    pub terminal: Option<Terminal>,
}

impl Given {
    /// What the process is going to have as standard input, output and error.
    pub fn attach(self, command: &mut Command) -> &mut Command {
        let stdio = |fd: Option<OwnedFd>| fd.map_or_else(std::process::Stdio::null, Into::into);
        command.stdin(stdio(self.stdin)).stdout(stdio(self.stdout)).stderr(stdio(self.stderr))
    }
}

impl Stdio {
    /// Opens all three, for a process without a terminal.
    pub fn open(&self, whose: &Whose<'_>) -> Result<(Given, Held)> {
        let (mut given, mut held) = (Given::default(), Held::default());
        if !self.stdin.is_empty() {
            let (reader, writer) = open_input(&self.stdin)?;
            given.stdin = Some(reader);
            held.stdin = Some(writer);
        }
        if logger::is_url(&self.stdout) {
            let (stdout, stderr) = logger::start(&self.stdout, whose)?;
            (given.stdout, given.stderr) = (Some(stdout), Some(stderr));
        } else {
            given.stdout = self.open_output(&self.stdout, &mut held.readers)?;
            given.stderr = self.open_output(&self.stderr, &mut held.readers)?;
        }
        for fd in [&given.stdin, &given.stdout, &given.stderr].into_iter().flatten() {
            if (whose.uid, whose.gid) != (0, 0) {
                fchown(fd, Some(whose.uid), Some(whose.gid)).doing(|| "give pipe to its user".into())?;
            }
        }
        Ok((given, held))
    }

    /// Opens the two ways of a terminal: what is typed, and where its output goes.
    pub fn open_for_terminal(&self, whose: &Whose<'_>) -> Result<(Given, Held)> {
        let only = Stdio { stderr: String::new(), ..self.clone() };
        only.open(whose)
    }

    fn open_output(&self, name: &str, readers: &mut Vec<OwnedFd>) -> Result<Option<OwnedFd>> {
        if name.is_empty() {
            return Ok(None);
        }
        let what = || format!("open output {name}");
        if let Some(path) = name.strip_prefix("file://") {
            let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
            directories::make(parent, 0o777).doing(what)?;
            let file = OpenOptions::new().append(true).create(true).open(path).doing(what)?;
            return Ok(Some(file.into()));
        }
        if name.contains("://") {
            return Err(Error::unimplemented(format!(
                "open output {name}: only pipes, file:// and binary:// are known"
            )));
        }
        if !is_pipe(name) {
            return Ok(Some(OpenOptions::new().append(true).open(name).doing(what)?.into()));
        }
        let file = open_when_read(name).doing(what)?;
        readers.push(OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(name).doing(what)?.into());
        Ok(Some(file.into()))
    }
}

/// Both ends of the pipe `path`, the one to read first. Neither waits for the client to open its own.
fn open_input(path: &str) -> Result<(OwnedFd, OwnedFd)> {
    let what = || format!("open input {path}");
    let both = OpenOptions::new().read(true).write(is_pipe(path)).open(path).doing(what)?;
    let reader = File::open(path).doing(what)?;
    let writer = if is_pipe(path) { OpenOptions::new().write(true).open(path).doing(what)? } else { both };
    Ok((reader.into(), writer.into()))
}

fn is_pipe(path: &str) -> bool {
    Path::new(path).metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// Opens the pipe `path` to write to. Waits until the client reads, as output that came and went before would be lost to it;
/// but not for ever, as it may have gone away.
fn open_when_read(path: &str) -> std::io::Result<File> {
    let since = Instant::now();
    let file = loop {
        match OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path) {
            Err(error) if error.raw_os_error() == Some(ENXIO) && since.elapsed() < PATIENCE => sleep(PAUSE),
            // With a reader of one's own there is one.
            Err(error) if error.raw_os_error() == Some(ENXIO) => {
                break OpenOptions::new().read(true).write(true).open(path)?;
            }
            opened => break opened?,
        }
    };
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}
