//! An allocator that ends the process when it is asked for memory after the clone.
//!
//! A debug build of the binary installs it, so that "the child does not allocate" is enforced and not hoped for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);

/// From here on this process must not allocate. Has no effect unless [`Guard`] is the global allocator.
pub fn forbid_allocation() {
    ARMED.store(true, Ordering::Relaxed);
}

/// The system's allocator, behind the check.
pub struct Guard;

impl Guard {
    fn check() {
        if ARMED.load(Ordering::Relaxed) {
            const TEXT: &[u8] = b"coracle: memory allocated between clone and exec\n";
            // SAFETY: writes a constant buffer of that length, then ends the process.
            unsafe {
                libc::write(2, TEXT.as_ptr().cast(), TEXT.len());
                libc::abort()
            }
        }
    }
}

// SAFETY: every method passes its arguments unchanged to the system's allocator, or does not return.
unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Guard::check();
        // SAFETY: the caller's promise, handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, handed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}
