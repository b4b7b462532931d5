//! Access to devices: rules as a BPF program on the cgroup.

use std::os::fd::AsFd;

use coracle_sys::bpf::{self, Insn};
use nix::errno::Errno;

use crate::device::{Rule, effective};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::layout::lacks_privilege;

/// More programs than this on one cgroup are somebody else's business.
const PROGRAMS: usize = 64;

/// Makes `rules` hold for `dir`, in the place of those that a program there stood for until now.
pub(super) fn apply(dir: &Dir, rules: &[Rule]) -> Result<()> {
    let (base, rest) = effective(rules);
    match replace(dir, (!base || !rest.is_empty()).then(|| assemble(base, rest)).as_deref()) {
        // Without the privilege there are no device nodes to be made either: the kernel denies mknod.
        Err(error) if error.is_permission() && lacks_privilege() => Ok(()),
        done => done,
    }
}

fn replace(dir: &Dir, program: Option<&[Insn]>) -> Result<()> {
    let mut ids = [0; PROGRAMS];
    let (n, flags) = bpf::query_device(dir.as_fd(), &mut ids).map_err(|e| dir.failed("query device programs of", e))?;
    let old = ids[..n]
        .iter()
        .map(|&id| bpf::program_by_id(id))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| dir.failed("open device programs of", e))?;
    let mut obsolete = old.as_slice();
    if let Some(program) = program {
        let program = load(program)?;
        // A single program is exchanged; of several, some other party's or from before, none may stay but ours.
        let single = match old.as_slice() {
            [single] if flags & bpf::ALLOW_MULTI != 0 => Some(single.as_fd()),
            _ => None,
        };
        bpf::attach_device(dir.as_fd(), program.as_fd(), single)
            .map_err(|e| dir.failed("attach device program to", e))?;
        if single.is_some() {
            obsolete = &[];
        }
    }
    for program in obsolete {
        bpf::detach_device(dir.as_fd(), program.as_fd()).map_err(|e| dir.failed("detach device program from", e))?;
    }
    Ok(())
}

/// Loads `program`, and once more for the verifier's reasons if it is refused.
fn load(program: &[Insn]) -> Result<std::os::fd::OwnedFd> {
    let errno = match bpf::load_device(program, &mut []) {
        Ok(program) => return Ok(program),
        Err(errno) => errno,
    };
    let mut log = vec![0; 1 << 16];
    if matches!(errno, Errno::EINVAL | Errno::EACCES) && bpf::load_device(program, &mut log).is_err() {
        let text = String::from_utf8_lossy(&log);
        let text = text.split('\0').next().unwrap_or_default().trim();
        if !text.is_empty() {
            return Err(Error::kernel(format!("load device program ({text})"), errno));
        }
    }
    Err(Error::kernel("load device program", errno))
}

// Registers of the program.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
/// The kinds of access that no rule has decided on so far.
const OPEN: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Operations (linux/bpf.h): class, operand, operation.
const LOAD_U32: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_IF_NOT: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

const fn insn(code: u8, to: u8, off: i16, imm: i32) -> Insn {
    Insn { code, regs: to, off, imm }
}

const fn load_context(to: u8, off: i16) -> Insn {
    Insn { code: LOAD_U32, regs: to | CONTEXT << 4, off, imm: 0 }
}

/// The program for `rules`, with `base` for what none of them is about.
///
/// The last rule about a kind of access decides on it, so the rules come in reverse: an allowing one takes its kinds
/// off what is open, and a denying one ends it if its kinds are among them.
fn assemble(base: bool, rules: &[Rule]) -> Vec<Insn> {
    let mut program = vec![
        // struct bpf_cgroup_dev_ctx: kind and access in one word, major, minor.
        load_context(OPEN, 0),
        load_context(MAJOR, 4),
        load_context(MINOR, 8),
        Insn { code: MOVE_REGISTER, regs: KIND | OPEN << 4, off: 0, imm: 0 },
        insn(AND, KIND, 0, 0xffff),
        insn(SHIFT_RIGHT, OPEN, 0, 16),
    ];
    for rule in rules.iter().rev() {
        let access = i32::from(rule.access);
        let decision: &[Insn] = if rule.allow {
            &[insn(AND, OPEN, 0, !access)]
        } else {
            &[insn(JUMP_IF_ANY, OPEN, 1, access), insn(JUMP, 0, 2, 0), insn(MOVE, RESULT, 0, 0), insn(EXIT, 0, 0, 0)]
        };
        let conditions = [(KIND, rule.kind.map(|kind| kind as u32)), (MAJOR, rule.major), (MINOR, rule.minor)];
        let mut left = conditions.iter().filter(|(_, value)| value.is_some()).count() + decision.len();
        for (register, value) in conditions {
            let Some(value) = value else { continue };
            left -= 1;
            // At most six instructions to pass over.
            program.push(insn(JUMP_IF_NOT, register, left as i16, value.cast_signed()));
        }
        program.extend(decision);
    }
    if !base {
        program.extend([insn(MOVE, RESULT, 0, 0), insn(JUMP_IF_NOT, OPEN, 1, 0)]);
    }
    program.extend([insn(MOVE, RESULT, 0, 1), insn(EXIT, 0, 0, 0)]);
    program
}

#[cfg(any(test, fuzzing))]
mod interpreter;
#[cfg(fuzzing)]
pub use interpreter::check_device_program;

#[cfg(test)]
mod tests {
    use super::interpreter::interpret;
    use super::*;
    use crate::device::{ALL, Kind, allowed, random, rules};

    #[test]
    fn programs_answer_as_the_rules_do() {
        let mut random = random::Random::new(7);
        for _ in 0..2000 {
            let rules = random.rules();
            let (base, rest) = effective(&rules);
            let program = assemble(base, rest);
            for (kind, major, minor, access) in random::accesses() {
                assert_eq!(
                    interpret(&program, kind, major, minor, access),
                    allowed(&rules, kind, major, minor, access),
                    "{rules:?}: {kind:?} {major}:{minor} {access}"
                );
            }
        }
    }

    #[test]
    fn programs_with_one_rule_flipped_do_not() {
        let list = r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]"#;
        let rules = rules(&serde_json::from_str::<Vec<_>>(list).unwrap()).unwrap();
        let (base, rest) = effective(&rules);
        assert_eq!(rest.len(), 12);
        for (at, rule) in rest.iter().enumerate() {
            let mut flipped = rest.to_vec();
            flipped[at].allow = !rule.allow;
            let kind = rule.kind.unwrap_or(Kind::Char);
            let (major, minor) = (rule.major.unwrap_or(77), rule.minor.unwrap_or(77));
            let answer = interpret(&assemble(base, &flipped), kind, major, minor, rule.access);
            assert_ne!(answer, allowed(&rules, kind, major, minor, rule.access), "{rule:?}");
        }
    }

    #[test]
    fn default_rules_make_a_short_program() {
        let deny_all = serde_json::from_str(r#"[{"allow": false, "access": "rwm"}]"#).unwrap();
        let rules = rules(&deny_all as &Vec<_>).unwrap();
        let (base, rest) = effective(&rules);
        assert!(!base);
        assert_eq!(assemble(base, rest).len(), 49);
    }

    #[test]
    fn everything_allowed_needs_no_program() {
        let list: Vec<_> = serde_json::from_str(r#"[{"allow": true, "access": "rwm"}]"#).unwrap();
        assert_eq!(effective(&rules(&list).unwrap()), (true, &[][..]));
        assert_eq!(ALL, 7);
    }
}
