//! What is done before the C library starts, because that is most of the cost: executing the sealed program.
//!
//! The C library asks the processor for its caches and features, dozens of instructions each of which a virtual machine
//! has to emulate: about a millisecond, for every execve. Whoever will execute himself again anyway should not pay for it
//! twice.
//!
//! A program begins here when it is linked with `--entry=coracle_entry`. Neither the C library nor the standard one may be
//! used below: not even thread-local variables are there, nor the functions that copy memory.

use std::ffi::c_char;

// The entry point: the C library finds the words by the stack pointer, and takes rdx for a function to call at the end.
std::arch::global_asm!(
    ".globl coracle_entry",
    "coracle_entry:",
    "mov rdi, rsp",
    "push rdx",
    "sub rsp, 8",
    "call {first}",
    "add rsp, 8",
    "pop rdx",
    "jmp _start",
    first = sym first,
);

/// The verbs that make or enter a container. Another word that is the same costs an execve and nothing else.
const SEALED: [&[u8]; 4] = [b"create", b"exec", b"restore", b"run"];

/// With it the time before counts, so that the program has to tell it to its successor.
const TIMED: &[u8] = b"--timings";

/// `stack` is what the kernel has put there: the count of words, the words and a null pointer, the environment.
extern "C" fn first(stack: *const usize) {
    // SAFETY: as the kernel has it for every program.
    let (count, argv) = unsafe { (*stack, stack.add(1).cast::<*const c_char>()) };
    if must_be_sealed(count, argv) && !is_sealed() {
        // SAFETY: the environment begins behind the null pointer that ends the words.
        seal(argv, unsafe { argv.add(count + 1) });
    }
}

fn must_be_sealed(count: usize, argv: *const *const c_char) -> bool {
    let mut wanted = false;
    let mut index = 1;
    while index < count {
        // SAFETY: there are `count` words.
        let word = unsafe { *argv.add(index) };
        if begins(word, TIMED) {
            return false;
        }
        let mut verb = 0;
        while verb < SEALED.len() {
            wanted |= is(word, SEALED[verb]);
            verb += 1;
        }
        index += 1;
    }
    wanted
}

fn begins(word: *const c_char, with: &[u8]) -> bool {
    let mut index = 0;
    while index < with.len() {
        // SAFETY: the byte 0 at the end differs from every byte of `with`, so nothing behind it is read.
        if unsafe { *word.add(index) } as u8 != with[index] {
            return false;
        }
        index += 1;
    }
    true
}

fn is(word: *const c_char, other: &[u8]) -> bool {
    // SAFETY: the word is at least as long as `other`, so its end is not passed.
    begins(word, other) && unsafe { *word.add(other.len()) } == 0
}

const OWN: &[u8] = b"/proc/self/exe\0";

/// Whether the program looks as `libcoracle::seal` leaves it; that is where it is judged.
fn is_sealed() -> bool {
    let mut link = [0u8; 8];
    let length = syscall(libc::SYS_readlink, [OWN.as_ptr() as usize, link.as_mut_ptr() as usize, link.len(), 0, 0]);
    length <= 0 || length == 1 || link[1] == b'm' && link[2] == b'e' && link[3] == b'm'
}

/// As `libcoracle::seal` does it by a mount. It returns when that is not possible, which is the seal's to deal with.
fn seal(argv: *const *const c_char, envp: *const *const c_char) {
    const EMPTY: &[u8] = b"\0";
    let flags = libc::OPEN_TREE_CLONE as usize | libc::OPEN_TREE_CLOEXEC as usize;
    let tree = syscall(libc::SYS_open_tree, [libc::AT_FDCWD as usize, OWN.as_ptr() as usize, flags, 0, 0]);
    if tree < 0 {
        return;
    }
    let (tree, empty) = (tree as usize, EMPTY.as_ptr() as usize);
    // struct mount_attr: what to set, what to clear, propagation, user namespace.
    let attr = [libc::MOUNT_ATTR_RDONLY, 0, libc::MS_PRIVATE, 0];
    let at = libc::AT_EMPTY_PATH as usize;
    let changed = syscall(libc::SYS_mount_setattr, [tree, empty, at, attr.as_ptr() as usize, size_of_val(&attr)]);
    if changed == 0 {
        syscall(libc::SYS_execveat, [tree, empty, argv as usize, envp as usize, at]);
    }
    syscall(libc::SYS_close, [tree, 0, 0, 0, 0]);
}

fn syscall(number: libc::c_long, words: [usize; 5]) -> isize {
    let [a, b, c, d, e] = words;
    let result: isize;
    // SAFETY: the callers above hand over numbers and pointers to what outlives the call, as long as the call takes it
    // to be; none of the calls writes to memory of Rust's but readlink, to a buffer whose length it is told.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result
}
