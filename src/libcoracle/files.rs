//! How many files may be open at once (getrlimit(2), RLIMIT_NOFILE). Every mount of a container is a descriptor until it
//! is attached, and the soft limit is low by custom, for old programs that can count no further: this process raises its
//! own, and gives what it executes for others the limit it was called with.

use std::process::Command;
use std::sync::OnceLock;

use coracle_sys::rlimit;
use coracle_sys::spawn::limit_before_exec;

use crate::error::{Context, Result};

/// The soft and the hard limit of the caller, where this process has raised its own.
static CALLERS: OnceLock<(u64, u64)> = OnceLock::new();

#[expect(clippy::unnecessary_cast, reason = "the type of RLIMIT_ constants differs between C libraries")]
const NOFILE: u32 = libc::RLIMIT_NOFILE as u32;

/// Raises the soft limit of this process to the hard one. Not before this process has executed itself: that would
/// make the raised limit the caller's.
pub fn raise() -> Result<()> {
    let (soft, hard) = rlimit::own(NOFILE).context(|| "read the limit of open files")?;
    if soft < hard {
        rlimit::set_own(NOFILE, hard, hard).context(|| format!("raise the limit of open files to {hard}"))?;
        let _ = CALLERS.set((soft, hard));
    }
    Ok(())
}

/// The soft and the hard limit of the caller, if they are no longer those of this process.
pub fn callers() -> Option<(u64, u64)> {
    CALLERS.get().copied()
}

/// Gives `command` the limit of the caller.
pub fn restore(command: &mut Command) {
    if let Some((soft, hard)) = callers() {
        limit_before_exec(command, NOFILE, soft, hard);
    }
}
