//! How a container's first process ended, kept in its bundle: a shim that is killed takes nothing of that with it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::exits::Exit;
use crate::log;

const FILE: &str = "exited";

/// Writes down that process `pid` ended so.
pub fn write(bundle: &Path, pid: u32, exit: Exit) {
    let since = exit.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let line = format!("{pid} {} {}", exit.code, since.as_nanos());
    if let Err(error) = std::fs::write(bundle.join(FILE), line) {
        log::error(format!("write {}: {error}", bundle.join(FILE).display()));
    }
}

/// What was written down, if anything was.
pub fn read(bundle: &Path) -> Option<(u32, Exit)> {
    let line = std::fs::read_to_string(bundle.join(FILE)).ok()?;
    let mut words = line.split(' ');
    let (pid, code) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(words.next()?.parse().ok()?);
    Some((pid, Exit { code, at }))
}
