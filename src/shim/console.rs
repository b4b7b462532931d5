//! Terminals: the runtime makes one for the process and sends the controlling side here; what is typed and what is shown
//! goes through the shim.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coracle_sys::fds::receive_with_fd;
use coracle_sys::tty;
use crossbeam_channel::{Receiver, bounded};

use crate::error::{Doing, Error, Result};
use crate::io::Given;

/// How long the last output may take to be read by the client.
const PATIENCE: Duration = Duration::from_secs(2);

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Where the runtime sends the controlling side of a terminal. Bundles have paths too long for a socket's.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    pub fn bind() -> Result<Socket> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("{}/{}-{number}.tty", crate::bootstrap::SOCKETS, std::process::id()));
        let listener = UnixListener::bind(&path).doing(|| format!("listen on {}", path.display()))?;
        listener.set_nonblocking(true).doing(|| "listen for a terminal".into())?;
        Ok(Socket { listener, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was sent, after the runtime has succeeded: it does not wait for anybody to receive it.
    pub fn receive(self) -> Result<OwnedFd> {
        let (connection, _) = self.listener.accept().doing(|| "wait for the terminal".into())?;
        connection.set_nonblocking(false).doing(|| "wait for the terminal".into())?;
        let mut name = [0; 4096];
        let (_, fd) = receive_with_fd(connection.as_fd(), &mut name).doing(|| "receive the terminal".into())?;
        fd.ok_or_else(|| Error::new("receive the terminal: the runtime sent none"))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The controlling side of a process's terminal.
pub struct Terminal {
    master: OwnedFd,
    /// Closed when all output was passed on.
    shown: Receiver<()>,
}

impl Terminal {
    /// Copies from now on between the terminal `master` and what was opened for it.
    pub fn connect(master: OwnedFd, given: Given) -> Result<Terminal> {
        let copy = || master.try_clone().map(File::from).doing(|| "duplicate terminal".into());
        if let Some(typed) = given.stdin {
            let to = copy()?;
            thread("typed", move || pass_on(typed.into(), to))?;
        }
        let (showing, shown) = bounded(0);
        let from = copy()?;
        thread("shown", move || {
            match given.stdout {
                Some(stdout) => pass_on(from, File::from(stdout)),
                // A program must not wait for ever because nobody looks.
                None => pass_on(from, std::io::sink()),
            }
            drop(showing);
        })?;
        Ok(Terminal { master, shown })
    }

    /// In characters.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        tty::set_size(self.master.as_fd(), (rows, columns)).doing(|| "resize terminal".into())
    }

    /// Waits, not too long, until the output was passed on.
    pub fn drain(&self) {
        let _ = self.shown.recv_timeout(PATIENCE);
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(run).map(drop).doing(|| "start thread".into())
}

/// Until there is no more, or nobody to write to. A terminal ends with EIO when no process has it open.
fn pass_on(mut from: File, mut to: impl Write) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}
