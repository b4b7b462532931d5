//! One trial: the container made ready, the verb with its fault, and everything that must hold afterwards.

use std::time::{Duration, Instant};

use integration::{Action, Called, Fault, Snapshot, Trace, trace};
use nix::errno::Errno;
use syscalls::Sysno;

use super::errnos;
use super::verbs::{Status, Subject, Verb};

/// How a trial went.
pub enum Outcome {
    /// The verb succeeded all the same.
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

/// Makes the container ready and runs the verb with a fault, or without one to learn its calls.
pub fn traced(subject: &Subject<'_>, verb: &Verb, scratch: &std::path::Path, fault: Option<Fault>) -> Trace {
    subject.prepare(verb.before);
    let init = if verb.with_init { subject.pid() } else { None };
    trace(&subject.verb(verb), scratch, init, fault)
}

/// One trial, to the end, with nothing left behind by it.
pub fn trial(subject: &Subject<'_>, verb: &Verb, scratch: &std::path::Path, token: &str, fault: Fault) -> Outcome {
    let before = Snapshot::take(token);
    let result = traced(subject, verb, scratch, Some(fault));
    let judged = judge(subject, verb, fault, &result);
    let deleted = subject.delete();
    let leaks = settled(&before, token);
    if let Err(problem) = deleted {
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

/// What is left after the processes have had time to go.
fn settled(before: &Snapshot, token: &str) -> Vec<String> {
    let end = Instant::now() + Duration::from_secs(3);
    loop {
        let left = Snapshot::take(token).since(before);
        if left.is_empty() || Instant::now() > end {
            return left;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn judge(subject: &Subject<'_>, verb: &Verb, fault: Fault, result: &Trace) -> Result<(), String> {
    if result.hung {
        return Err("it hung".into());
    }
    if result.text.contains("panicked at") && !excused(fault, result) {
        return Err("it panicked".into());
    }
    let list = subject.call("list").run();
    if list.code != 0 {
        return Err(format!("list: {}", list.stderr));
    }
    let status = subject.status()?;
    let killed = matches!(fault.action, Action::KillBefore | Action::KillAfter);
    let allowed = if result.code == 0 { verb.after } else { verb.failed };
    // Who is killed cannot clean up: then only what a later `delete --force` makes of it counts. Nor can one whose first
    // process was killed promise that it lives.
    if !(killed || result.code > 128 && result.code != 255) {
        if !allowed.contains(&status) {
            return Err(format!("exit code {} and status {status:?}", result.code));
        }
        (verb.holds)(subject, result.code == 0)?;
    }
    again(subject, verb, status)
}

/// The verb once more, without a fault: it must succeed.
fn again(subject: &Subject<'_>, verb: &Verb, status: Status) -> Result<(), String> {
    if status == verb.before {
        let done = subject.try_quiet(&subject.verb(verb));
        // What was killed a moment ago may have been seen alive.
        if done.is_ok() || subject.status()? == verb.before {
            return done.map_err(|problem| format!("again: {problem}"));
        }
    }
    subject.delete()?;
    subject.prepare(verb.before);
    subject.try_quiet(&subject.verb(verb)).map_err(|problem| format!("again: {problem}"))
}

/// Where the standard library, or the C library before main, gives up on the spot: without memory, and when a directory
/// that was only read cannot be closed. A child whose channel to its parent fails has nobody to tell.
fn excused(fault: Fault, result: &Trace) -> bool {
    match result.hit {
        Some(Sysno::brk | Sysno::mmap | Sysno::mremap) => true,
        Some(Sysno::close) => result.text.contains("closedir"),
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
