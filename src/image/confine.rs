//! Confines a thread that parses what strangers have made to the one directory it is to fill.
//!
//! Names are looked up so that nothing leads out of it anyway (`unpack`); this holds if that should fail.

use std::os::fd::BorrowedFd;

use landlock::{ABI, Access, AccessFs, AccessNet, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::error::{Context, Error, Kind, Result};

/// From now on the calling thread, and no other, can open, make and remove files below `directory` only, connect to nobody
/// and gain no privilege; and its mode creation mask is 0, so that files have their modes as they are made.
///
/// Where the kernel has no Landlock, or an older one, what it has is done.
pub fn to_directory(directory: BorrowedFd<'_>) -> Result<()> {
    // The mask belongs to what threads share by default.
    unshare(CloneFlags::CLONE_FS).context(|| "separate the mode creation mask")?;
    umask(Mode::empty());
    let all = AccessFs::from_all(ABI::V5);
    let restricted = Ruleset::default()
        .handle_access(all)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.add_rule(PathBeneath::new(directory, all)))
        .and_then(landlock::RulesetCreated::restrict_self);
    restricted.map(drop).map_err(|error| Error::library("confine the unpacking thread", &error, Kind::Unsupported))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn only_the_directory_is_left() {
        let status = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directory = std::fs::File::open(inside.path()).unwrap();
        let confined = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                to_directory(directory.as_fd()).unwrap();
                std::fs::write(inside.path().join("file"), "x").unwrap();
                std::fs::hard_link(inside.path().join("file"), inside.path().join("link")).unwrap();
                std::fs::write(outside.path().join("file"), "x").is_err()
            });
            thread.join().unwrap()
        });
        if !confined {
            println!("skipped: no Landlock here ({status})");
            return;
        }
        assert!(!outside.path().join("file").is_file());
        std::fs::write(outside.path().join("other"), "x").unwrap();
    }
}
