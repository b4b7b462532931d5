//! Namespaces that hold for children only: the parent is in them for the length of a clone.

use std::os::fd::OwnedFd;

use coracle_plan::Plan;
use coracle_plan::namespaces::Kind as Namespace;
use coracle_plan::source::Slot;
use coracle_sys::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::Mode;

use crate::error::{Context, Error, Kind, Result};
use crate::prepare::Filled;

/// The way back, taken at the latest when it is dropped.
#[derive(Default)]
pub struct Around(Vec<(Namespace, OwnedFd)>);

/// Has the next child of this process start in the namespaces the plan names.
///
/// # Errors
/// The first namespace that cannot be entered; this process is back in its own then.
pub fn enter(plan: &Plan, filled: &[Filled]) -> Result<Around> {
    let mut around = Around::default();
    for &(Slot(slot), kind) in &plan.around_clone {
        let Some(Filled::Fd(target)) = filled.get(slot) else {
            return Err(Error::new(Kind::InvalidState, format!("{kind} namespace is not open")));
        };
        around.remember(kind)?;
        setns(target, CloneFlags::from_bits_retain(kind.flag())).context(|| format!("join {kind} namespace"))?;
    }
    if let Some(offsets) = &plan.time_offsets {
        around.remember(Namespace::Time)?;
        unshare(CloneFlags::from_bits_retain(libc::CLONE_NEWTIME)).context(|| "make a time namespace")?;
        if !offsets.is_empty() {
            let what = || format!("set time offsets {}", offsets.trim_end().replace('\n', ", "));
            std::fs::write("/proc/self/timens_offsets", offsets).context(what)?;
        }
    }
    Ok(around)
}

impl Around {
    fn remember(&mut self, kind: Namespace) -> Result<()> {
        let own = format!("/proc/self/ns/{}", kind.file());
        let fd = open(own.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let fd = fd.map_err(|errno| match errno {
            Errno::ENOENT => Error::new(Kind::Unsupported, format!("this kernel has no {kind} namespaces")),
            errno => Error::system(format!("open {own}"), errno),
        })?;
        self.0.push((kind, fd));
        Ok(())
    }

    /// Goes back.
    pub fn leave(mut self) -> Result<()> {
        while let Some((kind, own)) = self.0.pop() {
            back(kind, own).context(|| format!("leave {kind} namespace"))?;
        }
        Ok(())
    }
}

fn back(kind: Namespace, own: OwnedFd) -> coracle_sys::Result<()> {
    setns(own, CloneFlags::from_bits_retain(kind.flag()))
}

impl Drop for Around {
    fn drop(&mut self) {
        for (kind, own) in self.0.drain(..).rev() {
            let _ = back(kind, own);
        }
    }
}
