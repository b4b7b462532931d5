//! The mount API by descriptor (Linux 5.2; `mount_setattr` 5.12): a mount is made, given its attributes and only
//! then attached, so that there is no moment at which it is visible with the wrong ones.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::{Result, check};

/// `open_tree`: make a detached copy of the mount instead of naming the one that is there.
pub const OPEN_TREE_CLONE: u32 = 1;
/// `AT_RECURSIVE` for `open_tree` and `mount_setattr`.
pub const AT_RECURSIVE: u32 = 0x8000;

/// Attributes of a mount (`MOUNT_ATTR_*` of mount_setattr(2)).
pub mod attr {
    pub const RDONLY: u64 = 0x1;
    pub const NOSUID: u64 = 0x2;
    pub const NODEV: u64 = 0x4;
    pub const NOEXEC: u64 = 0x8;
    /// The mask of the access-time setting, whose values are RELATIME (0), NOATIME and STRICTATIME.
    pub const ATIME: u64 = 0x70;
    pub const RELATIME: u64 = 0;
    pub const NOATIME: u64 = 0x10;
    pub const STRICTATIME: u64 = 0x20;
    pub const NODIRATIME: u64 = 0x80;
    pub const IDMAP: u64 = 0x0010_0000;
    pub const NOSYMFOLLOW: u64 = 0x0020_0000;
}

fn owned(ret: libc::c_long) -> OwnedFd {
    // SAFETY: called only with the fresh descriptor a system call of this module returned.
    unsafe { OwnedFd::from_raw_fd(ret as RawFd) }
}

/// Opens the mount at `path` below `dir` (close-on-exec). `flags`: [`OPEN_TREE_CLONE`], [`AT_RECURSIVE`],
/// `AT_EMPTY_PATH`, `AT_SYMLINK_NOFOLLOW`.
///
/// # Errors
/// Those of open_tree(2): `ENOENT`, `EPERM` when cloning without privilege over the mount namespace, `EINVAL` for a
/// tree with unbindable mounts.
pub fn open_tree(dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> Result<OwnedFd> {
    let flags = flags | libc::O_CLOEXEC as u32;
    // SAFETY: `path` is a C string that lives across the call.
    check(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) }).map(owned)
}

/// Attaches the detached (or moves the attached) mount `from` onto the directory or file open as `to`; both are
/// named by descriptor alone, so nothing is looked up again.
pub fn move_mount(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both paths are constant C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            c"".as_ptr(),
            to.as_raw_fd(),
            c"".as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Opens a context for a new superblock of type `fstype` (fsopen(2), close-on-exec).
pub fn fsopen(fstype: &CStr) -> Result<OwnedFd> {
    const CLOEXEC: u32 = 1;
    // SAFETY: `fstype` is a C string that lives across the call.
    check(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), CLOEXEC) }).map(owned)
}

/// One setting of a filesystem context (fsconfig(2)).
#[derive(Debug, Clone, Copy)]
pub enum FsConfig<'a> {
    Flag(&'a CStr),
    String(&'a CStr, &'a CStr),
    Create,
    Reconfigure,
}

/// Applies `setting` to the context `fs`. What the kernel has to say beyond the error number can be read from `fs`
/// with [`fs_message`].
pub fn fsconfig(fs: BorrowedFd<'_>, setting: FsConfig<'_>) -> Result<()> {
    let null = std::ptr::null();
    let (cmd, key, value) = match setting {
        FsConfig::Flag(key) => (0, key.as_ptr(), null),
        FsConfig::String(key, value) => (1, key.as_ptr(), value.as_ptr()),
        FsConfig::Create => (6, null, null),
        FsConfig::Reconfigure => (7, null, null),
    };
    // SAFETY: key and value are C strings that live across the call, or null where the command takes none.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), cmd, key, value, 0) }).map(drop)
}

/// Makes a detached mount of the configured context with `attrs` ([`attr`]) (fsmount(2), close-on-exec).
pub fn fsmount(fs: BorrowedFd<'_>, attrs: u64) -> Result<OwnedFd> {
    const CLOEXEC: u32 = 1;
    // SAFETY: no pointers are passed.
    check(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), CLOEXEC, attrs) }).map(owned)
}

/// Opens the superblock of the mount open as `mount` for reconfiguration (fspick(2), close-on-exec).
pub fn fspick(mount: BorrowedFd<'_>) -> Result<OwnedFd> {
    const CLOEXEC: u32 = 1;
    const EMPTY_PATH: u32 = 8;
    // SAFETY: the path is a constant C string.
    check(unsafe { libc::syscall(libc::SYS_fspick, mount.as_raw_fd(), c"".as_ptr(), CLOEXEC | EMPTY_PATH) }).map(owned)
}

/// Reads the next message the kernel left in the context `fs` (such as `e tmpfs: Unknown parameter 'sized'`) into
/// `buf`; returns its length, 0 when there is none.
pub fn fs_message(fs: BorrowedFd<'_>, buf: &mut [u8]) -> usize {
    // SAFETY: the buffer is valid for its length.
    let n = unsafe { libc::read(fs.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) };
    usize::try_from(n).unwrap_or(0)
}

/// What [`mount_setattr`] changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0 for no change.
    pub propagation: u64,
}

/// Changes the mount open as `mount`, with `recursive` also those below it (mount_setattr(2)). `userns` is the user
/// namespace whose mapping `attr::IDMAP` applies.
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    recursive: bool,
    change: MountAttr,
    userns: Option<BorrowedFd<'_>>,
) -> Result<()> {
    #[repr(C)]
    struct Raw {
        set: u64,
        clear: u64,
        propagation: u64,
        userns: u64,
    }
    let raw = Raw {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        userns: userns.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH as u32 | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: `raw` has the layout of struct mount_attr and lives across the call; the path is constant.
    check(unsafe {
        libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), c"".as_ptr(), flags, &raw const raw, size_of::<Raw>())
    })
    .map(drop)
}
