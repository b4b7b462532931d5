//! One trial: everything made ready, the call with its fault, and what must hold afterwards.

use std::path::Path;

use integration::{Action, Call, Called, Fault, Snapshot, Trace, trace};
use nix::errno::Errno;
use syscalls::Sysno;

use super::errnos;

/// How a trial went.
pub enum Outcome {
    /// The call succeeded all the same.
    Survived,
    /// It failed, or was killed, and everything held.
    Failed,
    /// It failed without naming the error.
    Unnamed(String),
    /// Something did not hold.
    Violated(String),
    /// The call never came: the run took another way than the one that was recorded.
    Missed,
}

/// Every fault there is for the calls that were recorded.
pub fn faults(calls: &[Called]) -> Vec<Fault> {
    let mut list = Vec::new();
    for called in calls {
        let fail = if errnos::acts_anyway(called.call) { Action::FailAfter } else { Action::Fail };
        let errors = errnos::plausible(called.call).iter().map(|errno| fail(*errno as i32));
        for action in errors.chain([Action::KillBefore, Action::KillAfter]) {
            list.push(Fault { at: *called, action });
        }
    }
    list
}

/// Something that is called with faults.
pub trait Tried {
    /// Makes ready what the call needs.
    fn prepare(&self);
    /// The call, without its fault.
    fn call(&self) -> Call;
    /// Whether it starts a program that waits to be asked: should it fail to learn that this was executed, the standard
    /// library waits for its end first.
    fn waits_for_child(&self) -> bool {
        false
    }
    /// A process that is traced along with it.
    fn along(&self) -> Option<i32> {
        None
    }
    /// What must hold after the call, in which it succeeds once more.
    fn judge(&self, fault: Fault, result: &Trace) -> Result<(), String>;
    /// Removes everything there is, by the means that users have; there must be nothing then.
    fn clean(&self) -> Result<(), String>;
}

/// Makes everything ready and makes the call with a fault, or without one to learn its system calls.
pub fn traced(tried: &dyn Tried, scratch: &Path, fault: Option<Fault>) -> Trace {
    tried.prepare();
    trace(&tried.call(), scratch, tried.along(), fault)
}

/// One trial, to the end, with nothing left behind by it.
pub fn trial(tried: &dyn Tried, scratch: &Path, token: &str, fault: Fault) -> Outcome {
    let before = Snapshot::take(token);
    let result = traced(tried, scratch, Some(fault));
    let judged = judge(tried, fault, &result);
    let cleaned = tried.clean();
    let leaks = before.left(token);
    if let Err(problem) = cleaned {
        return Outcome::Violated(problem);
    }
    if !leaks.is_empty() {
        return Outcome::Violated(format!("left behind: {}", leaks.join(", ")));
    }
    match judged {
        Err(problem) => Outcome::Violated(format!("{problem}; it said {:?}", result.text)),
        Ok(()) if result.hit.is_none() => Outcome::Missed,
        Ok(()) if result.code == 0 => Outcome::Survived,
        Ok(()) => named(fault, &result),
    }
}

fn judge(tried: &dyn Tried, fault: Fault, result: &Trace) -> Result<(), String> {
    if result.hung && !(tried.waits_for_child() && result.hit == Some(Sysno::recvfrom)) {
        return Err("it hung".into());
    }
    if result.text.contains("panicked at") && !excused(fault, result) {
        return Err("it panicked".into());
    }
    tried.judge(fault, result)
}

/// Where the standard library, or the C library before main, gives up on the spot: without memory, and when a directory
/// that was only read cannot be closed, and when it cannot read whether a program was executed or what it printed. A child
/// whose channel to its parent fails has nobody to tell.
fn excused(fault: Fault, result: &Trace) -> bool {
    match result.hit {
        Some(Sysno::brk | Sysno::mmap | Sysno::mremap) => true,
        Some(Sysno::close) => result.text.contains("closedir"),
        Some(Sysno::read) => result.text.contains("library/std/src/sys/process/"),
        Some(Sysno::recvfrom) => result.hung || result.text.contains("the CLOEXEC pipe failed"),
        // The C library makes one error of the other, and the ttrpc crate none at all, when there is no thread to be had.
        Some(Sysno::clone3) => result.text.contains("EAGAIN") || result.text.contains("ttrpc"),
        // The child's end of the channel itself.
        Some(Sysno::accept4 | Sysno::recvmsg | Sysno::sendmsg) => fault.at.process > 0,
        _ => false,
    }
}

/// Whether the message of a failure has the errno that caused it.
fn named(fault: Fault, result: &Trace) -> Outcome {
    let (Action::Fail(errno) | Action::FailAfter(errno)) = fault.action else { return Outcome::Failed };
    let name = format!("{:?}", Errno::from_raw(errno));
    if result.text.contains(&name) || excused(fault, result) {
        Outcome::Failed
    } else {
        Outcome::Unnamed(result.text.clone())
    }
}
