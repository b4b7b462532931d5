//! The listening side of the protocols that hand over a descriptor: console socket, pidfd socket, seccomp listener.

use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::{Value, json};

use crate::sys;

/// One message: its bytes, its descriptors, and whether the sender closed the connection after it.
struct Message {
    text: String,
    fds: Vec<OwnedFd>,
    closed: bool,
}

fn tell(line: &impl std::fmt::Display) -> io::Result<()> {
    println!("{line}");
    io::stdout().flush()
}

/// Listens at the path of the first argument, says so, and takes one message.
fn receive(args: &[String]) -> io::Result<Message> {
    let path = args.first().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "no socket"))?;
    let listener = UnixListener::bind(path)?;
    // For callers who are not this user.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    tell(&"listening")?;
    let (stream, _) = listener.accept()?;
    let mut buffer = vec![0u8; 65536];
    let mut space = nix::cmsg_space!([RawFd; 4]);
    let mut fds = Vec::new();
    let count = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(found) = control {
                fds.extend(found.into_iter().map(sys::adopt));
            }
        }
        message.bytes
    };
    let text = String::from_utf8_lossy(buffer.get(..count).unwrap_or_default()).into_owned();
    let closed = (&stream).read(&mut [0; 16]).is_ok_and(|count| count == 0);
    Ok(Message { text, fds, closed })
}

/// `agent SOCKET ERRNO`: prints the container process state it is sent, then answers notifications with ERRNO and
/// prints the number of each system call, until the last filtered process is gone.
///
/// # Errors
/// The errno of what could not be done.
pub fn agent(args: &[String]) -> io::Result<ExitCode> {
    let errno = args.get(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    let Message { text, fds, closed } = receive(args)?;
    let state: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    tell(&json!({"state": state, "fds": fds.len(), "closed": closed}))?;
    let Some(listener) = fds.first() else { return Ok(ExitCode::FAILURE) };
    while let Ok(number) = sys::answer_notification(listener.as_fd(), errno) {
        tell(&number)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `pidfd SOCKET`: prints the payload and what the descriptor is, then waits for the end of the process.
///
/// # Errors
/// The errno of what could not be done.
pub fn pidfd(args: &[String]) -> io::Result<ExitCode> {
    let Message { text, fds, closed } = receive(args)?;
    let Some(fd) = fds.first() else { return Ok(ExitCode::FAILURE) };
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok());
    tell(&json!({"name": text, "fds": fds.len(), "closed": closed, "pid": pid}))?;
    poll(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    tell(&"ended")?;
    Ok(ExitCode::SUCCESS)
}

/// `console SOCKET`: prints the payload and the size of the terminal that came with it, then stands between the terminal
/// and its own standard streams until the other side has closed the terminal.
///
/// # Errors
/// The errno of what could not be done.
pub fn console(args: &[String]) -> io::Result<ExitCode> {
    let Message { text, mut fds, closed } = receive(args)?;
    let count = fds.len();
    let Some(master) = fds.pop() else { return Ok(ExitCode::FAILURE) };
    let size = sys::window_size(master.as_fd()).ok();
    let (rows, columns) = size.unwrap_or_default();
    tell(
        &json!({"name": text, "fds": count, "closed": closed, "terminal": size.is_some(), "rows": rows, "columns": columns}),
    )?;
    let mut terminal = File::from(master);
    let mut typing = terminal.try_clone()?;
    std::thread::spawn(move || io::copy(&mut io::stdin(), &mut typing));
    let mut buffer = [0u8; 4096];
    // EIO is how a terminal without a slave ends.
    while let Ok(count @ 1..) = terminal.read(&mut buffer) {
        io::stdout().write_all(buffer.get(..count).unwrap_or_default())?;
        io::stdout().flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
