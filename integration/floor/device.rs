//! The devices a container may use, as runtimes allow them by default.

use core::ffi::CStr;

use crate::call;
use crate::sys::{must, nr, put};

/// Type (BPF_DEVCG_DEV_*), major, minor; all may be read, written and made.
const ALLOWED: [(i32, i32, i32); 8] =
    [(2, 1, 3), (2, 1, 5), (2, 1, 7), (2, 1, 8), (2, 1, 9), (2, 5, 0), (2, 5, 2), (2, 5, 1)];

/// The same for devices.allow of cgroup v1, and that any device may be made.
const LINES: [&[u8]; 10] = [
    b"c *:* m",
    b"b *:* m",
    b"c 1:3 rwm",
    b"c 1:5 rwm",
    b"c 1:7 rwm",
    b"c 1:8 rwm",
    b"c 1:9 rwm",
    b"c 5:0 rwm",
    b"c 5:2 rwm",
    b"c 136:* rwm",
];

/// An instruction of eBPF: operation, registers, distance of the jump, operand.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction(u8, u8, i16, i32);

const LOAD: u8 = 0x61;
const AND: u8 = 0x54;
const SET: u8 = 0xb4;
const JUMP_UNLESS: u8 = 0x56;
const EXIT: u8 = 0x95;

/// Three loads, a mask, five for each device, two at the end.
const LENGTH: usize = 4 + ALLOWED.len() * 5 + 2;

const fn program() -> [Instruction; LENGTH] {
    let mut code = [Instruction(EXIT, 0, 0, 0); LENGTH];
    code[0] = Instruction(LOAD, 0x12, 0, 0);
    code[1] = Instruction(LOAD, 0x13, 4, 0);
    code[2] = Instruction(LOAD, 0x14, 8, 0);
    code[3] = Instruction(AND, 2, 0, 0xffff);
    let mut device = 0;
    while device < ALLOWED.len() {
        let (kind, major, minor) = ALLOWED[device];
        let at = 4 + device * 5;
        code[at] = Instruction(JUMP_UNLESS, 2, 4, kind);
        code[at + 1] = Instruction(JUMP_UNLESS, 3, 3, major);
        code[at + 2] = Instruction(JUMP_UNLESS, 4, 2, minor);
        code[at + 3] = Instruction(SET, 0, 0, 1);
        device += 1;
    }
    code[LENGTH - 2] = Instruction(SET, 0, 0, 0);
    code
}

static PROGRAM: [Instruction; LENGTH] = program();

/// Attaches the program to the cgroup v2 of `dir`.
pub fn attach(dir: usize) {
    const LOAD_PROGRAM: usize = 5;
    const ATTACH: usize = 8;
    let mut load = [0u64; 16];
    load[0] = 15 | (LENGTH as u64) << 32;
    load[1] = PROGRAM.as_ptr() as u64;
    load[2] = c"GPL".as_ptr() as u64;
    let program = must(call!(nr::BPF, LOAD_PROGRAM, load.as_ptr(), 48usize), c"load the device program");
    let attach = [dir as u64 | (program as u64) << 32, 6 | 2 << 32, 0, 0];
    must(call!(nr::BPF, ATTACH, attach.as_ptr(), 20usize), c"attach the device program");
    let _ = call!(nr::CLOSE, program);
}

/// Writes the list into two files of cgroup v1.
pub fn list(deny: &CStr, allow: &CStr) {
    must(put(deny, 1, b"a"), c"deny devices");
    let fd = must(call!(nr::OPEN, allow, 1), c"open devices.allow");
    for line in LINES {
        must(call!(nr::WRITE, fd, line.as_ptr(), line.len()), c"allow a device");
    }
    let _ = call!(nr::CLOSE, fd);
}
