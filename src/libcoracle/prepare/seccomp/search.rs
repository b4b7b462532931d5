//! A filter as a binary search over the numbers of system calls.
//!
//! libseccomp takes milliseconds to compile a container engine's default profile, nearly all of which is calls named
//! without conditions: ranges of numbers with one answer each. Its programs are also twice as long, and where several
//! conditions meet on a call it loses some. What rules mean here: one without conditions holds, the first of several;
//! else the first one whose conditions hold.

use std::collections::BTreeMap;

use coracle_plan::seccomp::{Action, Condition, Filter};
use libseccomp::{ScmpArch, ScmpSyscall};
use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::Call;
use super::condition::check;
use super::enosys::{ENOSYS, X32_BIT, newest};
use super::instruction::{ARCH, Instruction, NUMBER, end, jump, jump_if, load};

/// Architectures of this byte order where a name is one number and a number one name, but for the calls of x86 below.
const TAKEN: [ScmpArch; 7] = [
    ScmpArch::X8664,
    ScmpArch::X86,
    ScmpArch::X32,
    ScmpArch::Aarch64,
    ScmpArch::Arm,
    ScmpArch::Riscv64,
    ScmpArch::Loongarch64,
];

/// The numbers of x86 (syscall_32.tbl) for calls that are also made through socketcall(2) and ipc(2). libseccomp's
/// number for these is 100 or 200 and what they are in there, below zero.
const DIRECT: &str = "socket:359 socketpair:360 bind:361 connect:362 listen:363 accept4:364 getsockopt:365 setsockopt:366 \
    getsockname:367 getpeername:368 sendto:369 sendmsg:370 sendmmsg:345 recvfrom:371 recvmsg:372 recvmmsg:337 \
    shutdown:373 semget:393 semctl:394 shmget:395 shmctl:396 shmat:397 shmdt:398 msgget:399 msgsnd:400 msgrcv:401 \
    msgctl:402";
const SOCKETCALL: u32 = 102;
const IPC: u32 = 117;

/// What happens to a system call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Return(u32),
    /// It depends on arguments, and these instructions look at them.
    Look(Vec<Instruction>),
}

/// The verdict for every number: that of a key holds up to the next one. Key 0 is always there.
struct Ranges(BTreeMap<u32, Verdict>);

impl Ranges {
    fn set(&mut self, first: u32, last: u32, verdict: Verdict) {
        let until = |number| self.0.range(..=number).next_back().map(|(_, verdict)| verdict.clone());
        if let Some((after, old)) = last.checked_add(1).and_then(|after| Some((after, until(after)?))) {
            self.0.insert(after, old);
        }
        let inside: Vec<u32> = self.0.range(first..=last).map(|(number, _)| *number).collect();
        inside.iter().for_each(|number| drop(self.0.remove(number)));
        self.0.insert(first, verdict);
    }

    /// Without those that go on as the one before.
    fn merged(self) -> Vec<(u32, Verdict)> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.dedup_by(|(_, next), (_, verdict)| next == verdict);
        all
    }
}

/// The program for `filter`, whose rules are `calls`; `None` when one of `architectures` is not taken here.
pub fn search(architectures: &[(u32, ScmpArch)], filter: &Filter, calls: &[Call<'_>]) -> Option<Vec<Instruction>> {
    if cfg!(target_endian = "big") || architectures.iter().any(|(_, arch)| !TAKEN.contains(arch)) {
        return None;
    }
    let mut code = vec![load(ARCH)];
    for (at, (audit, _)) in architectures.iter().enumerate() {
        let same = |(other, _): &&(u32, ScmpArch)| other == audit;
        if architectures.iter().take(at).any(|one| same(&one)) {
            continue;
        }
        let same: Vec<ScmpArch> = architectures.iter().filter(same).map(|(_, arch)| *arch).collect();
        let mut block = vec![load(NUMBER)];
        descend(&ranges(filter, calls, &same).merged(), &mut block);
        code.extend([jump_if(libc::BPF_JEQ, *audit, 1, 0), jump(block.len() as u32)]);
        code.extend(block);
    }
    code.push(end(libc::SECCOMP_RET_KILL_THREAD));
    Some(code)
}

/// Halves `ranges` until one is left.
fn descend(ranges: &[(u32, Verdict)], code: &mut Vec<Instruction>) {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    match (low, high) {
        ([], [(_, Verdict::Return(value))]) => code.push(end(*value)),
        ([], [(_, Verdict::Look(look))]) => code.extend(look),
        (low, [(first, _), ..]) => {
            let mut lower = Vec::new();
            descend(low, &mut lower);
            match u8::try_from(lower.len()) {
                Ok(near) => code.push(jump_if(libc::BPF_JGE, *first, near, 0)),
                Err(_) => code.extend([jump_if(libc::BPF_JGE, *first, 0, 1), jump(lower.len() as u32)]),
            }
            code.extend(lower);
            descend(high, code);
        }
        (_, []) => {}
    }
}

/// The ranges of `architectures`, which have one audit number: a single one, or x86_64 and x32.
fn ranges(filter: &Filter, calls: &[Call<'_>], architectures: &[ScmpArch]) -> Ranges {
    let mut ranges = Ranges(BTreeMap::from([(0, Verdict::Return(value(filter.default)))]));
    if architectures == [ScmpArch::X8664] {
        // A call of another architecture; but -1 is one that a tracer wants to be passed over (seccomp(2)).
        ranges.set(X32_BIT, u32::MAX - 1, Verdict::Return(libc::SECCOMP_RET_KILL_THREAD));
    }
    for arch in architectures {
        let verdicts = verdicts(filter, calls, *arch);
        // Rules with the default action are not among the calls, but what they name is known.
        let silent = newest(*arch, filter.rules.iter().filter(|rule| rule.action == filter.default));
        let last = silent.max(verdicts.keys().next_back().copied()).filter(|_| filter.unknown_is_enosys);
        let unknown = last.iter().flat_map(|last| match arch {
            ScmpArch::X8664 => vec![(last + 1, X32_BIT - 1), (2 * X32_BIT, 3 * X32_BIT - 1)],
            ScmpArch::X32 => vec![(last + 1, 2 * X32_BIT - 1), (3 * X32_BIT, u32::MAX)],
            _ => vec![(last + 1, u32::MAX)],
        });
        for (first, last) in unknown {
            ranges.set(first, last, Verdict::Return(libc::SECCOMP_RET_ERRNO | ENOSYS));
        }
        for (number, verdict) in verdicts {
            ranges.set(number, number, verdict);
        }
    }
    ranges
}

/// The verdicts for the numbers that are named.
fn verdicts(filter: &Filter, calls: &[Call<'_>], arch: ScmpArch) -> BTreeMap<u32, Verdict> {
    let narrow = matches!(arch, ScmpArch::X86 | ScmpArch::X32 | ScmpArch::Arm);
    // Of arguments of 32 bits the upper half is not looked at.
    let seen = if narrow { u64::from(u32::MAX) } else { u64::MAX };
    let empty = |one: &Condition| one.operator == Operator::ScmpCmpMaskedEq && one.value & seen == 0;
    let mut rules: BTreeMap<u32, Vec<(Vec<Condition>, u32)>> = BTreeMap::new();
    for call in calls {
        for (number, inside) in numbers(call.name, arch) {
            let mut conditions = call.conditions.to_vec();
            conditions.retain(|one| !empty(one));
            if let Some(value) = inside {
                conditions.retain(|one| one.index != 0);
                let operator = Operator::ScmpCmpEq;
                conditions.insert(0, Condition { index: 0, operator, value: value.into(), masked: 0 });
            }
            rules.entry(number).or_default().push((conditions, value(call.rule.action)));
        }
    }
    let verdict = |rules: Vec<(Vec<Condition>, u32)>| {
        if let Some((_, value)) = rules.iter().find(|(conditions, _)| conditions.is_empty()) {
            return Verdict::Return(*value);
        }
        let mut look: Vec<Instruction> = rules.iter().flat_map(|(all, value)| rule(all, *value, narrow)).collect();
        look.push(end(value(filter.default)));
        Verdict::Look(look)
    };
    rules.into_iter().map(|(number, rules)| (number, verdict(rules))).collect()
}

/// Returns `value` if all `conditions` hold, and else runs on behind.
fn rule(conditions: &[Condition], value: u32, narrow: bool) -> Vec<Instruction> {
    let mut code = vec![end(value)];
    for one in conditions.iter().rev() {
        let mut checked = check(one, narrow, code.len() as u8);
        checked.append(&mut code);
        code = checked;
    }
    code
}

/// The numbers of a call; of one that is made through another, also the other's, with the first argument it has then.
fn numbers(name: &str, arch: ScmpArch) -> Vec<(u32, Option<u32>)> {
    let Ok(number) = ScmpSyscall::from_name_by_arch(name, arch) else { return Vec::new() };
    let through = match number.as_raw_syscall() {
        number @ 0.. => return vec![(number as u32, None)],
        number @ -120..=-101 => (SOCKETCALL, Some(number.unsigned_abs() - 100)),
        number @ -224..=-201 => (IPC, Some(number.unsigned_abs() - 200)),
        // A call of other architectures.
        _ => return Vec::new(),
    };
    if arch != ScmpArch::X86 {
        return Vec::new();
    }
    let direct = DIRECT.split_ascii_whitespace().filter_map(|entry| entry.split_once(':'));
    let direct = direct.filter(|(other, _)| *other == name).filter_map(|(_, number)| number.parse().ok());
    direct.map(|number| (number, None)).chain([through]).collect()
}

/// The `SECCOMP_RET_*` of an action, with its data.
pub fn value(action: Action) -> u32 {
    match action {
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Errno(number) => libc::SECCOMP_RET_ERRNO | u32::from(number),
        Action::Trace(message) => libc::SECCOMP_RET_TRACE | u32::from(message),
        Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Allow => libc::SECCOMP_RET_ALLOW,
    }
}
