//! Runs a program of classic BPF on a system call, as the kernel would run a filter (seccomp(2), linux/filter.h).

/// The answer (`SECCOMP_RET_*`) of `program`, an array of struct sock_filter, for a call of the architecture `arch`
/// (`AUDIT_ARCH_*`). `None` for what no filter may hold.
pub fn answer(program: &[u8], arch: u32, number: u32, args: [u64; 6]) -> Option<u32> {
    let mut data = [0u32; 16];
    data[0] = number;
    data[1] = arch;
    for (i, argument) in args.into_iter().enumerate() {
        data[4 + 2 * i] = argument as u32;
        data[5 + 2 * i] = (argument >> 32) as u32;
    }
    let (mut at, mut loaded) = (0usize, 0u32);
    loop {
        let word = program.get(at * 8..at * 8 + 8)?;
        let code = u16::from_ne_bytes([word[0], word[1]]);
        let (yes, no) = (usize::from(word[2]), usize::from(word[3]));
        let operand = u32::from_ne_bytes([word[4], word[5], word[6], word[7]]);
        let branch = |taken: bool| if taken { yes } else { no };
        at += 1;
        match code {
            // BPF_LD | BPF_W | BPF_ABS
            0x20 if operand % 4 == 0 => loaded = *data.get(operand as usize / 4)?,
            // BPF_ALU | BPF_AND | BPF_K
            0x54 => loaded &= operand,
            // BPF_JMP with JA, JEQ, JGT, JGE, JSET and BPF_K
            0x05 => at += operand as usize,
            0x15 => at += branch(loaded == operand),
            0x25 => at += branch(loaded > operand),
            0x35 => at += branch(loaded >= operand),
            0x45 => at += branch(loaded & operand != 0),
            // BPF_RET | BPF_K
            0x06 => return Some(operand),
            _ => return None,
        }
    }
}
