//! What running a program takes: clock, processor, memory, as wait4(2) has it. This program is small, so nothing of its
//! own is in the figures.

use crate::call;
use crate::entry::Arguments;
use crate::sys::{exit, must, nr, say};
use crate::text::Text;

/// struct rusage: two times of seconds and microseconds, then fourteen numbers.
type Usage = [usize; 18];

fn now() -> usize {
    const MONOTONIC: usize = 1;
    let mut time = [0usize; 2];
    must(call!(nr::CLOCK_GETTIME, MONOTONIC, time.as_mut_ptr()), c"read the clock");
    time[0] * 1_000_000_000 + time[1]
}

/// Runs the program of the words from `first` on, and says: nanoseconds it took, microseconds of the processor for it and
/// for the kernel, page faults, voluntary and other context switches, peak of resident memory in KiB, wait status.
pub fn measure(args: &Arguments, first: usize) -> i32 {
    let Some(path) = args.get(first) else { return crate::FAILED };
    let begin = now();
    let child = must(call!(nr::FORK), c"fork");
    if child == 0 {
        must(call!(nr::EXECVE, path, args.from(first), args.environment()), c"execute the program");
        exit(crate::FAILED);
    }
    let (mut status, mut usage): (i32, Usage) = (0, [0; 18]);
    must(call!(nr::WAIT4, child, &raw mut status, 0, usage.as_mut_ptr()), c"wait");
    let took = now() - begin;
    let [user_s, user_us, sys_s, sys_us, peak, _, _, _, minor, major, _, _, _, _, _, _, waits, preempted] = usage;
    let words = [
        took,
        user_s * 1_000_000 + user_us,
        sys_s * 1_000_000 + sys_us,
        minor + major,
        waits,
        preempted,
        peak,
        status as usize,
    ];
    let text = words.iter().fold(Text::new(), |text, word| text.number(*word).and(b" "));
    say(&text.and(b"\n"));
    i32::from(status != 0)
}
