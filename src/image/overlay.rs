//! Root filesystems by overlayfs (the kernel's overlayfs.rst): layers that are shared and never changed, and above them
//! a directory of the container's own.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use coracle_sys::Errno;
use coracle_sys::mount::{FsConfig, fs_message, fsconfig, fsmount, fsopen, move_mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{Mode, OFlags, open};

use crate::error::{Context, Error, Result};

/// The kernel takes no more layers than these (overlayfs.rst).
pub const LAYERS: usize = 500;

/// Where what is written goes: both on one file system, `work` empty.
#[derive(Debug, Clone, Copy)]
pub struct Writable<'a> {
    pub upper: &'a Path,
    pub work: &'a Path,
}

/// Mounts `lowers`, the uppermost first, with `writable` above them. The mount is attached nowhere yet; it goes when
/// nothing refers to it.
///
/// # Errors
/// What the kernel says, with its own explanation where it gives one.
pub fn stack(lowers: &[PathBuf], writable: Option<Writable<'_>>, user_xattrs: bool) -> Result<OwnedFd> {
    match mount(lowers, writable, user_xattrs, one_by_one) {
        Err(error) if error.errno() == Some(Errno::EINVAL) => {
            stack_at_once(lowers, writable, user_xattrs).map_err(|_| error)
        }
        mounted => mounted,
    }
}

/// The same for Linux before 6.5, which wants all layers in one setting, of no more than 255 bytes. So they are named by the
/// numbers of descriptors, which is enough for about sixty.
pub fn stack_at_once(lowers: &[PathBuf], writable: Option<Writable<'_>>, user_xattrs: bool) -> Result<OwnedFd> {
    thread::scope(|scope| {
        let mounting = scope.spawn(|| {
            // The numbers are names in this directory, which is that of this thread alone.
            unshare(CloneFlags::CLONE_FS).context(|| "separate the working directory")?;
            rustix::process::chdir("/proc/self/fd").context(|| "change to /proc/self/fd")?;
            mount(lowers, writable, user_xattrs, at_once)
        });
        mounting.join().unwrap_or_else(|_| Err(Error::invalid("the mounting thread ended")))
    })
}

/// A setting of overlayfs, and what the kernel has to say of it.
type Set<'s> = &'s dyn Fn(FsConfig<'_>) -> Result<()>;

fn mount(
    lowers: &[PathBuf],
    writable: Option<Writable<'_>>,
    user_xattrs: bool,
    set_lowers: fn(&[PathBuf], &mut Vec<OwnedFd>, Set<'_>) -> Result<()>,
) -> Result<OwnedFd> {
    let context = fsopen(c"overlay").context(|| "open overlay")?;
    let set = |setting: FsConfig<'_>| {
        fsconfig(context.as_fd(), setting).map_err(|errno| {
            let mut said = [0; 256];
            let n = fs_message(context.as_fd(), &mut said);
            match String::from_utf8_lossy(&said[..n]).trim() {
                "" => Error::from(errno),
                said => Error::from(errno).within(said.trim_start_matches("e ")),
            }
        })
    };
    let configured = || -> Result<()> {
        set(FsConfig::String(c"source", c"coracle-image"))?;
        // Names beyond the 255 bytes of a setting are given by descriptor.
        let mut open_ones = Vec::new();
        set_lowers(lowers, &mut open_ones, &set)?;
        if let Some(Writable { upper, work }) = writable {
            for (key, path) in [(c"upperdir", upper), (c"workdir", work)] {
                let value = text(&short(path, &mut open_ones)?)?;
                set(FsConfig::String(key, &value)).context(|| path.display().to_string())?;
            }
        }
        if user_xattrs {
            set(FsConfig::Flag(c"userxattr"))?;
        } else {
            // What a layer says of redirection is not obeyed.
            set(FsConfig::String(c"redirect_dir", c"nofollow"))?;
            set(FsConfig::String(c"metacopy", c"off"))?;
            set(FsConfig::String(c"index", c"off"))?;
        }
        set(FsConfig::Create)
    };
    configured().context(|| "mount overlay")?;
    fsmount(context.as_fd(), 0).context(|| "mount overlay")
}

fn one_by_one(lowers: &[PathBuf], open_ones: &mut Vec<OwnedFd>, set: Set<'_>) -> Result<()> {
    lowers.iter().try_for_each(|lower| {
        let value = text(&short(lower, open_ones)?)?;
        set(FsConfig::String(c"lowerdir+", &value)).context(|| format!("layer {}", lower.display()))
    })
}

fn at_once(lowers: &[PathBuf], open_ones: &mut Vec<OwnedFd>, set: Set<'_>) -> Result<()> {
    let mut numbers = Vec::new();
    for lower in lowers {
        let fd = open(lower, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        numbers.push(fd.as_raw_fd().to_string());
        open_ones.push(fd);
    }
    set(FsConfig::String(c"lowerdir", &text(Path::new(&numbers.join(":")))?))
}

/// Attaches a mount of [`stack`] to the directory `target`.
pub fn attach(mount: BorrowedFd<'_>, target: &Path) -> Result<()> {
    let attached = || -> Result<()> {
        let target = open(target, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(move_mount(mount, target.as_fd())?)
    };
    attached().context(|| format!("attach root filesystem to {}", target.display()))
}

/// Takes the mount on `target` away, also while it is in use.
pub fn unmount(target: &Path) -> Result<()> {
    use rustix::mount::{UnmountFlags, unmount};
    unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).context(|| format!("unmount {}", target.display()))
}

/// `path`, or a short name for it that is good as long as `open_ones` is kept.
fn short(path: &Path, open_ones: &mut Vec<OwnedFd>) -> Result<PathBuf> {
    if path.as_os_str().len() < 256 {
        return Ok(path.to_owned());
    }
    let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    open_ones.push(fd);
    Ok(short)
}

fn text(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::invalid("a path with a NUL"))
}
