//! Runs programs for devices as the kernel does, for tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panic")]

use super::*;
use crate::device::Kind;

/// What the kernel would answer: the few operations that the assembler uses, on 32-bit halves.
pub fn interpret(program: &[Insn], kind: Kind, major: u32, minor: u32, access: u8) -> bool {
    let context = [u32::from(access) << 16 | kind as u32, major, minor];
    let mut registers = [0xdead_beef_u32; 11];
    let mut at = 0;
    loop {
        let Insn { code, regs, off, imm } = program[at];
        let (to, from) = (usize::from(regs & 15), usize::from(regs >> 4));
        let value = imm.cast_unsigned();
        at += 1;
        let jump = match code {
            LOAD_U32 => {
                assert_eq!(from, usize::from(CONTEXT));
                registers[to] = context[usize::try_from(off / 4).unwrap()];
                false
            }
            AND => {
                registers[to] &= value;
                false
            }
            SHIFT_RIGHT => {
                registers[to] >>= value;
                false
            }
            MOVE => {
                registers[to] = value;
                false
            }
            MOVE_REGISTER => {
                registers[to] = registers[from];
                false
            }
            JUMP_IF_NOT => registers[to] != value,
            JUMP_IF_ANY => registers[to] & value != 0,
            JUMP => true,
            EXIT => return registers[0] == 1,
            _ => panic!("unknown operation {code:#x}"),
        };
        if jump {
            at += usize::try_from(off).unwrap();
        }
    }
}

/// Fails when the program for `list` lets a process do another thing to one of these devices, by their numbers, than the
/// rules in `meant` let it.
#[cfg(fuzzing)]
pub fn check_device_program(
    list: &[oci_spec::runtime::LinuxDeviceCgroup],
    meant: &[oci_spec::runtime::LinuxDeviceCgroup],
    devices: &[(u32, u32)],
) {
    let (Ok(rules), Ok(meant)) = (crate::device::rules(list), crate::device::rules(meant)) else { return };
    let (base, rest) = effective(&rules);
    let program = assemble(base, rest);
    for &(major, minor) in devices {
        for (kind, access) in
            [Kind::Block, Kind::Char].into_iter().flat_map(|kind| (0..8).map(move |access| (kind, access)))
        {
            let answer = interpret(&program, kind, major, minor, access);
            let allowed = crate::device::allowed(&meant, kind, major, minor, access);
            assert_eq!(answer, allowed, "{meant:?}: {kind:?} {major}:{minor} {access}");
        }
    }
}
