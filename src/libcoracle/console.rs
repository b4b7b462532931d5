//! The caller's terminal in front of the container's: raw while the container runs, and put back on every way out.

use std::collections::VecDeque;
use std::io::{Stdin, Stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_sys::{Errno, tty};
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::Mode;
use nix::sys::termios::{OutputFlags, SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::{isatty, read, write};

use crate::error::{Context, Error, Result};

/// How much is read ahead of a slow reader, in bytes.
const AHEAD: usize = 16 * 1024;

/// The caller's terminal.
pub struct Terminal {
    fd: OwnedFd,
    before: Termios,
}

impl Terminal {
    /// The terminal behind standard error, output or input, else the session's.
    ///
    /// # Errors
    /// `ENXIO` if the caller has none.
    pub fn find() -> Result<Terminal> {
        let fd = match standard_terminal() {
            Some(fd) => fd,
            None => {
                let opened = open("/dev/tty", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty());
                let hint = "the program is to have a terminal (process.terminal, or exec --tty) and the caller has none: do \
                            without, or detach with --console-socket";
                opened.map_err(|errno| Error::system("open /dev/tty", errno).with_hint(hint))?
            }
        };
        let before = tcgetattr(&fd).context(|| "read the settings of the terminal")?;
        Ok(Terminal { fd, before })
    }

    /// Rows and columns, `None` where the terminal does not say.
    pub fn size(&self) -> Option<(u16, u16)> {
        tty::size(self.fd.as_fd()).ok().filter(|size| *size != (0, 0))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.fd, SetArg::TCSADRAIN, &self.before);
    }
}

fn standard_terminal() -> Option<OwnedFd> {
    let (stderr, stdout, stdin) = (std::io::stderr(), std::io::stdout(), std::io::stdin());
    let standard = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
    let found = standard.into_iter().find(|fd| isatty(fd).unwrap_or(false))?;
    found.try_clone_to_owned().ok()
}

/// One direction: what was read and is not yet written.
#[derive(Default)]
struct Flow {
    waiting: VecDeque<u8>,
    /// There is nothing more to read.
    ended: bool,
}

impl Flow {
    fn has_room(&self) -> bool {
        !self.ended && self.waiting.len() < AHEAD
    }

    /// Reads once; whether anything came.
    fn fill(&mut self, from: BorrowedFd<'_>) -> bool {
        let mut buf = [0; 4096];
        match read(from, &mut buf) {
            Ok(n) if n > 0 => {
                self.waiting.extend(&buf[..n]);
                return true;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // End of file, or the EIO of a terminal whose other side is closed.
            _ => self.ended = true,
        }
        false
    }

    /// Writes once.
    fn empty(&mut self, to: BorrowedFd<'_>) {
        match write(to, self.waiting.as_slices().0) {
            Ok(n) => drop(self.waiting.drain(..n)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // Nobody reads any more.
            Err(_) => self.waiting.clear(),
        }
    }
}

/// Something the console waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Input,
    Output,
    Master,
}

/// A container's terminal, copied to and from the caller's.
pub struct Console {
    terminal: Terminal,
    master: OwnedFd,
    stdin: Stdin,
    stdout: Stdout,
    input: Flow,
    output: Flow,
}

impl Console {
    /// Puts the caller's terminal into raw mode and connects it with `master`.
    pub fn connect(terminal: Terminal, master: OwnedFd) -> Result<Console> {
        let what = || "set up the container's terminal";
        // The caller's terminal ends its lines itself; twice would give \r\r\n.
        let mut settings = tcgetattr(&master).context(what)?;
        settings.output_flags.remove(OutputFlags::ONLCR);
        tcsetattr(&master, SetArg::TCSANOW, &settings).context(what)?;
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL).context(what)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).context(what)?;
        let mut raw = terminal.before.clone();
        cfmakeraw(&mut raw);
        raw.output_flags = terminal.before.output_flags;
        tcsetattr(&terminal.fd, SetArg::TCSANOW, &raw).context(|| "set the terminal to raw mode")?;
        let (stdin, stdout) = (std::io::stdin(), std::io::stdout());
        let console = Console { terminal, master, stdin, stdout, input: Flow::default(), output: Flow::default() };
        console.resize();
        Ok(console)
    }

    /// Gives the container's terminal the size of the caller's.
    pub fn resize(&self) {
        if let Some(size) = self.terminal.size() {
            let _ = tty::set_size(self.master.as_fd(), size);
        }
    }

    /// What to wait for now.
    pub fn wanted(&self) -> Vec<(Wanted, PollFd<'_>)> {
        let mut wanted = Vec::with_capacity(3);
        let mut want = |what, fd, flags: PollFlags| {
            if !flags.is_empty() {
                wanted.push((what, PollFd::new(fd, flags)));
            }
        };
        let when = |condition, flag| if condition { flag } else { PollFlags::empty() };
        want(Wanted::Input, self.stdin.as_fd(), when(self.input.has_room(), PollFlags::POLLIN));
        want(Wanted::Output, self.stdout.as_fd(), when(!self.output.waiting.is_empty(), PollFlags::POLLOUT));
        let read = when(self.output.has_room(), PollFlags::POLLIN);
        let write = when(!self.input.waiting.is_empty(), PollFlags::POLLOUT);
        want(Wanted::Master, self.master.as_fd(), read | write);
        wanted
    }

    /// Copies what has become possible.
    pub fn copy(&mut self, ready: &[Wanted]) {
        for what in ready {
            match what {
                Wanted::Input => drop(self.input.fill(self.stdin.as_fd())),
                Wanted::Output => self.output.empty(self.stdout.as_fd()),
                Wanted::Master => {
                    if !self.input.waiting.is_empty() {
                        self.input.empty(self.master.as_fd());
                    }
                    if self.output.has_room() {
                        self.output.fill(self.master.as_fd());
                    }
                }
            }
        }
    }

    /// Writes out what the container left behind in its terminal.
    pub fn drain(&mut self) {
        while self.output.fill(self.master.as_fd()) || !self.output.waiting.is_empty() {
            self.output.empty(self.stdout.as_fd());
        }
    }
}
