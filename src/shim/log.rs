//! Word of what nobody can be told by an answer.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::O_NONBLOCK;

/// The pipe containerd reads a shim's log from, in the bundle, which is the working directory.
const PIPE: &str = "log";

/// Writes an entry to containerd's log, if containerd listens.
pub fn error(message: impl Display) {
    let pipe = std::fs::OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(PIPE);
    if let Ok(mut pipe) = pipe {
        let line = format!("level=error msg={:?} runtime=io.containerd.coracle.v2\n", message.to_string());
        let _ = pipe.write_all(line.as_bytes());
    }
}
