//! Times that a process and its clones note down in memory they share.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Errno, Result};

/// A fixed number of times, none noted at first. Noting one needs no allocation, and no system call where the kernel
/// lets a clock be read without (vdso(7)).
#[derive(Debug)]
pub struct Stamps {
    first: NonNull<AtomicU64>,
    count: usize,
}

impl Stamps {
    /// Room for `count` times, shared with every process that is cloned from now on (mmap(2), MAP_SHARED).
    pub fn new(count: usize) -> Result<Stamps> {
        let count = count.max(1);
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: the kernel chooses the place, so nothing that is mapped is replaced.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), count * size_of::<AtomicU64>(), access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let first = NonNull::new(at.cast()).ok_or(Errno::ENOMEM)?;
        Ok(Stamps { first, count })
    }

    fn slots(&self) -> &[AtomicU64] {
        // SAFETY: the mapping holds `count` of them, page-aligned, zeroed (a valid value), and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.count) }
    }

    /// Notes the time in place `i`; beyond the last one it is lost.
    pub fn mark(&self, i: usize) {
        if let Some(slot) = self.slots().get(i) {
            slot.store(now(), Ordering::Relaxed);
        }
    }

    /// The time in place `i`, if one was noted.
    pub fn get(&self, i: usize) -> Option<u64> {
        self.slots().get(i).map(|slot| slot.load(Ordering::Relaxed)).filter(|time| *time != 0)
    }
}

impl Drop for Stamps {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and no reference into it outlives it.
        unsafe { libc::munmap(self.first.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

/// Nanoseconds since 1970 (CLOCK_REALTIME): the one clock that a time namespace does not shift (time_namespaces(7)).
pub fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes. The call cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_back() {
        let stamps = Stamps::new(2).unwrap();
        let before = now();
        stamps.mark(1);
        stamps.mark(7);
        assert_eq!((stamps.get(0), stamps.get(7)), (None, None));
        assert!((before..=now()).contains(&stamps.get(1).unwrap()));
    }
}
