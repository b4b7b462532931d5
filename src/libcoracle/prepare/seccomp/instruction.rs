//! Instructions of classic BPF, as far as filters need them (seccomp(2), linux/filter.h).

/// Offsets in struct seccomp_data.
pub const NUMBER: u32 = 0;
pub const ARCH: u32 = 4;

/// The offset of one half of an argument, on machines of the lower byte first.
pub fn argument(index: u32, upper: bool) -> u32 {
    16 + 8 * index + if upper { 4 } else { 0 }
}

/// struct sock_filter: code, jumps if true and false, operand.
pub type Instruction = (u16, u8, u8, u32);

/// Loads the word at `offset` of struct seccomp_data.
pub fn load(offset: u32) -> Instruction {
    ((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, offset)
}

/// Leaves only the bits of `mask` in what is loaded.
pub fn and(mask: u32) -> Instruction {
    ((libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16, 0, 0, mask)
}

/// Compares what is loaded (`test` is a `BPF_J*`) and passes over `yes` or `no` instructions.
pub fn jump_if(test: u32, operand: u32, yes: u8, no: u8) -> Instruction {
    ((libc::BPF_JMP | test | libc::BPF_K) as u16, yes, no, operand)
}

/// Passes over `count` instructions.
pub fn jump(count: u32) -> Instruction {
    ((libc::BPF_JMP | libc::BPF_JA) as u16, 0, 0, count)
}

/// Ends the program with a `SECCOMP_RET_*`.
pub fn end(value: u32) -> Instruction {
    ((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, value)
}

/// As the kernel reads them.
pub fn bytes(code: Vec<Instruction>) -> impl Iterator<Item = u8> {
    code.into_iter().flat_map(|(code, yes, no, operand)| {
        let ([a, b], [c, d, e, f]) = (code.to_ne_bytes(), operand.to_ne_bytes());
        [a, b, yes, no, c, d, e, f]
    })
}
