//! What comes before the compiled filter: system calls newer than any the profile names fail with ENOSYS.
//!
//! A profile that refuses by default would otherwise answer EPERM to calls its author could not know, and programs
//! that probe for a new call and fall back on ENOSYS would break with every kernel update.

use coracle_plan::seccomp::Rule;
use libseccomp::{ScmpArch, ScmpSyscall};

use super::instruction::{ARCH, Instruction, NUMBER, bytes, end, jump_if, load};

/// Marks the system calls of x32, which shares its audit number with x86_64.
pub const X32_BIT: u32 = 1 << 30;

/// `AUDIT_ARCH_*` of linux/audit.h: what the kernel calls an architecture. libseccomp's tokens are these numbers but
/// for x32.
pub fn audit_number(arch: ScmpArch) -> u32 {
    match arch {
        ScmpArch::X8664 | ScmpArch::X32 => 0xc000_003e,
        ScmpArch::X86 => 0x4000_0003,
        ScmpArch::Arm => 0x4000_0028,
        ScmpArch::Aarch64 => 0xc000_00b7,
        ScmpArch::Loongarch64 => 0xc000_0102,
        ScmpArch::M68k => 0x0000_0004,
        ScmpArch::Mips => 0x0000_0008,
        ScmpArch::Mips64 => 0x8000_0008,
        ScmpArch::Mips64N32 => 0xa000_0008,
        ScmpArch::Mipsel => 0x4000_0008,
        ScmpArch::Mipsel64 => 0xc000_0008,
        ScmpArch::Mipsel64N32 => 0xe000_0008,
        ScmpArch::Ppc => 0x0000_0014,
        ScmpArch::Ppc64 => 0x8000_0015,
        ScmpArch::Ppc64Le => 0xc000_0015,
        ScmpArch::S390 => 0x0000_0016,
        ScmpArch::S390X => 0x8000_0016,
        ScmpArch::Parisc => 0x0000_000f,
        ScmpArch::Parisc64 => 0x8000_000f,
        ScmpArch::Riscv64 => 0xc000_00f3,
        ScmpArch::Sh => 0x4000_002a,
        ScmpArch::Sheb => 0x0000_002a,
        // `Native` is resolved by libseccomp; a newer token is none of ours.
        _ => 0,
    }
}

/// The errno of an unknown call.
pub const ENOSYS: u32 = libc::ENOSYS as u32;

fn enosys() -> Instruction {
    end(libc::SECCOMP_RET_ERRNO | ENOSYS)
}

/// Instructions for every one of `architectures` of which `rules` name a system call; what passes them runs on into
/// the filter behind.
pub fn stub(architectures: &[(u32, ScmpArch)], rules: &[Rule]) -> Vec<u8> {
    let mut done = Vec::new();
    let mut code = Vec::new();
    for (audit, arch) in architectures {
        if done.contains(audit) || *arch == ScmpArch::Native {
            continue;
        }
        done.push(*audit);
        code.extend(match arch {
            ScmpArch::X8664 | ScmpArch::X32 => {
                let wanted = |a| architectures.iter().any(|(_, b)| *b == a);
                let last = |a| if wanted(a) { newest(a, rules.iter()) } else { None };
                section_x86_64(last(ScmpArch::X8664), last(ScmpArch::X32))
            }
            _ => newest(*arch, rules.iter()).map_or(Vec::new(), |last| section(*audit, *arch, last)),
        });
    }
    bytes(code).collect()
}

/// The highest number any rule names.
pub fn newest<'r>(arch: ScmpArch, rules: impl Iterator<Item = &'r Rule>) -> Option<u32> {
    let names = rules.flat_map(|rule| &rule.names);
    let numbers = names.filter_map(|name| ScmpSyscall::from_name_by_arch(name, arch).ok());
    numbers.filter_map(|number| u32::try_from(number.as_raw_syscall()).ok()).max().filter(|last| *last > 0)
}

fn section(audit: u32, arch: ScmpArch, last: u32) -> Vec<Instruction> {
    // On s390 call 0 stands for every call whose number the kernel does not know.
    let multiplexed = matches!(arch, ScmpArch::S390 | ScmpArch::S390X);
    let mut test = vec![load(NUMBER)];
    if multiplexed {
        test.push(jump_if(libc::BPF_JEQ, 0, 1, 0));
    }
    test.push(jump_if(libc::BPF_JGT, last, 0, 1));
    test.push(enosys());
    guarded(audit, test)
}

fn section_x86_64(last: Option<u32>, last_x32: Option<u32>) -> Vec<Instruction> {
    // A number no call exceeds leaves them all to the filter.
    let (last, last_x32) = (last.unwrap_or(u32::MAX), last_x32.unwrap_or(u32::MAX));
    let test = vec![
        load(NUMBER),
        jump_if(libc::BPF_JSET, X32_BIT, 1, 0),
        jump_if(libc::BPF_JGT, last, 1, 2),
        jump_if(libc::BPF_JGT, last_x32, 0, 1),
        enosys(),
    ];
    guarded(audit_number(ScmpArch::X8664), test)
}

/// `test`, for one architecture only.
fn guarded(audit: u32, test: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = vec![load(ARCH), jump_if(libc::BPF_JEQ, audit, 0, test.len() as u8)];
    code.extend(test);
    code
}
