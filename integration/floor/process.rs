//! What a container's process may do, and becoming it.

use core::ffi::CStr;

use crate::call;
use crate::container::Kind;
use crate::sys::{exit, get, must, nr};
use crate::text::{Text, number};

/// A program of classic BPF takes 8 bytes an instruction and has at most 4096 of them.
const FILTER: usize = 8 * 4096;

/// struct sock_fprog.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const u8,
}

const PR_CAPBSET_DROP: usize = 24;
const PR_SET_NO_NEW_PRIVS: usize = 38;
const LAST_CAPABILITY: usize = 40;
const RLIMIT_NOFILE: usize = 7;

/// Opens the filter, which is a file of the host's, before the root changes.
pub fn open_filter(kind: Kind, dir: &CStr) -> Option<usize> {
    let path = Text::of(&[dir, c"/filter"]);
    (kind == Kind::Docker).then(|| must(call!(nr::OPEN, path.c(), 0), c"open the filter"))
}

/// Gives up what the container may not, as a runtime does it.
pub fn confine(kind: Kind, filter: Option<usize>) {
    let allowed = kind.capabilities();
    for capability in (0..=LAST_CAPABILITY).filter(|number| allowed >> number & 1 == 0) {
        must(call!(nr::PRCTL, PR_CAPBSET_DROP, capability), c"drop a capability");
    }
    if kind == Kind::Spec {
        let limit = [1024u64, 1024];
        must(call!(nr::PRLIMIT64, 0, RLIMIT_NOFILE, limit.as_ptr()), c"limit the open files");
    }
    must(call!(nr::SETGROUPS, 0, 0), c"give up groups");
    if let Some(fd) = filter {
        load(fd);
    }
    let header = [0x2008_0522u32, 0];
    let (low, high) = (allowed as u32, (allowed >> 32) as u32);
    let data = [low, low, 0, high, high, 0];
    must(call!(nr::CAPSET, header.as_ptr(), data.as_ptr()), c"set capabilities");
    if kind == Kind::Spec {
        must(call!(nr::PRCTL, PR_SET_NO_NEW_PRIVS, 1), c"set no_new_privs");
    }
}

fn load(fd: usize) {
    let mut code = [0u8; FILTER];
    let length = must(call!(nr::READ, fd, code.as_mut_ptr(), FILTER), c"read the filter");
    let program = Program { length: (length / 8) as u16, instructions: code.as_ptr() };
    must(call!(nr::SECCOMP, 1, 0, &raw const program), c"load the filter");
}

/// What a container runs: this program itself, which the root filesystem has a copy of.
#[derive(Clone, Copy)]
pub enum Payload {
    /// Ends at once.
    True,
    /// Waits to be killed.
    Pause,
}

/// Becomes the container's program.
pub fn become_payload(payload: Payload) -> ! {
    const CLOSE_ON_EXEC: usize = 4;
    let word = match payload {
        Payload::True => c"true",
        Payload::Pause => c"pause",
    };
    let path = c"/floor";
    let args = [path.as_ptr(), word.as_ptr(), core::ptr::null()];
    let env = [c"PATH=/".as_ptr(), core::ptr::null()];
    let _ = call!(nr::CLOSE_RANGE, 3, usize::MAX >> 32, CLOSE_ON_EXEC);
    must(call!(nr::EXECVE, path, args.as_ptr(), env.as_ptr()), c"execute /floor");
    exit(crate::FAILED)
}

/// The payload that waits.
pub fn pause() -> ! {
    loop {
        let _ = call!(nr::PAUSE);
    }
}

/// Writes the seccomp program of a process to standard output.
pub fn dump_filter(pid: &CStr) -> i32 {
    const SEIZE: usize = 0x4206;
    const INTERRUPT: usize = 0x4207;
    const GET_FILTER: usize = 0x420c;
    let pid = number(pid.to_bytes());
    let mut code = [0u8; FILTER];
    must(call!(nr::PTRACE, SEIZE, pid), c"trace the process");
    must(call!(nr::PTRACE, INTERRUPT, pid), c"stop the process");
    must(call!(nr::WAIT4, pid, 0, 1 << 30), c"wait for the process");
    let length = must(call!(nr::PTRACE, GET_FILTER, pid, 0, code.as_mut_ptr()), c"get the filter");
    must(call!(nr::WRITE, 1, code.as_ptr(), length * 8), c"write the filter");
    0
}

/// The number a file of the state holds.
pub fn recorded(path: &Text) -> usize {
    let mut bytes = [0u8; 32];
    match get(path.c(), &mut bytes) {
        Ok(text) => number(text),
        Err(errno) => must(Err(errno), c"read the state"),
    }
}
