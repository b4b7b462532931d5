//! CRIU, which saves processes and restores them: a program of its own, told what to do over a socket (`criu swrk`).
//!
//! ```text
//!   coracle                                criu swrk FD
//!   -------                                ------------
//!   version? ────────────────────────────►
//!            ◄──────────────────────────── 4.2
//!   dump or restore, with options ───────►
//!   hooks, terminal, process id  ◄──────── notify: setup-namespaces, orphan-pts-master, post-restore, …
//!   go on, or give up ───────────────────►
//!            ◄──────────────────────────── done, or why not; the log has the rest
//! ```

pub mod images;
pub mod options;
pub mod rpc;
pub mod streams;

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use coracle_sys::Errno;
use coracle_sys::fds::{receive_with_fd, send_with_fd};
use coracle_sys::spawn::{attach_before_exec, keep_before_exec};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::{AccessFlags, Pid, access};

use crate::error::{Context, Error, Kind, Result};
use images::Images;
use rpc::{Message, Reply};

/// The oldest that has all that is asked of it: external pid namespaces and labels of security modules.
const OLDEST: (u32, u32) = (3, 16);

/// The most one message may have, in bytes.
const LARGEST: usize = 40 * 1024;

/// Why a request came to nothing.
pub enum Failure {
    /// CRIU says so, or is gone: its log has the reason.
    Criu(String),
    /// Something here.
    Own(Error),
}

impl Failure {
    /// The error, with what CRIU has written to `log`.
    pub fn explained(self, images: &Images, log: &str) -> Error {
        match self {
            Failure::Criu(problem) => images.explain(problem, log),
            Failure::Own(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Own(error)
    }
}

/// A CRIU that waits for requests. Dropped, it is killed and reaped.
pub struct Criu {
    process: Child,
    channel: OwnedFd,
    ended: bool,
}

impl Criu {
    /// One that has this process's standard input, output and error and the descriptors `kept` by their numbers, and alone sees
    /// the detached tree `root` mounted, at `at`.
    pub fn for_restore(kept: Vec<OwnedFd>, root: OwnedFd, at: &Path) -> Result<Criu> {
        let problem = |_| Error::new(Kind::InvalidConfig, format!("{} has a byte 0", at.display()));
        let at = CString::new(at.as_os_str().as_bytes()).map_err(problem)?;
        start(|command| attach_before_exec(command, root, at), kept)
    }

    /// One that has none of them.
    pub fn for_dump() -> Result<Criu> {
        let silent = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        };
        start(silent, Vec::new())
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed())
    }

    /// Checks that it is not too old.
    pub fn check_version(&mut self) -> Result<()> {
        let reply = self.simple(rpc::Kind::Version)?;
        if reply.version >= OLDEST {
            return Ok(());
        }
        let ((major, minor), (least_major, least_minor)) = (reply.version, OLDEST);
        let text = format!("criu {major}.{minor} is too old: {least_major}.{least_minor} or newer is needed");
        Err(Error::new(Kind::Unsupported, text))
    }

    /// Whether the kernel tracks changes of memory, and can be asked for pages late.
    pub fn features(&mut self) -> Result<(bool, bool)> {
        Ok(self.simple(rpc::Kind::FeatureCheck)?.features)
    }

    fn simple(&mut self, kind: rpc::Kind) -> Result<Reply> {
        let mut request = rpc::request(kind, true);
        if kind == rpc::Kind::FeatureCheck {
            request = request.message(5, &Message::default().flag(1, true).flag(2, true));
        }
        let asked = self.ask(kind, &request, &mut |_, _| Ok(()));
        asked.map_err(|failure| match failure {
            Failure::Criu(problem) => Error::new(Kind::Unsupported, problem),
            Failure::Own(error) => error,
        })
    }

    /// Asks for `kind` with `options` and waits until that is done. `notified` is told of what happens on the way, with the
    /// descriptor that came along; when it fails, CRIU undoes what it has done so far.
    pub fn work(
        &mut self,
        kind: rpc::Kind,
        options: &Message,
        notified: &mut dyn FnMut(&Reply, Option<OwnedFd>) -> Result<()>,
    ) -> std::result::Result<(), Failure> {
        let request = rpc::request(kind, false).message(2, options);
        self.ask(kind, &request, notified)?;
        nix::sys::socket::shutdown(self.channel.as_raw_fd(), nix::sys::socket::Shutdown::Both)
            .context(|| "close the connection to criu")?;
        let status = self.process.wait().context(|| "wait for criu")?;
        self.ended = true;
        // After a pre-dump it waits for the dump, and takes the end of the connection for a failure.
        match status.success() || kind == rpc::Kind::PreDump {
            true => Ok(()),
            false => Err(Failure::Criu(format!("criu failed: {status}"))),
        }
    }

    fn ask(
        &mut self,
        kind: rpc::Kind,
        request: &Message,
        notified: &mut dyn FnMut(&Reply, Option<OwnedFd>) -> Result<()>,
    ) -> std::result::Result<Reply, Failure> {
        let mut refused = None;
        let mut said = self.send(request);
        let mut buffer = vec![0; LARGEST];
        loop {
            let received = said.and_then(|()| receive_with_fd(self.channel.as_fd(), &mut buffer));
            let (reply, fd) = match received {
                Ok((n, fd)) if n > 0 => (Reply::read(&buffer[..n]), fd),
                Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => {
                    return Err(refused.map_or_else(|| self.gone(), Failure::Own));
                }
                Err(errno) => {
                    // It undoes what it has done so far when it finds the connection closed.
                    let _ = self.gone();
                    return Err(refused.unwrap_or_else(|| Error::system("talk to criu", errno)).into());
                }
            };
            let reply = reply.ok_or_else(|| Error::new(Kind::InvalidState, "criu's answer cannot be understood"))?;
            if let (false, Some(error)) = (reply.success, refused.take()) {
                return Err(Failure::Own(error));
            }
            match reply.kind {
                _ if !reply.success => return Err(failed(&reply)),
                Some(rpc::Kind::Notify) => {
                    tracing::debug!("criu: {} {}", reply.script, reply.pid);
                    let done = notified(&reply, fd);
                    said = self.send(&rpc::notified(done.is_ok()));
                    refused = refused.or(done.err());
                }
                Some(answered) if answered == kind => {
                    return refused.map_or(Ok(reply), |error| Err(Failure::Own(error)));
                }
                _ => return Err(Error::new(Kind::InvalidState, "criu answers what was not asked").into()),
            }
        }
    }

    fn send(&self, message: &Message) -> coracle_sys::Result<()> {
        send_with_fd(self.channel.as_fd(), message.as_bytes(), None)
    }

    /// It has closed its end: it is about to be gone, or has been executed in vain.
    fn gone(&mut self) -> Failure {
        // So that it does not wait for this process, which waits for it.
        let _ = nix::sys::socket::shutdown(self.channel.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        let status = self.process.wait();
        self.ended = true;
        Failure::Criu(match status {
            Ok(status) => format!("criu failed: it ended without an answer ({status})"),
            Err(error) => format!("criu failed: {error}"),
        })
    }
}

impl Drop for Criu {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

fn failed(reply: &Reply) -> Failure {
    let kind = reply.kind.map_or("EMPTY", rpc::Kind::name);
    Failure::Criu(format!("criu failed: type {kind} errno {}", reply.errno))
}

fn start(set_up: impl FnOnce(&mut Command), mut kept: Vec<OwnedFd>) -> Result<Criu> {
    let program = find()?;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .context(|| "create a socket pair")?;
    let mut command = Command::new(&program);
    command.arg("swrk").arg(theirs.as_raw_fd().to_string());
    kept.push(theirs);
    keep_before_exec(&mut command, kept);
    set_up(&mut command);
    let process = command.spawn().context(|| format!("execute {}", program.display()))?;
    // With it goes the copy of its end that is in this process: without it the end of CRIU is the end of the connection.
    drop(command);
    Ok(Criu { process, channel: ours, ended: false })
}

fn find() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("criu"));
    let found = candidates.into_iter().find(|program| access(program, AccessFlags::X_OK).is_ok());
    found.ok_or_else(|| {
        let error = Error::new(Kind::Unsupported, "criu is not installed: there is no such program in $PATH");
        let (major, minor) = OLDEST;
        error.with_hint(format!("install CRIU {major}.{minor} or newer; recent kernels need a recent one"))
    })
}
