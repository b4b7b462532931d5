//! Detached copies of the host's mounts.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use coracle_plan::source::Tree;
use coracle_sys::Errno;
use coracle_sys::mount::{AT_RECURSIVE, MountAttr, OPEN_TREE_CLONE, mount_setattr, open_tree};
use nix::fcntl::AT_FDCWD;

use crate::error::{Context, Error, Kind, Result};

/// Copies the mount at the tree's path and gives the copy its attributes and propagation.
pub fn open(tree: &Tree) -> Result<OwnedFd> {
    let shown = tree.path.display();
    let path = CString::new(tree.path.as_os_str().as_bytes())
        .map_err(|_| Error::new(Kind::InvalidConfig, format!("mount source {shown} contains a NUL byte")))?;
    let flags = OPEN_TREE_CLONE | if tree.recursive { AT_RECURSIVE } else { 0 };
    let fd = open_tree(AT_FDCWD, &path, flags).map_err(|errno| match errno {
        Errno::ENOSYS => Error::new(Kind::Unsupported, "open_tree is missing: coracle needs Linux 5.14 or newer"),
        errno => Error::system(format!("open mount source {shown}"), errno),
    })?;
    let change = |recursive, attr: MountAttr| match attr == MountAttr::default() {
        true => Ok(()),
        false => mount_setattr(fd.as_fd(), recursive, attr, None),
    };
    for step in &tree.propagation {
        change(step.recursive, step.change()).context(|| format!("make mount source {shown} {step}"))?;
    }
    change(true, tree.attributes.all()).context(|| format!("set recursive attributes of {shown}"))?;
    change(false, tree.attributes.own()).context(|| format!("set attributes of {shown}"))?;
    Ok(fd)
}
