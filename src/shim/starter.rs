//! Between `start` and the shim that it makes: a pair of sockets, at the shim's end its standard output and error.
//!
//! `start` says that the shim is where it is to be and may begin, the shim that it serves, or whatever it and its
//! libraries complain of, and `start` that containerd was told. When one of the two is gone before that the other gives up: a shim that containerd does not
//! know of would never be ended, and one that it knows of must answer.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::PREFIX;
use crate::error::{Doing, Error, Result};

/// What each says when it has come so far.
const WORD: u8 = b'+';

/// The end of `start`.
pub struct Starting(UnixStream);

impl Starting {
    /// Starts the shim, which does nothing yet.
    pub fn spawn(mut command: Command) -> Result<(Starting, Child)> {
        let (own, shims) = UnixStream::pair().doing(|| "make sockets for the shim".into())?;
        let errors = shims.try_clone().doing(|| "duplicate the socket".into())?;
        command.stdout(Stdio::from(OwnedFd::from(shims))).stderr(Stdio::from(OwnedFd::from(errors)));
        let child = command.spawn().doing(|| "start shim".into())?;
        Ok((Starting(own), child))
    }

    /// Lets it begin, and waits until it serves.
    ///
    /// # Errors
    /// Why it does not, in its own words if it has any.
    pub fn begin(&mut self) -> Result<()> {
        match self.0.write_all(&[WORD]) {
            // It is gone, and has said why.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            begun => begun.doing(|| "let the shim begin".into())?,
        }
        let mut said = Vec::new();
        (&self.0).take(1).read_to_end(&mut said).doing(|| "wait for the shim".into())?;
        if said == [WORD] {
            return Ok(());
        }
        // One that has not read what it was told ends by ECONNRESET, after its words.
        let ended = self.0.read_to_end(&mut said).doing(|| "wait for the shim".into());
        let said = String::from_utf8_lossy(&said);
        match said.trim() {
            "" => ended.and(Err(Error::new("start shim: it ended before it served"))),
            why => Err(Error::new(format!("start shim: {}", why.strip_prefix(PREFIX).unwrap_or(why)))),
        }
    }

    /// containerd was told where it serves.
    pub fn told(mut self) -> Result<()> {
        self.0.write_all(&[WORD]).doing(|| "tell the shim that it is known".into())
    }
}

/// The end of the shim.
pub struct Starter {
    socket: UnixStream,
    null: File,
}

impl Starter {
    /// Takes it from standard output, and waits until the shim may begin.
    ///
    /// # Errors
    /// `start` is gone.
    pub fn wait() -> Result<Starter> {
        let stdout = std::io::stdout().as_fd().try_clone_to_owned().doing(|| "take over the socket".into())?;
        let null = File::options().write(true).open("/dev/null").doing(|| "open /dev/null".into())?;
        nix::unistd::dup2_stdout(&null).doing(|| "replace standard output".into())?;
        let mut starter = Starter { socket: UnixStream::from(stdout), null };
        starter.heard().map(|()| starter)
    }

    /// Says that requests are answered, and waits until containerd knows of it. Complaints are heard by nobody then.
    ///
    /// # Errors
    /// `start` is gone.
    pub fn serves(mut self) -> Result<()> {
        self.socket.write_all(&[WORD]).doing(|| "say that the shim serves".into())?;
        self.heard()?;
        nix::unistd::dup2_stderr(&self.null).doing(|| "replace standard error".into())
    }

    fn heard(&mut self) -> Result<()> {
        let mut heard = self.socket.read_exact(&mut [0]);
        // Of an end of `start` it would have heard.
        if heard.as_ref().is_err_and(|error| error.kind() != ErrorKind::UnexpectedEof) {
            heard = self.socket.read_exact(&mut [0]);
        }
        heard.doing(|| "wait for start".into())
    }
}
