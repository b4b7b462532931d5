//! Where the clone puts the process in the cgroup v2 hierarchy.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_cgroup::Visit;
use coracle_sys::Errno;
use coracle_sys::clone::{Fork, clone3};

use super::not_cloned;
use crate::error::Result;

/// The cgroup to clone into.
pub struct IntoCgroup<'a> {
    dir: Option<BorrowedFd<'a>>,
    otherwise: Option<&'a Otherwise<'a>>,
}

/// Finds another cgroup when the kernel has said that the first takes no processes.
pub type Otherwise<'a> = dyn Fn() -> Result<Option<OwnedFd>> + 'a;

impl<'a> IntoCgroup<'a> {
    /// Into `dir`, or the caller's own.
    pub fn only(dir: Option<BorrowedFd<'a>>) -> IntoCgroup<'a> {
        IntoCgroup { dir, otherwise: None }
    }

    /// Into `dir`, or what `otherwise` finds.
    pub fn or(dir: Option<BorrowedFd<'a>>, otherwise: &'a Otherwise<'a>) -> IntoCgroup<'a> {
        IntoCgroup { dir, otherwise: Some(otherwise) }
    }

    pub(super) fn clone(&self, flags: u64) -> Result<Fork> {
        match (clone3(flags, self.dir), self.otherwise) {
            // A cgroup that hands controllers down may not have processes itself, and a threaded one takes no others.
            (Err(Errno::EBUSY | Errno::EOPNOTSUPP), Some(otherwise)) => {
                let dir = otherwise()?;
                clone3(flags, dir.as_ref().map(OwnedFd::as_fd)).map_err(not_cloned)
            }
            (cloned, _) => cloned.map_err(not_cloned),
        }
    }

    /// Goes there with this process, which clones once more then: the first child was killed before it said a word.
    ///
    /// A kernel that counts how often `cgroup.kill` was used kills a child whose own cgroup has another count than its
    /// creator's (cgroup_post_fork()), as if it had escaped. So no clone from one into the other works ever again when
    /// either was used for more than one life. `None` where nobody can go there, or nothing was cloned into it.
    pub(super) fn visit(&self) -> Option<Visit> {
        let other = || self.otherwise.and_then(|otherwise| otherwise().ok().flatten());
        let visit =
            Visit::begin(self.dir?).or_else(|error| other().map_or(Err(error), |dir| Visit::begin(dir.as_fd())));
        visit.inspect_err(|error| tracing::debug!("{error}")).ok()
    }
}
