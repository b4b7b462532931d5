//! Stopping all processes where they are (freezer-subsystem.rst).

use std::time::Duration;

use nix::errno::Errno;

use crate::dir::Dir;
use crate::error::Result;

const STATE: &str = "freezer.state";

/// Freezes and waits until it is done, or thaws.
///
/// # Errors
/// Also when the processes do not freeze in about two seconds; they are thawed again then.
pub(crate) fn set(dir: &Dir, frozen: bool) -> Result<()> {
    if !frozen {
        return write(dir, "THAWED");
    }
    // Half a freeze is none.
    freeze(dir).or_else(|error| write(dir, "THAWED").and(Err(error)))
}

fn write(dir: &Dir, state: &str) -> Result<()> {
    let what = if state == "FROZEN" { "freeze" } else { "thaw" };
    dir.write(STATE, state).map_err(|errno| dir.failed(what, errno))
}

fn freeze(dir: &Dir) -> Result<()> {
    let mut wait = Duration::from_micros(10);
    for round in 1..=60 {
        // Again each time: what was forked in the middle of it may have been missed.
        write(dir, "FROZEN")?;
        if is(dir, &["FROZEN"])? {
            return Ok(());
        }
        if round % 20 == 0 {
            // Lets a process go on that others wait for.
            write(dir, "THAWED")?;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(Duration::from_millis(40));
    }
    Err(dir.failed("freeze", Errno::ETIMEDOUT))
}

pub(crate) fn is_frozen(dir: &Dir) -> Result<bool> {
    // While it is under way too: what enters it then does not leave it by itself.
    is(dir, &["FROZEN", "FREEZING"])
}

fn is(dir: &Dir, states: &[&str]) -> Result<bool> {
    match dir.read(STATE) {
        Ok(text) => Ok(states.contains(&text.trim_end())),
        Err(Errno::ENOENT | Errno::ENODEV) => Ok(false),
        Err(errno) => Err(dir.failed("read the state of", errno)),
    }
}
