//! One invocation of a program: prepared, spawned, waited for with a time limit.

use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::output::Output;

/// How long a runtime may take for one verb before the test fails.
const LIMIT: Duration = Duration::from_secs(30);

/// An invocation being put together.
#[derive(Clone, Debug)]
pub struct Call {
    program: PathBuf,
    guest: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
    launch: Vec<String>,
    stdin: Vec<u8>,
    keep_stdin: bool,
    null_stdin: bool,
    cwd: PathBuf,
    limit: Duration,
}

impl Call {
    /// A call of `program` with no arguments and an environment of nothing but PATH. `guest` is what `launch` uses.
    pub fn new(program: &Path, guest: &Path, cwd: &Path) -> Call {
        let path = OsString::from("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        Call {
            program: program.into(),
            guest: guest.into(),
            args: Vec::new(),
            env: vec![("PATH".into(), path)],
            launch: Vec::new(),
            stdin: Vec::new(),
            keep_stdin: false,
            null_stdin: false,
            cwd: cwd.into(),
            limit: LIMIT,
        }
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Call {
        self.args.push(arg.as_ref().into());
        self
    }

    /// Appends arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Call {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the caller's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Call {
        self.env.push((name.into(), value.as_ref().into()));
        self
    }

    /// Has `guest launch` put the caller into a state first: `umask=077`, `open=5:/path`, `tty=/dev/pts/3`, `v2=`.
    pub fn launched(mut self, word: impl Into<String>) -> Call {
        self.launch.push(word.into());
        self
    }

    /// Gives these bytes on standard input; without this it is a pipe that is closed at once. (Not /dev/null: there are
    /// runtimes which give the host's to the user of the container.)
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Call {
        self.stdin = bytes.into();
        self.keep_stdin = true;
        self
    }

    /// Makes standard input the host's /dev/null.
    pub fn null_stdin(mut self) -> Call {
        self.null_stdin = true;
        self
    }

    /// Sets the directory of the caller.
    pub fn cwd(mut self, path: &Path) -> Call {
        self.cwd = path.into();
        self
    }

    /// Sets how long the call may take.
    pub fn limit(mut self, limit: Duration) -> Call {
        self.limit = limit;
        self
    }

    /// Has another program, with these arguments before its own, run the program.
    pub fn through(mut self, program: &Path, args: &[&str]) -> Call {
        let own = std::mem::replace(&mut self.program, program.into()).into_os_string();
        let before = args.iter().map(OsString::from).chain([own]);
        self.args.splice(0..0, before);
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        let mut running = self.spawn();
        running.close_stdin();
        running.wait()
    }

    /// The program that is called.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The same as a command of the standard library, whose streams are the harness's own.
    pub fn command(&self) -> Command {
        let mut command = if self.launch.is_empty() {
            Command::new(&self.program)
        } else {
            let mut command = Command::new(&self.guest);
            command.arg("launch").args(&self.launch).arg("--").arg(&self.program);
            command
        };
        command.args(&self.args).env_clear().envs(self.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.cwd);
        command
    }

    /// Starts it and does not wait.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let mut command = self.command();
        command.stdin(if self.null_stdin { Stdio::null() } else { Stdio::piped() });
        let (out, out_end) = std::io::pipe().unwrap();
        let (err, err_end) = std::io::pipe().unwrap();
        command.stdout(out_end).stderr(err_end);
        let words: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        let text = format!("{} {}", self.program.display(), words.join(" "));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {text}: {error}"));
        if let (Some(stdin), false) = (child.stdin.as_mut(), self.stdin.is_empty()) {
            stdin.write_all(&self.stdin).unwrap();
        }
        if !self.keep_stdin {
            child.stdin = None;
        }
        let streams = [Stream::new(out), Stream::new(err)];
        Running { command: text, child, code: None, streams, limit: self.limit }
    }
}

/// The reading end of a standard stream and what came out of it.
#[derive(Debug)]
struct Stream {
    pipe: Option<PipeReader>,
    text: Vec<u8>,
    taken: usize,
}

impl Stream {
    fn new(pipe: PipeReader) -> Stream {
        fcntl(&pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        Stream { pipe: Some(pipe), text: Vec::new(), taken: 0 }
    }

    /// Takes what is there without waiting.
    fn drain(&mut self) {
        let mut buffer = [0u8; 65536];
        while let Some(pipe) = self.pipe.as_mut() {
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.text.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(_) => return,
            }
        }
    }

    /// The next whole line nobody has taken yet.
    fn line(&mut self) -> Option<String> {
        let rest = self.text.get(self.taken..)?;
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(rest.get(..end)?).into_owned();
        self.taken += end + 1;
        Some(line)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

/// A started program. Killed when dropped before its end.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    code: Option<i32>,
    streams: [Stream; 2],
    limit: Duration,
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(0)
    }

    /// Writes to its standard input, which `Call::stdin` must have opened.
    pub fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("Call::stdin opens it").write_all(text.as_bytes()).unwrap();
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Takes in what the pipes hold, waiting at most two milliseconds for more.
    fn tick(&mut self) {
        let mut fds: Vec<PollFd<'_>> = self
            .streams
            .iter()
            .filter_map(|s| s.pipe.as_ref())
            .map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut fds, PollTimeout::from(2u8));
        self.streams.iter_mut().for_each(Stream::drain);
        if self.code.is_none() {
            self.code = self.child.try_wait().unwrap().map(code_of);
        }
    }

    /// Waits for the program's end (not for the end of its output, which a detached container may hold open).
    #[track_caller]
    pub fn wait(&mut self) -> Output {
        let end = Instant::now() + self.limit;
        while self.code.is_none() {
            self.tick();
            if Instant::now() > end && self.code.is_none() {
                drop(self.child.kill());
                drop(self.child.wait());
                self.code = Some(137);
                self.tick();
                let output = self.so_far();
                panic!(
                    "no end after {:?}: {}\n  stdout: {}\n  stderr: {}",
                    self.limit, output.command, output.stdout, output.stderr
                );
            }
        }
        self.streams.iter_mut().for_each(Stream::drain);
        self.so_far()
    }

    /// The next line of standard output; fails the test when none comes in time.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let end = Instant::now() + self.limit;
        loop {
            if let Some(line) = self.streams.first_mut().and_then(Stream::line) {
                return line;
            }
            if Instant::now() > end || self.streams.first().is_none_or(|stream| stream.pipe.is_none()) {
                let output = self.so_far();
                panic!("no line from {}\n  stdout: {}\n  stderr: {}", output.command, output.stdout, output.stderr);
            }
            self.tick();
        }
    }

    /// All output until every holder of the pipes has closed them, which for a container is its end.
    #[track_caller]
    pub fn rest(&mut self) -> Output {
        let end = Instant::now() + self.limit;
        while self.streams.iter().any(|stream| stream.pipe.is_some()) {
            self.tick();
            assert!(Instant::now() < end, "the output of {} does not end", self.command);
        }
        self.so_far()
    }

    fn so_far(&self) -> Output {
        let [out, err] = &self.streams;
        Output { command: self.command.clone(), code: self.code.unwrap_or(-1), stdout: out.text(), stderr: err.text() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.code.is_none() && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
