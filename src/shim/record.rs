//! How a container's first process ended, kept in its bundle: a shim that is killed takes nothing of that with it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::error::{Doing, Result};
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
///
/// # Errors
/// That it cannot be read, which does not mean that there is nothing.
pub fn read(bundle: &Path) -> Result<Option<(u32, Exit)>> {
    let file = bundle.join(FILE);
    match std::fs::read_to_string(&file) {
        Ok(line) => Ok(parse(&line)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing(|| format!("read {}", file.display())),
    }
}

fn parse(line: &str) -> Option<(u32, Exit)> {
    let mut words = line.split(' ');
    let (pid, code) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(words.next()?.parse().ok()?);
    Some((pid, Exit { code, at }))
}
