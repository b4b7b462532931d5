//! The program `coracle`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

/// Ends a debug build that allocates between clone and exec.
#[cfg(debug_assertions)]
#[global_allocator]
static GUARD: coracle_sys::guard::Guard = coracle_sys::guard::Guard;

fn main() -> ExitCode {
    coracle::main()
}
