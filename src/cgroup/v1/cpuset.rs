//! Which processors and memory nodes may be used.

use nix::errno::Errno;

use crate::dir::Dir;
use crate::error::Result;

pub(crate) use crate::v2::cpuset::writes;

/// Gives `child` the sets of `parent` where it has none, as every new one does: nothing can run in it until then.
pub(crate) fn inherit(parent: &Dir, child: &Dir) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let copy = || -> Result<(), Errno> {
            if !child.read(file)?.trim_end().is_empty() {
                return Ok(());
            }
            child.write(file, parent.read(file)?.trim_end())
        };
        copy().map_err(|errno| child.failed(&format!("copy {file} to"), errno))?;
    }
    Ok(())
}
