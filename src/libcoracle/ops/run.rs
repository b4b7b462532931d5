//! `run`: create and start in one, and stay until the end.

use std::os::fd::AsFd;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::create::{CreateOptions, Making, check_terminal};
use super::delete::delete;
use crate::bundle::Bundle;
use crate::error::{Context, Result};
use crate::id::ContainerId;
use crate::store::Root;

/// How `run` goes on once the program runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunOptions {
    pub detach: bool,
    /// Leave the container in place when it has stopped.
    pub keep: bool,
    pub no_subreaper: bool,
}

/// Runs the container `id` and returns its program's status: its exit code, 128 and the signal's number, or 0 when
/// detached.
///
/// # Errors
/// As of `create` and `start`; the container is then gone.
pub fn run(root: &Root, id: &ContainerId, opts: &CreateOptions, run: &RunOptions) -> Result<i32> {
    let bundle = Bundle::open(&opts.bundle, opts.config.as_deref())?;
    check_terminal(bundle.spec(), opts, run.detach)?;
    let mut made = Making::begin(root, id, opts, &bundle, false)?.commit(opts)?;
    if let Err(error) = made.child.exec(&made.plan) {
        drop(made);
        if !run.keep {
            delete(root, id, true)?;
        }
        return Err(error);
    }
    if run.detach {
        return Ok(0);
    }
    let status = waitid(Id::PIDFd(made.child.pidfd.as_fd()), WaitPidFlag::WEXITED)
        .context(|| "wait for the container's first process")?;
    if !run.keep {
        delete(root, id, true)?;
    }
    Ok(match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 0,
    })
}
