//! A comparison of an argument, in words of 32 bits: a filter loads no more at once.

use coracle_plan::seccomp::Condition;
use oci_spec::runtime::LinuxSeccompOperator as Operator;

use super::instruction::{Instruction, and, argument, jump_if, load};

/// Runs on behind if `condition` holds, and passes over `rest` more instructions if not. The upper half of a `narrow`
/// argument is not looked at.
pub fn check(condition: &Condition, narrow: bool, rest: u8) -> Vec<Instruction> {
    let (test, negated) = match condition.operator {
        Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => (libc::BPF_JEQ, false),
        Operator::ScmpCmpNe => (libc::BPF_JEQ, true),
        Operator::ScmpCmpGt => (libc::BPF_JGT, false),
        Operator::ScmpCmpLe => (libc::BPF_JGT, true),
        Operator::ScmpCmpGe => (libc::BPF_JGE, false),
        Operator::ScmpCmpLt => (libc::BPF_JGE, true),
    };
    let (mask, value) = match condition.operator {
        Operator::ScmpCmpMaskedEq => (condition.value, condition.masked & condition.value),
        _ => (u64::MAX, condition.value),
    };
    let masked = |upper| {
        let mask = if upper { (mask >> 32) as u32 } else { mask as u32 };
        let word = load(argument(condition.index, upper));
        if mask == u32::MAX { vec![word] } else { vec![word, and(mask)] }
    };
    // How far to jump behind the instruction for the test's being true and false.
    let ways = |behind: u8| if negated { (behind + rest, behind) } else { (behind, behind + rest) };
    let mut lower = masked(false);
    let (yes, no) = ways(0);
    lower.push(jump_if(test, value as u32, yes, no));
    if narrow {
        return lower;
    }
    let (yes, no) = ways(lower.len() as u8);
    let mut code = masked(true);
    if test != libc::BPF_JEQ {
        code.push(jump_if(libc::BPF_JGT, (value >> 32) as u32, yes + 1, 0));
    }
    code.push(jump_if(libc::BPF_JEQ, (value >> 32) as u32, 0, no));
    code.append(&mut lower);
    code
}
