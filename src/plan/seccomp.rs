//! `linux.seccomp`, checked and freed of its defaults: what a filter compiler has to know.

use std::path::PathBuf;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Wire, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator, LinuxSyscall,
};

use crate::Result;
use crate::invalid::{Invalid, c_string};

/// What happens to a system call (seccomp(2), SECCOMP_RET_*).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    KillProcess,
    KillThread,
    Trap,
    /// Fail with this errno.
    Errno(u16),
    /// Stop for a tracer with this message; without a tracer fail with ENOSYS.
    Trace(u16),
    /// Ask whoever holds the listener.
    Notify,
    Log,
    Allow,
}

/// A rule: all conditions on the arguments hold, or there are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// JSON pointer to the rule, for messages.
    pub pointer: String,
    pub names: Vec<String>,
    pub action: Action,
    pub conditions: Vec<Condition>,
}

/// A comparison of one argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// 0 to 5.
    pub index: u32,
    pub operator: LinuxSeccompOperator,
    /// What the argument is compared with; the mask of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// What the masked argument is compared with.
    pub masked: u64,
}

/// Who answers for the system calls with [`Action::Notify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// A listening UNIX stream socket.
    pub path: PathBuf,
    /// Passed on as it is.
    pub metadata: Option<String>,
}

/// A seccomp filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    pub default: Action,
    /// Whether system calls newer than the newest one named fail with ENOSYS, so that programs fall back to older
    /// ones: a profile that refuses by default cannot have meant what did not exist when it was written.
    pub unknown_is_enosys: bool,
    pub architectures: Vec<Arch>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u64,
    pub rules: Vec<Rule>,
    /// Whether a name that is no system call's is an error.
    pub strict: bool,
    /// Present exactly when a rule notifies.
    pub listener: Option<Listener>,
}

const TSYNC: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC;
const LOG: u64 = libc::SECCOMP_FILTER_FLAG_LOG;
const SPEC_ALLOW: u64 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
const NEW_LISTENER: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
const TSYNC_ESRCH: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
const WAIT_KILLABLE_RECV: u64 = 1 << 5;
/// The highest error number the kernel returns for a filter (SECCOMP_RET_ERRNO).
const MAX_ERRNO: u32 = 4095;

impl Filter {
    /// Reads `linux.seccomp`; with `strict` all system calls must be known.
    ///
    /// # Errors
    /// A value without meaning: an error number for an action that returns none, a rule without names, an argument
    /// past the sixth, notification without a listener or where it would lock the container up.
    pub fn from_spec(seccomp: &LinuxSeccomp, strict: bool) -> Result<Filter> {
        let default = action(seccomp.default_action(), seccomp.default_errno_ret(), || {
            "/linux/seccomp/defaultErrnoRet".to_owned()
        })?;
        if default == Action::Notify {
            let problem = "SCMP_ACT_NOTIFY cannot be used as default action";
            return Err(Invalid::new("/linux/seccomp/defaultAction", problem));
        }
        let rules = seccomp.syscalls().iter().flatten().enumerate().map(|(i, syscall)| rule(i, syscall));
        let rules: Vec<Rule> = rules.collect::<Result<_>>()?;
        let notifies = rules.iter().any(|rule| rule.action == Action::Notify);
        let permissive = matches!(default, Action::Allow | Action::Log | Action::Trace(_));
        Ok(Filter {
            default,
            unknown_is_enosys: !permissive && default != Action::Errno(libc::ENOSYS as u16),
            architectures: seccomp.architectures().clone().unwrap_or_default(),
            flags: flags(seccomp.flags().as_deref(), notifies),
            strict,
            listener: listener(seccomp, notifies)?,
            rules,
        })
    }
}

fn action(wire: Wire, number: Option<u32>, pointer: impl Fn() -> String) -> Result<Action> {
    let plain = match wire {
        Wire::ScmpActErrno | Wire::ScmpActTrace => {
            let number = number.unwrap_or(libc::EPERM as u32);
            let (limit, action): (u32, fn(u16) -> Action) = match wire {
                Wire::ScmpActErrno => (MAX_ERRNO, Action::Errno),
                _ => (u32::from(u16::MAX), Action::Trace),
            };
            let small = u16::try_from(number).ok().filter(|_| number <= limit);
            return small.map(action).ok_or_else(|| Invalid::new(pointer(), format!("{number} is above {limit}")));
        }
        Wire::ScmpActKill | Wire::ScmpActKillThread => Action::KillThread,
        Wire::ScmpActKillProcess => Action::KillProcess,
        Wire::ScmpActTrap => Action::Trap,
        Wire::ScmpActNotify => Action::Notify,
        Wire::ScmpActLog => Action::Log,
        Wire::ScmpActAllow => Action::Allow,
    };
    match number {
        None => Ok(plain),
        Some(_) => Err(Invalid::new(pointer(), format!("{wire} returns no error number"))),
    }
}

fn rule(i: usize, syscall: &LinuxSyscall) -> Result<Rule> {
    let pointer = format!("/linux/seccomp/syscalls/{i}");
    let action = action(syscall.action(), syscall.errno_ret(), || format!("{pointer}/errnoRet"))?;
    let names = syscall.names().clone();
    if names.is_empty() {
        return Err(Invalid::new(format!("{pointer}/names"), "must name a system call"));
    }
    for (n, name) in names.iter().enumerate() {
        let at = format!("{pointer}/names/{n}");
        if name.is_empty() {
            return Err(Invalid::new(at, "is empty"));
        }
        // The process says to its parent by write-like calls that it is ready; whoever is to answer for them gets
        // the listener only after that.
        if action == Action::Notify && name == "write" {
            return Err(Invalid::new(at, "SCMP_ACT_NOTIFY cannot be used for the write syscall"));
        }
        c_string(&at, name.as_str())?;
    }
    let conditions = syscall.args().iter().flatten().enumerate();
    let conditions = conditions.map(|(n, arg)| condition(&format!("{pointer}/args/{n}"), arg));
    Ok(Rule { conditions: conditions.collect::<Result<_>>()?, pointer, names, action })
}

fn condition(pointer: &str, arg: &LinuxSeccompArg) -> Result<Condition> {
    let index = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
    let index = index.ok_or_else(|| Invalid::new(format!("{pointer}/index"), "a system call has arguments 0 to 5"))?;
    Ok(Condition { index, operator: arg.op(), value: arg.value(), masked: arg.value_two().unwrap_or(0) })
}

/// Without `flags` the mitigation of speculative store bypass is left off, which is the kernel's own default since
/// 5.16; an empty list asks for it.
fn flags(list: Option<&[Flag]>, notifies: bool) -> u64 {
    let bit = |flag: &Flag| match flag {
        Flag::SeccompFilterFlagTsync if notifies => TSYNC | TSYNC_ESRCH,
        Flag::SeccompFilterFlagTsync => TSYNC,
        Flag::SeccompFilterFlagLog => LOG,
        Flag::SeccompFilterFlagSpecAllow => SPEC_ALLOW,
        // It is about waiting for a listener; without one the kernel refuses it.
        Flag::SeccompFilterFlagWaitKillableRecv if notifies => WAIT_KILLABLE_RECV,
        Flag::SeccompFilterFlagWaitKillableRecv => 0,
    };
    let asked = list.map_or(SPEC_ALLOW, |list| list.iter().map(bit).fold(0, |all, bit| all | bit));
    asked | if notifies { NEW_LISTENER } else { 0 }
}

fn listener(seccomp: &LinuxSeccomp, notifies: bool) -> Result<Option<Listener>> {
    let path = seccomp.listener_path().clone().filter(|path| !path.as_os_str().is_empty());
    let metadata = seccomp.listener_metadata().clone().filter(|text| !text.is_empty());
    match (path, notifies) {
        (None, _) if metadata.is_some() => {
            Err(Invalid::new("/linux/seccomp/listenerMetadata", "is set without listenerPath"))
        }
        (None, true) => Err(Invalid::new("/linux/seccomp/listenerPath", "is needed for SCMP_ACT_NOTIFY")),
        (Some(path), true) => Ok(Some(Listener { path, metadata })),
        (_, false) => Ok(None),
    }
}
