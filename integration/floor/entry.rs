//! What a C library would bring: the entry point, and the functions the compiler takes for granted.

use core::arch::{asm, naked_asm};
use core::ffi::{CStr, c_char};

use crate::sys;

/// The words of the command line.
pub struct Arguments {
    words: *const *const c_char,
    count: usize,
}

impl Arguments {
    /// The word at `index`, 0 being the program's name.
    pub fn get(&self, index: usize) -> Option<&'static CStr> {
        if index >= self.count {
            return None;
        }
        // SAFETY: the kernel has put `count` pointers to strings there, which stay for the whole life of the process.
        Some(unsafe { CStr::from_ptr(*self.words.add(index)) })
    }

    /// The words from `index` on as execve(2) wants them, with the null pointer behind them.
    pub fn from(&self, index: usize) -> *const *const c_char {
        // SAFETY: at most at the null pointer behind the last word.
        unsafe { self.words.add(index.min(self.count)) }
    }

    /// The environment as execve(2) wants it.
    pub fn environment(&self) -> *const *const c_char {
        // SAFETY: it begins behind the null pointer that ends the words.
        unsafe { self.words.add(self.count + 1) }
    }
}

/// Where the kernel begins; the stack holds the count of words, then the words.
///
/// # Safety
/// Only the kernel may come here.
// SAFETY: the one symbol of this name, as the program is linked without any other start-up code.
#[unsafe(no_mangle)]
#[unsafe(naked)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov rdi, rsp", "and rsp, -16", "call {begin}", begin = sym begin)
}

extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel has put the count there, and the words behind it.
    let (count, words) = unsafe { (*stack, stack.add(1).cast()) };
    sys::exit(crate::main(&Arguments { words, count }))
}

#[cfg_attr(not(test), panic_handler)]
#[cfg_attr(test, expect(dead_code, reason = "the standard library has one"))]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(101)
}

/// # Safety
/// As in C.
// SAFETY: as C has it; nothing else of the program defines the symbol.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges.
    unsafe { asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _) };
    to
}

/// # Safety
/// As in C.
// SAFETY: as C has it; nothing else of the program defines the symbol.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range.
    unsafe { asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8) };
    to
}

/// # Safety
/// As in C.
// SAFETY: as C has it; nothing else of the program defines the symbol.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const c_char) -> usize {
    let mut count = 0;
    // SAFETY: the caller vouches for the byte 0 at the end.
    while unsafe { text.add(count).read_volatile() } != 0 {
        count += 1;
    }
    count
}

/// The precompiled core library names it; nothing is unwound here.
// SAFETY: nothing else of the program defines the symbol, and nobody calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
