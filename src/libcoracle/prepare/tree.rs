//! Detached copies of the host's mounts.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::source::{Links, Mapping, Propagation, Tree};
use coracle_sys::Errno;
use coracle_sys::mount::{AT_RECURSIVE, MountAttr, OPEN_TREE_CLONE, attr, mount_setattr, open_tree};
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, fstat};

use super::userns::Mappings;
use crate::error::{Context, Error, Kind, Result};

/// Copies the mount at the tree's path, gives the copy its attributes, propagation and id mapping.
pub fn open_mapped(tree: &Tree, mappings: &mut Mappings) -> Result<OwnedFd> {
    let fd = copy(tree).map_err(|errno| match errno {
        Errno::ENOSYS => Error::new(Kind::Unsupported, "open_tree is missing: coracle needs Linux 5.14 or newer"),
        Errno::ELOOP if tree.links == Links::Refuse => {
            let shown = tree.path.to_string_lossy();
            Error::new(Kind::InvalidConfig, format!("invalid rootfs {shown}: not an absolute path, or a symlink"))
        }
        errno => Error::system(tree.to_string(), errno),
    })?;
    let Some(idmap) = &tree.idmap else { return Ok(fd) };
    let joined;
    let userns = match &idmap.mapping {
        Mapping::New => return Ok(fd),
        Mapping::Own(uids, gids) => mappings.of(uids, gids)?,
        Mapping::Joined(path) => {
            let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
            joined = open(path, flags, Mode::empty()).context(|| format!("open user namespace {}", path.display()))?;
            joined.as_fd()
        }
    };
    map_ids(fd.as_fd(), idmap.recursive, userns).context(|| format!("map the ids of {tree}"))?;
    Ok(fd)
}

/// Gives a mount that is not attached yet the mapping of `userns`.
pub fn map_ids(mount: BorrowedFd<'_>, recursive: bool, userns: BorrowedFd<'_>) -> coracle_sys::Result<()> {
    mount_setattr(mount, recursive, MountAttr { set: attr::IDMAP, clear: 0, propagation: 0 }, Some(userns))
}

/// Copies the mount at the tree's path and gives the copy its attributes and propagation; a link that is to be copied
/// is only opened. Allocates nothing: the
/// child does it too.
pub fn copy(tree: &Tree) -> coracle_sys::Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | if tree.recursive { AT_RECURSIVE } else { 0 };
    let fd = match tree.links {
        Links::Refuse => {
            let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
            let place = openat2(AT_FDCWD, tree.path.as_c_str(), how)?;
            open_tree(place.as_fd(), c"", flags | libc::AT_EMPTY_PATH as u32)?
        }
        Links::Copy => match link(&tree.path)? {
            Some(link) => return Ok(link),
            None => open_tree(AT_FDCWD, &tree.path, flags)?,
        },
        Links::Last => open_tree(AT_FDCWD, &tree.path, flags | libc::AT_SYMLINK_NOFOLLOW as u32)?,
        Links::Follow => open_tree(AT_FDCWD, &tree.path, flags)?,
    };
    let mut propagation = tree.propagation.as_slice();
    let mut own = tree.attributes.own();
    // A single mount takes its attributes and its first propagation in one call.
    if let (false, [first, rest @ ..]) = (tree.recursive, propagation) {
        own.propagation = first.flag;
        propagation = rest;
    }
    match change(fd.as_fd(), false, own) {
        // Flags locked by a more privileged mount namespace stay, unless it was said that they must go.
        Err(Errno::EPERM) if tree.attributes.implied != 0 => {
            let named = MountAttr { propagation: own.propagation, ..tree.attributes.own_named() };
            change(fd.as_fd(), false, named)?;
        }
        other => other?,
    }
    for Propagation { flag, recursive } in propagation {
        change(fd.as_fd(), *recursive, MountAttr { propagation: *flag, ..MountAttr::default() })?;
    }
    change(fd.as_fd(), true, tree.attributes.all())?;
    Ok(fd)
}

/// The symbolic link at `path`, if there is one.
fn link(path: &CStr) -> coracle_sys::Result<Option<OwnedFd>> {
    let fd = open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok((fstat(&fd)?.st_mode & libc::S_IFMT == libc::S_IFLNK).then_some(fd))
}

/// Changes a mount, if there is anything to change.
pub fn change(mount: BorrowedFd<'_>, recursive: bool, attr: MountAttr) -> coracle_sys::Result<()> {
    if attr == MountAttr::default() { Ok(()) } else { mount_setattr(mount, recursive, attr, None) }
}
