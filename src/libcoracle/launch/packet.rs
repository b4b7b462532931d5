//! The words between parent and child: small packets on a SEQPACKET pair, built without allocation in the child.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use coracle_sys::fds::{receive_with_fd, send_with_fd};
use coracle_sys::{Errno, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::unistd::Pid;

/// How much text a failure may carry.
pub const TEXT: usize = 200;

const REACHED: u8 = 1;
const FAILED: u8 = 2;
const TERMINAL: u8 = 3;
const GO: u8 = 4;
const CLONED: u8 = 5;
const LISTENING: u8 = 6;
const AT: u8 = 7;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// The process that becomes the container's.
    Init = 0,
    /// The one that clones it.
    Relay = 1,
}

/// What the child says.
pub enum Message {
    Reached {
        by: Process,
        step: u16,
    },
    Failed {
        by: Process,
        step: u16,
        errno: Errno,
        text: String,
    },
    /// It begins with this step. Said only to whoever asked to watch.
    At {
        by: Process,
        step: u16,
    },
    /// The relay has made the container's process.
    Cloned {
        pid: Pid,
    },
    Terminal {
        fd: OwnedFd,
    },
    /// A filter is about to be loaded; its listener will have this number in the child.
    Listening {
        number: RawFd,
    },
}

/// The parent's end.
pub struct Channel(OwnedFd);

/// A connected pair: the parent's end and the child's.
pub fn channel() -> Result<(Channel, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Channel(ours), theirs))
}

impl Channel {
    pub fn new(socket: OwnedFd) -> Channel {
        Channel(socket)
    }

    /// Lets the child go on.
    pub fn go(&mut self) -> Result<()> {
        send_with_fd(self.0.as_fd(), &[GO], None)
    }

    /// The next message, `None` when the child's end is closed. What is not a message is `EBADMSG`.
    pub fn receive(&mut self) -> Result<Option<Message>> {
        let mut buf = [0; 8 + TEXT];
        let (n, fd) = match receive_with_fd(self.0.as_fd(), &mut buf) {
            // The child died with words of ours unread.
            Err(Errno::ECONNRESET) => return Ok(None),
            other => other?,
        };
        decode(&buf[..n], fd)
    }
}

fn decode(bytes: &[u8], fd: Option<OwnedFd>) -> Result<Option<Message>> {
    let (head, text) = match bytes.split_first_chunk::<8>() {
        Some(parts) => parts,
        None if bytes.is_empty() => return Ok(None),
        None => return Err(Errno::EBADMSG),
    };
    let step = u16::from_le_bytes([head[2], head[3]]);
    let by = if head[1] == Process::Relay as u8 { Process::Relay } else { Process::Init };
    let errno = i32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    match (head[0], fd) {
        (REACHED, _) => Ok(Some(Message::Reached { by, step })),
        (AT, _) => Ok(Some(Message::At { by, step })),
        (FAILED, _) => Ok(Some(Message::Failed {
            by,
            step,
            errno: Errno::from_raw(errno),
            text: String::from_utf8_lossy(text).trim_end().to_owned(),
        })),
        (CLONED, _) => Ok(Some(Message::Cloned { pid: Pid::from_raw(errno) })),
        (LISTENING, _) => Ok(Some(Message::Listening { number: errno })),
        (TERMINAL, Some(fd)) => Ok(Some(Message::Terminal { fd })),
        _ => Err(Errno::EBADMSG),
    }
}

fn head(tag: u8, by: Process, step: usize, errno: i32) -> [u8; 8] {
    let ([a, b], [c, d, e, f]) = ((step as u16).to_le_bytes(), errno.to_le_bytes());
    [tag, by as u8, a, b, c, d, e, f]
}

/// Says that step `step` is reached and waits for the answer; `ECONNRESET` when the parent is gone.
pub fn reached(socket: BorrowedFd<'_>, by: Process, step: usize) -> Result<()> {
    send_with_fd(socket, &head(REACHED, by, step, 0), None)?;
    wait(socket)
}

/// Waits for the other end's word; `ECONNRESET` when it is gone.
pub fn wait(socket: BorrowedFd<'_>) -> Result<()> {
    let mut answer = [0; 1];
    match receive_with_fd(socket, &mut answer)? {
        (1, _) if answer[0] == GO => Ok(()),
        _ => Err(Errno::ECONNRESET),
    }
}

/// Says that step `step` failed. Nobody is left to tell when that fails too.
pub fn failed(socket: BorrowedFd<'_>, by: Process, step: usize, errno: Errno, text: &[u8]) {
    let mut packet = [0; 8 + TEXT];
    let n = text.len().min(TEXT);
    packet[..8].copy_from_slice(&head(FAILED, by, step, errno as i32));
    packet[8..8 + n].copy_from_slice(&text[..n]);
    let _ = send_with_fd(socket, &packet[..8 + n], None);
}

/// Says that step `step` begins. When nobody listens any more, there is nobody to miss it.
pub fn at(socket: BorrowedFd<'_>, by: Process, step: usize) {
    let _ = send_with_fd(socket, &head(AT, by, step, 0), None);
}

/// Says that the container's process is `pid`, as the caller and its parent see it.
pub fn cloned(socket: BorrowedFd<'_>, pid: Pid) -> Result<()> {
    send_with_fd(socket, &head(CLONED, Process::Relay, 0, pid.as_raw()), None)
}

/// Says that the listener of the filter loaded next will have this number.
pub fn listening(socket: BorrowedFd<'_>, number: RawFd) -> Result<()> {
    send_with_fd(socket, &head(LISTENING, Process::Init, 0, number), None)
}

/// Hands the terminal's controlling side over.
pub fn terminal(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<()> {
    send_with_fd(socket, &head(TERMINAL, Process::Init, 0, 0), Some(fd))
}
