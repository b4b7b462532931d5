//! Calls of the runtime.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coracle_image::error::{Context, Error, Result};
use coracle_sys::Errno;
use rustix::fs::{FlockOperation, flock};

use super::Call;

/// The name of the runtime's program.
const PROGRAM: &str = "coracle";

/// A call of the runtime, without a verb yet.
pub fn command(call: &Call) -> Command {
    let beside = || -> Option<PathBuf> {
        let own = std::env::current_exe().ok()?.with_file_name(PROGRAM);
        std::fs::metadata(&own).is_ok_and(|metadata| metadata.is_file()).then_some(own)
    };
    let program = call.global.runtime.clone().or_else(beside).unwrap_or_else(|| PROGRAM.into());
    let mut command = Command::new(program);
    if let Some(root) = &call.global.runtime_root {
        command.arg("--root").arg(root);
    }
    command
}

/// The status of a container, if the runtime knows it.
pub fn status(call: &Call, id: &str) -> Option<String> {
    let output = command(call).args(["state", id]).stderr(Stdio::null()).output().ok()?;
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    state["status"].as_str().map(str::to_owned)
}

/// Removes a container from the runtime, ending it if it runs.
pub fn delete(call: &Call, id: &str) -> Result<()> {
    let output = command(call).args(["delete", "--force", id]).output().context(|| "run the runtime")?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::invalid(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Held by who gives names to containers; another one waits.
pub fn turn(containers: &Path) -> Result<File> {
    let turn = || -> Result<File> {
        let file = File::open(containers)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    };
    turn().context(|| format!("lock {}", containers.display()))
}

/// Held by who makes and runs the container in `dir`.
pub fn lock(dir: &Path) -> Result<File> {
    let file = File::open(dir).context(|| format!("open {}", dir.display()))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).context(|| format!("lock {}", dir.display()))?;
    Ok(file)
}

/// Whether somebody holds the lock of the container in `dir`: it is about to be, or just was, and may be gone by now.
pub fn is_starting(dir: &Path) -> Result<bool> {
    match lock(dir) {
        Ok(_) => Ok(false),
        Err(error) if matches!(error.errno(), Some(Errno::EWOULDBLOCK | Errno::ENOENT)) => Ok(true),
        Err(error) => Err(error),
    }
}
