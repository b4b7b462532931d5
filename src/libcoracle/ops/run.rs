//! `run`: create and start in one, and stay until the end.

use std::os::fd::{AsFd, OwnedFd};

use nix::unistd::Pid;

use super::create::{CreateOptions, Made, Making, check_terminal_of};
use super::delete::undo;
use crate::bundle::Bundle;
use crate::console::{Console, Terminal};
use crate::error::{Context, Result};
use crate::foreground::Signals;
use crate::id::ContainerId;
use crate::launch::Child;
use crate::notify::Notify;
use crate::seal;
use crate::store::Root;
use crate::timings::timed;

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
    seal::ensure()?;
    let bundle = timed("read the bundle", || Bundle::open(&opts.bundle, opts.config.as_deref()))?;
    check_terminal_of(bundle.spec(), opts, run.detach)?;
    let terminal = bundle.spec().process().as_ref().and_then(|p| p.terminal()).unwrap_or(false);
    let terminal = if terminal && !run.detach { Some(Terminal::find()?) } else { None };
    let mut signals = if run.detach { None } else { Some(Signals::catch(!run.no_subreaper)?) };
    let Made { mut child, plan, state } = Making::begin(root, id, opts, &bundle, false)?.commit(opts)?;
    let ended = attend(&mut child, terminal, signals.as_mut(), |child| {
        let Some(manager) = &opts.notify_socket else { return Made::exec(child, &plan, &state) };
        let notify = Notify::listen(root.entry(id)?.path(), manager)?;
        Made::exec(child, &plan, &state)?;
        if run.detach {
            return notify.pass_on(child.pidfd.as_fd(), child.pid);
        }
        notify.pass_on_aside(child.pidfd.try_clone().context(|| "watch the container")?, Pid::this());
        Ok(())
    });
    if ended.is_err() || !run.detach {
        drop(child);
        if !run.keep {
            timed("delete", || undo(root, id, &state))?;
        }
    }
    ended
}

/// Lets `child` execute its program and, where signals are caught, stays with it until it ends.
pub(super) fn attend(
    child: &mut Child,
    terminal: Option<Terminal>,
    signals: Option<&mut Signals>,
    exec: impl FnOnce(&mut Child) -> Result<()>,
) -> Result<i32> {
    let mut console = connect_terminal(terminal, child.terminal.take())?;
    exec(child)?;
    match signals {
        Some(signals) => {
            timed("wait for the program to end", || signals.stay(child.pid, &child.pidfd, console.as_mut()))
        }
        None => Ok(0),
    }
}

/// The caller's terminal in front of the container's, where there are both.
pub(super) fn connect_terminal(terminal: Option<Terminal>, master: Option<OwnedFd>) -> Result<Option<Console>> {
    match (terminal, master) {
        (Some(terminal), Some(master)) => Console::connect(terminal, master).map(Some),
        _ => Ok(None),
    }
}
