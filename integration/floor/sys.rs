//! System calls, bare.

use core::arch::asm;
use core::ffi::CStr;

use crate::text::Text;

/// System call numbers of x86_64.
pub mod nr {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const OPEN: usize = 2;
    pub const CLOSE: usize = 3;
    pub const IOCTL: usize = 16;
    pub const PAUSE: usize = 34;
    pub const SOCKET: usize = 41;
    pub const CONNECT: usize = 42;
    pub const ACCEPT: usize = 43;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const SOCKETPAIR: usize = 53;
    pub const FORK: usize = 57;
    pub const EXECVE: usize = 59;
    pub const EXIT: usize = 60;
    pub const WAIT4: usize = 61;
    pub const CHDIR: usize = 80;
    pub const MKDIR: usize = 83;
    pub const RMDIR: usize = 84;
    pub const UNLINK: usize = 87;
    pub const SYMLINK: usize = 88;
    pub const UMASK: usize = 95;
    pub const PTRACE: usize = 101;
    pub const SETSID: usize = 112;
    pub const SETGROUPS: usize = 116;
    pub const CAPSET: usize = 126;
    pub const MKNOD: usize = 133;
    pub const PIVOT_ROOT: usize = 155;
    pub const PRCTL: usize = 157;
    pub const MOUNT: usize = 165;
    pub const UMOUNT: usize = 166;
    pub const SETHOSTNAME: usize = 170;
    pub const CLOCK_GETTIME: usize = 228;
    pub const KEYCTL: usize = 250;
    pub const UNSHARE: usize = 272;
    pub const PRLIMIT64: usize = 302;
    pub const SETNS: usize = 308;
    pub const SECCOMP: usize = 317;
    pub const BPF: usize = 321;
    pub const PIDFD_SEND_SIGNAL: usize = 424;
    pub const OPEN_TREE: usize = 428;
    pub const MOVE_MOUNT: usize = 429;
    pub const PIDFD_OPEN: usize = 434;
    pub const CLONE3: usize = 435;
    pub const CLOSE_RANGE: usize = 436;
}

/// One word of an argument list.
pub trait Word {
    fn word(self) -> usize;
}

impl Word for usize {
    fn word(self) -> usize {
        self
    }
}

impl Word for i32 {
    fn word(self) -> usize {
        self as usize
    }
}

impl Word for &CStr {
    fn word(self) -> usize {
        self.as_ptr() as usize
    }
}

impl<T> Word for *const T {
    fn word(self) -> usize {
        self as usize
    }
}

impl<T> Word for *mut T {
    fn word(self) -> usize {
        self as usize
    }
}

/// The errno of a call that failed.
pub type Result = core::result::Result<usize, usize>;

/// Makes a system call with up to six words.
pub fn call(number: usize, words: [usize; 6]) -> Result {
    let [a, b, c, d, e, f] = words;
    let result: isize;
    // SAFETY: the callers of this small program hand over pointers to objects of theirs that outlive the call and are as
    // long as the kernel takes them to be; clone3 is called without a new stack and without shared memory only.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            out("rcx") _, out("r11") _);
    }
    if (-4095..0).contains(&result) { Err(result.unsigned_abs()) } else { Ok(result.unsigned_abs()) }
}

/// `call!(nr::OPEN, path, flags)`: the words that are left out are 0.
#[macro_export]
macro_rules! call {
    ($number:expr $(, $word:expr)* $(,)?) => {{
        let mut words = [0usize; 6];
        let given: &[usize] = &[$($crate::sys::Word::word($word)),*];
        words.iter_mut().zip(given).for_each(|(place, word)| *place = *word);
        $crate::sys::call($number, words)
    }};
}

pub fn exit(code: i32) -> ! {
    loop {
        let _ = call!(nr::EXIT, code);
    }
}

/// The result of a call that has to succeed; else the process ends, naming it.
pub fn must(result: Result, what: &CStr) -> usize {
    match result {
        Ok(value) => value,
        Err(errno) => {
            say(&Text::of(&[c"floor: ", what, c": errno "]).number(errno).and(b"\n"));
            exit(crate::FAILED)
        }
    }
}

/// Writes to standard error.
pub fn say(text: &Text) {
    let _ = call!(nr::WRITE, 2, text.bytes().as_ptr(), text.bytes().len());
}

pub const WRITE_NEW: usize = 0o101;
pub const DIRECTORY: usize = 0o200_000;
pub const CLOEXEC: usize = 0o2_000_000;

/// Opens, writes and closes.
pub fn put(path: &CStr, flags: usize, bytes: &[u8]) -> Result {
    let fd = call!(nr::OPEN, path, flags | CLOEXEC, 0o600)?;
    let written = call!(nr::WRITE, fd, bytes.as_ptr(), bytes.len());
    call!(nr::CLOSE, fd)?;
    written
}

/// Opens, reads once and closes; what was read.
pub fn get<'a>(path: &CStr, into: &'a mut [u8]) -> core::result::Result<&'a [u8], usize> {
    let fd = call!(nr::OPEN, path, CLOEXEC)?;
    let count = call!(nr::READ, fd, into.as_mut_ptr(), into.len());
    call!(nr::CLOSE, fd)?;
    Ok(into.get(..count?).unwrap_or_default())
}
