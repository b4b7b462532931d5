//! From a plan to a process: the clone, and the parent's half of what follows.
//!
//! ```text
//!   parent                                child
//!   ------                                -----
//!   clone3 ─────────────────────────────► step 0, 1, …
//!   host steps of the point ◄──────────── Reached(i)        at every Sync
//!   Go ─────────────────────────────────►
//!   the error is step i's ◄────────────── Failed(i, errno)  then the child exits
//!   the program runs ◄─────────────────── end of file       exec closed the socket
//! ```

mod around;
pub mod host_steps;
mod id_maps;
pub mod init;
mod into_cgroup;
mod listener;
pub mod packet;
mod relay;
mod watch;

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::host_step::HostStep;
use coracle_plan::step::{Point, Step};
use coracle_plan::{Plan, Slot, hints};
use coracle_sys::clone::{Fork, pidfd_open, pidfd_send_signal};
use coracle_sys::{Errno, describe};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::error::{Context, Error, Kind, Result};
use crate::prepare::Filled;
use crate::timings;
pub use into_cgroup::IntoCgroup;
use packet::{Channel, Message, Process, channel};
use watch::Watched;

/// A cloned process that is not yet the container's: dropped, it is killed and reaped.
pub struct Child {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    channel: Channel,
    /// The controlling side of the terminal, once the child has sent it.
    pub terminal: Option<OwnedFd>,
    /// The listener of its seccomp filter, until it is sent on.
    pub listener: Option<OwnedFd>,
    /// What the child was given, until it is ready.
    slots: Vec<Filled>,
    watched: Watched,
    /// There is a relay, which has not yet said which process is the container's.
    relayed: bool,
    /// What that process has said meanwhile.
    early: VecDeque<Message>,
    armed: bool,
}

/// What the child came to.
enum Event {
    Reached(Point),
    /// It has loaded a seccomp filter with a listener, and goes on without an answer.
    Listening,
    /// Its end of the channel closed: it has executed its program, or died.
    Closed,
}

/// Clones the child of `plan` and follows it to [`Point::Ready`]; `host_step` does what the parent owes on the way.
///
/// # Errors
/// The step of the child, or of the parent, that failed. The child is gone by then.
pub fn to_ready(
    plan: &Plan,
    filled: Vec<Filled>,
    cgroup: IntoCgroup<'_>,
    host_step: &mut dyn FnMut(&HostStep, &Child) -> Result<()>,
) -> Result<Child> {
    let mut child = clone(plan, filled, &cgroup)?;
    let mut host_step = |step: &HostStep, child: &Child| {
        tracing::debug!("host: {step}");
        let _span = timings::span(|| format!("host: {step}"));
        host_step(step, child)
    };
    let _span = timings::span(|| "follow the child".to_owned());
    let mut event = next(&mut child, plan)?;
    if matches!(event, Event::Closed)
        && was_killed(&child)
        && let Some(visit) = cgroup.visit()
    {
        child = again(plan, child)?;
        visit.end()?;
        event = next(&mut child, plan)?;
    }
    loop {
        match event {
            Event::Reached(point) => {
                for step in plan.host_steps(point) {
                    host_step(step, &child)?;
                }
                if point == Point::Ready {
                    child.slots = Vec::new();
                    return Ok(child);
                }
                child.answer()?;
            }
            Event::Listening => {
                for step in plan.host_steps(Point::Listening) {
                    host_step(step, &child)?;
                }
                child.listener = None;
            }
            Event::Closed => return Err(died(&child)),
        }
        event = next(&mut child, plan)?;
    }
}

/// Clones another child in place of one that has ended before it did anything.
fn again(plan: &Plan, mut child: Child) -> Result<Child> {
    let filled = std::mem::take(&mut child.slots);
    drop(child);
    clone(plan, filled, &IntoCgroup::only(None))
}

impl Child {
    /// The descriptor in a slot; the child has the same.
    pub fn slot(&self, Slot(i): Slot) -> Option<BorrowedFd<'_>> {
        match self.slots.get(i) {
            Some(Filled::Fd(fd)) => Some(fd.as_fd()),
            _ => None,
        }
    }

    /// Lets the child go on; one that cannot hear it has died.
    fn answer(&mut self) -> Result<()> {
        match self.channel.go() {
            Err(Errno::EPIPE) => Err(died(self)),
            answered => answered.context(|| "answer the container's process"),
        }
    }

    /// Lets the child go on to its gate, where it waits for `start`. It is no longer this process's to kill.
    pub fn leave_at_gate(mut self) -> Result<()> {
        self.answer()?;
        self.armed = false;
        Ok(())
    }

    /// Lets the child execute its program and waits until it has.
    ///
    /// # Errors
    /// The step between here and the program that failed.
    pub fn exec(&mut self, plan: &Plan) -> Result<()> {
        self.answer()?;
        let _span = timings::span(|| "let the program run".to_owned());
        match next(self, plan)? {
            Event::Closed => {
                tracing::debug!("the program runs");
                self.watched = Watched::default();
                self.armed = false;
                Ok(())
            }
            Event::Reached(_) | Event::Listening => Err(Error::new(Kind::InvalidState, "a point is reached twice")),
        }
    }
}

impl Child {
    /// The next message. Which process speaks must be known first, for what is done about it, and to be able to reap it.
    fn receive(&mut self) -> Result<Option<Message>> {
        loop {
            if !self.relayed
                && let Some(message) = self.early.pop_front()
            {
                return Ok(Some(message));
            }
            let message = self.channel.receive().context(|| "wait for the container's process")?;
            let by_relay = |message: &Message| match message {
                Message::Reached { by, .. } | Message::At { by, .. } | Message::Failed { by, .. } => {
                    *by == Process::Relay
                }
                Message::Cloned { .. } => true,
                Message::Terminal { .. } | Message::Listening { .. } => false,
            };
            match message {
                Some(message) if self.relayed && !by_relay(&message) => self.early.push_back(message),
                // The relay has ended without a word of it.
                None if self.relayed => self.relayed = false,
                message => return Ok(message),
            }
        }
    }

    /// The relay has done its part: the process it has cloned takes its place.
    fn replace(&mut self, pid: Pid) -> Result<()> {
        // It is this process's child and not waited for: its number cannot be another's yet.
        let init = pidfd_open(pid).context(|| "open the container's process")?;
        let relay = std::mem::replace(&mut self.pidfd, init);
        self.pid = pid;
        self.relayed = false;
        waitid(Id::PIDFd(relay.as_fd()), WaitPidFlag::WEXITED).context(|| "wait for the relay process")?;
        Ok(())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.watched = Watched::default();
        if self.armed {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
            let _ = waitid(Id::PIDFd(self.pidfd.as_fd()), WaitPidFlag::WEXITED);
        }
    }
}

/// The rest of a launch for the process that opens the gate: `texts` are the steps behind it, from index `first`.
pub fn through_gate(connection: OwnedFd, first: usize, texts: &[String]) -> Result<()> {
    let mut channel = Channel::new(connection);
    channel.go().context(|| "open the gate")?;
    let what = |step: u16| {
        let index = usize::from(step).checked_sub(first);
        index.and_then(|i| texts.get(i)).map_or("start the program", String::as_str)
    };
    loop {
        match channel.receive().context(|| "wait for the program")? {
            None => return Ok(()),
            Some(Message::At { step, .. }) => tracing::debug!("step {step}: {}", what(step)),
            Some(Message::Failed { step, errno, text, .. }) => return Err(failure(what(step), errno, &text)),
            Some(_) => return Err(Error::new(Kind::InvalidState, "unexpected message from the container's process")),
        }
    }
}

fn clone(plan: &Plan, filled: Vec<Filled>, cgroup: &IntoCgroup<'_>) -> Result<Child> {
    let (ours, theirs) = channel().context(|| "create a socket pair")?;
    if let Some(mask) = &plan.initial_affinity {
        coracle_sys::sched::set_affinity(mask).context(|| format!("run on processors {mask:x?}"))?;
    }
    let around = around::enter(plan, &filled)?;
    let watched = Watched::of(plan).context(|| "share memory with the container's process")?;
    let _span = timings::span(|| "clone".to_owned());
    let flags = plan.relay.as_ref().map_or(plan.clone, |relay| relay.clone);
    let (pid, pidfd) = match cgroup.clone(flags)? {
        Fork::Parent { pid, pidfd } => (pid, pidfd),
        Fork::Child => {
            // With a copy of the parent's end it would never see that the parent is gone, and wait for ever.
            drop(ours);
            match &plan.relay {
                Some(relay) => relay::run(plan, relay, filled, theirs, &watched),
                None => init::run(&plan.init, filled, theirs, watched.watch(0)),
            }
        }
    };
    drop(theirs);
    let (terminal, listener) = (None, None);
    let (relayed, early) = (plan.relay.is_some(), VecDeque::new());
    let child =
        Child { pid, pidfd, channel: ours, terminal, listener, slots: filled, watched, relayed, early, armed: true };
    around.leave()?;
    Ok(child)
}

fn not_cloned(errno: Errno) -> Error {
    let error = Error::system("clone the container's process", errno);
    match errno {
        Errno::ENOSPC => error.with_hint("a limit of /proc/sys/user/max_*_namespaces is reached"),
        Errno::EBUSY => error.with_hint("the cgroup hands controllers down to those below it and takes no processes"),
        Errno::EINVAL | Errno::ENOSYS => error.with_hint("a namespace may be missing from this kernel"),
        _ => error,
    }
}

/// Waits for the child's next word.
fn next(child: &mut Child, plan: &Plan) -> Result<Event> {
    loop {
        match child.receive()? {
            None => return Ok(Event::Closed),
            Some(Message::Reached { by, step }) => match steps(plan, by).get(usize::from(step)) {
                Some(Step::Sync(point)) => return Ok(Event::Reached(*point)),
                _ => return Err(Error::new(Kind::InvalidState, format!("step {step} is no sync"))),
            },
            Some(Message::At { by, step }) => match steps(plan, by).get(usize::from(step)) {
                Some(text) if by == Process::Relay => tracing::debug!("relay's step {step}: {text}"),
                Some(text) => tracing::debug!("step {step}: {text}"),
                None => {}
            },
            Some(Message::Terminal { fd }) => child.terminal = Some(fd),
            Some(Message::Listening { number }) => {
                child.listener = listener::fetch(child.pidfd.as_fd(), number)?;
                if child.listener.is_some() {
                    return Ok(Event::Listening);
                }
            }
            Some(Message::Cloned { pid }) => child.replace(pid)?,
            Some(Message::Failed { by, step, errno, text }) => {
                return Err(match steps(plan, by).get(usize::from(step)) {
                    None => not_cloned(errno),
                    Some(step) => step_failed(step, errno, &text),
                });
            }
        }
    }
}

fn steps(plan: &Plan, of: Process) -> &[Step] {
    match (of, &plan.relay) {
        (Process::Relay, Some(relay)) => &relay.steps,
        _ => &plan.init,
    }
}

fn step_failed(step: &Step, errno: Errno, text: &str) -> Error {
    let error = match step {
        Step::FindExecutable { name, .. } => not_executable(&name.to_string_lossy(), errno),
        step => failure(&step.to_string(), errno, text),
    };
    match hints::hint(step, errno) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn failure(step: &str, errno: Errno, text: &str) -> Error {
    match text {
        "" => Error::system(step, errno),
        text => Error::system(format!("{step}: {text}"), errno),
    }
}

/// The words engines look for to tell "not found" (127) from "not executable" (126).
pub fn not_executable(name: &str, errno: Errno) -> Error {
    let text = match errno {
        Errno::ENOENT if !name.contains('/') => format!("exec: \"{name}\": executable file not found in $PATH"),
        Errno::ENOENT => format!("exec: \"{name}\": stat {name}: {}", describe(errno)),
        errno => format!("exec: \"{name}\": {}", describe(errno)),
    };
    Error::new(Kind::System(errno), text)
}

/// How it has ended, which may be asked again.
fn end(child: &Child) -> coracle_sys::Result<WaitStatus> {
    waitid(Id::PIDFd(child.pidfd.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
}

fn was_killed(child: &Child) -> bool {
    matches!(end(child), Ok(WaitStatus::Signaled(_, Signal::SIGKILL, _)))
}

fn died(child: &Child) -> Error {
    let (how, killed) = match end(child) {
        Ok(WaitStatus::Exited(_, code)) => (format!("exited with {code}"), false),
        Ok(WaitStatus::Signaled(_, signal, _)) => (format!("was killed by {signal}"), signal == Signal::SIGKILL),
        _ => ("is gone".to_owned(), false),
    };
    let error = Error::new(Kind::InvalidState, format!("the container's process {how} during set-up"));
    if killed { error.with_hint("container init was OOM-killed (memory limit too low?)") } else { error }
}
