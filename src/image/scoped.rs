//! Paths that do not lead out of a directory (openat2(2)).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// Opens `path` from the directory `root`, `resolve` saying what its links and `..` may do; the magic links of /proc are
/// never followed. The empty path is `root` itself.
pub fn open_scoped(root: impl AsFd, path: &[u8], flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    path.into_with_c_str(|path| {
        loop {
            let how = resolve | ResolveFlags::NO_MAGICLINKS;
            match openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                // A rename elsewhere while it passed a `..` made the kernel unsure; it asks to be asked again.
                Err(Errno::AGAIN | Errno::INTR) => {}
                found => return found,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn renames_elsewhere_do_not_matter() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::create_dir(dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("../b", dir.path().join("a/link")).unwrap();
        let (one, two) = (other.path().join("one"), other.path().join("two"));
        std::fs::write(&one, "").unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::fs::rename(&one, &two).unwrap();
                    std::fs::rename(&two, &one).unwrap();
                }
            });
            let open = || open_scoped(&root, b"a/link", OFlags::PATH, ResolveFlags::IN_ROOT);
            let failed = (0..20_000).filter_map(|_| open().err()).next();
            done.store(true, Ordering::Relaxed);
            assert_eq!(failed, None);
        });
    }
}
