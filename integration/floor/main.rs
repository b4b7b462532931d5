//! The floor below every runtime: the system calls a container takes, with everything worked out beforehand. What it
//! costs is what the kernel costs, so a runtime's times are told as multiples of this program's.
//!
//! It reads no configuration: the two it knows, that of `runc spec` and Docker's default, are written down in
//! `container.rs`. It checks nothing either, and is no runtime.
//!
//! ```text
//! floor run|create spec|docker DIR ID      DIR/rootfs is the root, DIR/filter Docker's seccomp program
//! floor exec spec|docker DIR ID            DIR/rootfs has the program as /floor, and runs `/floor true`
//! floor start|state|kill|delete DIR ID
//! floor true|pause                         what the container runs
//! floor filter PID                         the seccomp program of a process, to standard output
//! floor measure PROGRAM ARGUMENT…          runs it; the last line on standard error is what it took
//! ```

#![cfg_attr(not(test), no_std)]
#![no_main]

mod cgroup;
mod container;
mod device;
mod entry;
mod measure;
mod process;
mod sys;
mod text;
mod verbs;

use container::Kind;
use entry::Arguments;

/// The exit code for everything that fails.
const FAILED: i32 = 1;

fn main(args: &Arguments) -> i32 {
    let Some(verb) = args.get(1) else { return FAILED };
    match verb.to_bytes() {
        b"true" => return 0,
        b"pause" => process::pause(),
        _ => {}
    }
    let Some(second) = args.get(2) else { return FAILED };
    match (verb.to_bytes(), args.get(3), args.get(4)) {
        (b"measure", _, _) => measure::measure(args, 2),
        (b"filter", _, _) => process::dump_filter(second),
        (b"run", Some(dir), Some(id)) => verbs::run(Kind::of(second), dir, id),
        (b"create", Some(dir), Some(id)) => verbs::create(Kind::of(second), dir, id),
        (b"exec", Some(dir), Some(id)) => verbs::exec(Kind::of(second), dir, id),
        (b"start", Some(id), _) => verbs::start(second, id),
        (b"state", Some(id), _) => verbs::state(second, id),
        (b"kill", Some(id), _) => verbs::kill(second, id),
        (b"delete", Some(id), _) => verbs::delete(second, id),
        _ => FAILED,
    }
}
