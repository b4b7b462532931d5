//! Runs one call of the runtime under ptrace(2): numbers the system calls of all its processes, and has one of them fail,
//! or the process killed right before or right after it.
//!
//! A process is let go when it has become another program than the runtime (the program of the container, a hook), and
//! all of them when the called process has ended.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

use crate::call::Call;

/// How long a call may take under the tracer before it counts as hung.
const LIMIT: Duration = Duration::from_secs(20);

/// A system call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Called {
    /// Which process: 0 is the one that was called, the others in the order in which they appear.
    pub process: usize,
    /// Which of that process's calls of this number, from 0: one call more of another kind does not shift it.
    pub nth: usize,
    /// The call's number.
    pub call: Sysno,
}

/// What is done at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not made and returns this errno.
    Fail(i32),
    /// It is made, and returns this errno all the same (close(2), which takes effect even when it fails).
    FailAfter(i32),
    /// SIGKILL instead of it.
    KillBefore,
    /// SIGKILL when it has returned.
    KillAfter,
}

/// Where to do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub at: Called,
    pub action: Action,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Called { process, nth, call } = self.at;
        write!(f, "process {process} {call} #{nth} ")?;
        match self.action {
            Action::Fail(errno) => write!(f, "fails with {:?}", Errno::from_raw(errno)),
            Action::FailAfter(errno) => write!(f, "is made and fails with {:?}", Errno::from_raw(errno)),
            Action::KillBefore => f.write_str("is not made, SIGKILL instead"),
            Action::KillAfter => f.write_str("is the last one, SIGKILL after it"),
        }
    }
}

/// What became of a traced call.
#[derive(Debug)]
pub struct Trace {
    /// All calls that were made, in order.
    pub calls: Vec<Called>,
    /// Exit code of the called process, or 128 and the signal that ended it.
    pub code: i32,
    /// What it wrote to standard output and standard error, one after the other.
    pub text: String,
    /// It had to be killed.
    pub hung: bool,
    /// The call where the fault was.
    pub hit: Option<Sysno>,
}

struct Process {
    number: usize,
    calls: BTreeMap<Sysno, usize>,
    /// It runs the runtime's program, not yet what prepares the caller's state.
    counts: bool,
    /// The errno to return from the call that it is in.
    result: Option<i32>,
    kill: bool,
}

struct Tracer {
    program: (u64, u64),
    main: Pid,
    fault: Option<Fault>,
    known: BTreeMap<i32, Process>,
    appeared: usize,
    calls: Vec<Called>,
    hit: Option<Sysno>,
    code: Option<i32>,
}

/// Runs `call` with a fault, or none, and waits for its end. `other` is traced along: the first process of a container.
#[track_caller]
#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
pub fn trace(call: &Call, scratch: &Path, other: Option<i32>, fault: Option<Fault>) -> Trace {
    let text = scratch.join("traced");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&text).unwrap();
    let mut command = call.clone().launched("stop=").command();
    command.stdin(std::process::Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    let child = command.spawn().unwrap();
    let main = Pid::from_raw(child.id().cast_signed());
    waitid(Id::Pid(main), WaitPidFlag::WSTOPPED).unwrap();
    let meta = fs::metadata(call.program()).unwrap();
    let mut tracer = Tracer {
        program: (meta.dev(), meta.ino()),
        main,
        fault,
        known: BTreeMap::new(),
        appeared: 0,
        calls: Vec::new(),
        hit: None,
        code: None,
    };
    tracer.seize(main, false);
    if let Some(other) = other {
        tracer.seize(Pid::from_raw(other), true);
        let _ = ptrace::interrupt(Pid::from_raw(other));
    }
    kill(main, Signal::SIGCONT).unwrap();
    let hung = tracer.guarded();
    let text = String::from_utf8_lossy(&fs::read(&text).unwrap()).into_owned();
    Trace { calls: tracer.calls, code: tracer.code.unwrap_or(-1), text, hung, hit: tracer.hit }
}

impl Tracer {
    fn seize(&mut self, pid: Pid, counts: bool) {
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        ptrace::seize(pid, options).unwrap();
        self.appear(pid, counts);
    }

    fn appear(&mut self, pid: Pid, counts: bool) {
        let number = self.appeared;
        self.known.entry(pid.as_raw()).or_insert(Process {
            number,
            calls: BTreeMap::new(),
            counts,
            result: None,
            kill: false,
        });
        self.appeared = self.known.values().map(|process| process.number + 1).max().unwrap_or(0).max(self.appeared);
    }

    /// Traces to the end; whether it had to be killed because it did not come.
    fn guarded(&mut self) -> bool {
        let (done, end) = mpsc::channel::<()>();
        let late = Arc::new(Mutex::new(false));
        let (flag, main) = (Arc::clone(&late), self.main);
        let guard = std::thread::spawn(move || {
            if end.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                *flag.lock().unwrap() = true;
                let _ = kill(main, Signal::SIGKILL);
            }
        });
        // To the last one, also those whose beginning nobody has told of yet.
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
            self.stopped(status);
        }
        drop(done);
        guard.join().unwrap();
        *late.lock().unwrap()
    }

    fn stopped(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.ended(pid, code),
            WaitStatus::Signaled(pid, signal, _) => self.ended(pid, 128 + signal as i32),
            WaitStatus::PtraceSyscall(pid) => self.at_call(pid),
            WaitStatus::PtraceEvent(pid, _, event) => self.at_event(pid, event),
            WaitStatus::Stopped(pid, signal) => {
                if self.code.is_some() {
                    self.release(pid, Some(signal));
                } else {
                    let _ = ptrace::syscall(pid, signal);
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        self.known.remove(&pid.as_raw());
        if pid == self.main {
            self.code = Some(code);
            for pid in self.known.keys() {
                let _ = ptrace::interrupt(Pid::from_raw(*pid));
            }
        }
    }

    fn release(&mut self, pid: Pid, signal: Option<Signal>) {
        let _ = ptrace::detach(pid, signal);
        self.known.remove(&pid.as_raw());
    }

    fn at_event(&mut self, pid: Pid, event: i32) {
        if self.code.is_some() {
            return self.release(pid, None);
        }
        let counts = self.known.get(&pid.as_raw()).is_none_or(|process| process.counts);
        match event {
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => {
                if let Ok(new) = ptrace::getevent(pid) {
                    self.appear(Pid::from_raw(i32::try_from(new).unwrap()), counts);
                }
            }
            libc::PTRACE_EVENT_EXEC => {
                let ours = self.runs_runtime(pid);
                if !ours && counts {
                    return self.release(pid, None);
                }
                if let Some(process) = self.known.get_mut(&pid.as_raw()) {
                    process.counts = ours;
                }
            }
            _ => self.appear(pid, counts),
        }
        let _ = ptrace::syscall(pid, None);
    }

    /// Whether the process runs the runtime's file, under whichever mount, or a copy it made in memory.
    fn runs_runtime(&self, pid: Pid) -> bool {
        let exe = format!("/proc/{pid}/exe");
        let copy = fs::read_link(&exe).is_ok_and(|path| path.to_string_lossy().contains("memfd:"));
        copy || fs::metadata(exe).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.program)
    }

    fn at_call(&mut self, pid: Pid) {
        if let (Ok(info), Some(process)) = (ptrace::syscall_info(pid), self.known.get_mut(&pid.as_raw())) {
            match info.op {
                libc::PTRACE_SYSCALL_INFO_ENTRY if process.counts => self.enter(pid),
                libc::PTRACE_SYSCALL_INFO_EXIT => {
                    if let (Some(errno), Ok(mut registers)) = (process.result.take(), ptrace::getregs(pid)) {
                        registers.rax = i64::from(-errno).cast_unsigned();
                        let _ = ptrace::setregs(pid, registers);
                    }
                    if process.kill {
                        let _ = kill(pid, Signal::SIGKILL);
                    }
                }
                _ => {}
            }
        }
        if self.code.is_some() {
            return self.release(pid, None);
        }
        let _ = ptrace::syscall(pid, None);
    }

    fn enter(&mut self, pid: Pid) {
        let (Ok(mut registers), Some(process)) = (ptrace::getregs(pid), self.known.get_mut(&pid.as_raw())) else {
            return;
        };
        let Some(call) = usize::try_from(registers.orig_rax).ok().and_then(Sysno::new) else { return };
        let calls = process.calls.entry(call).or_default();
        let here = Called { process: process.number, nth: *calls, call };
        *calls += 1;
        self.calls.push(here);
        let Some(fault) = self.fault.filter(|fault| fault.at == here) else { return };
        self.hit = Some(call);
        match fault.action {
            Action::Fail(errno) => {
                process.result = Some(errno);
                registers.orig_rax = u64::MAX;
                let _ = ptrace::setregs(pid, registers);
            }
            Action::FailAfter(errno) => process.result = Some(errno),
            Action::KillBefore => {
                let _ = kill(pid, Signal::SIGKILL);
            }
            Action::KillAfter => process.kill = true,
        }
    }
}
