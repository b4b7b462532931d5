//! A cgroup's directory, held open: everything below it is reached through the descriptor.

use std::cell::OnceCell;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use crate::error::{Error, Result};
use crate::location::Place;

/// An open cgroup directory.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> OwnedFd {
        dir.fd
    }
}

impl Dir {
    /// Opens `path`, which is absolute; no component may be a symbolic link.
    pub fn open(path: &Path) -> Result<Dir, Errno> {
        let how = OpenHow::new()
            .flags(OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        Ok(Dir { fd: openat2(AT_FDCWD, path, how)?, path: path.to_owned() })
    }

    /// Opens the cgroup that was recorded as `place`; `None` when it is gone.
    ///
    /// # Errors
    /// When it is there and cannot be opened.
    pub fn find(place: &Place) -> Result<Option<Dir>> {
        let failed = |errno| Error::kernel(format!("open cgroup {}", place.path.display()), errno);
        let dir = match Dir::open(&place.path) {
            Ok(dir) => dir,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        };
        let same = dir.inode().map_err(failed)? == place.inode;
        Ok(same.then_some(dir))
    }

    /// Makes the cgroup `below` the hierarchy mounted at `mount`, parents included, and opens it. `made` is called
    /// with every cgroup on the way and the next one below it, whether that was there before or not.
    ///
    /// # Errors
    /// When a directory cannot be made or opened, or `made` fails; what was made until then is removed again.
    pub fn make(mount: &Path, below: &Path, mut made: impl FnMut(&Dir, &Dir) -> Result<()>) -> Result<(Dir, Place)> {
        let failed = |path: &Path| {
            let text = format!("create cgroup {}", path.display());
            move |errno| Error::kernel(text, errno)
        };
        // Somebody who removes a parent between its creation and the next step makes this start over.
        for _ in 0..3 {
            let mut dir = Dir::open(mount).map_err(failed(mount))?;
            let mut place = Place { path: mount.to_owned(), inode: 0, made: 0 };
            let result = below.iter().try_for_each(|name| {
                let path = dir.path.join(name);
                let new = match mkdirat(&dir.fd, name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) => true,
                    Err(Errno::EEXIST) => false,
                    Err(errno) => return Err(failed(&path)(errno)),
                };
                place.path.push(name);
                place.made += usize::from(new);
                let fd = open_at(dir.as_fd(), name, OFlag::O_DIRECTORY).map_err(failed(&path))?;
                let parent = std::mem::replace(&mut dir, Dir { fd, path });
                made(&parent, &dir)
            });
            let result = result.and_then(|()| dir.inode().map_err(failed(&dir.path)));
            match result {
                Ok(inode) => {
                    place.inode = inode;
                    return Ok((dir, place));
                }
                Err(error) => {
                    remove_made(&place.path, place.made);
                    if error.errno() != Some(Errno::ENOENT) {
                        return Err(error);
                    }
                }
            }
        }
        Err(failed(&mount.join(below))(Errno::ENOENT))
    }

    /// The path that was opened, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of the directory, which is not given to another while the hierarchy exists.
    pub fn inode(&self) -> Result<u64, Errno> {
        Ok(fstat(&self.fd)?.st_ino)
    }

    /// The whole content of `file`.
    pub fn read(&self, file: &str) -> Result<String, Errno> {
        read_at(self.fd.as_fd(), file)
    }

    /// Opens `file` for [`write_once`].
    pub fn open_file(&self, file: &str) -> Result<OwnedFd, Errno> {
        open_at(self.fd.as_fd(), file, OFlag::O_WRONLY)
    }

    /// Opens `file` to be read more than once.
    pub fn open_to_read(&self, file: &str) -> Result<OwnedFd, Errno> {
        open_at(self.fd.as_fd(), file, OFlag::O_RDONLY)
    }

    /// Writes `value` to `file` in one go.
    pub fn write(&self, file: &str, value: &str) -> Result<(), Errno> {
        write_at(self.as_fd(), file, value)
    }

    /// An error about doing `what` to this cgroup.
    pub fn failed(&self, what: &str, errno: Errno) -> Error {
        Error::kernel(format!("{what} cgroup {}", self.path.display()), errno)
    }

    /// Every process in this cgroup and those below it, as far as the caller's pid namespace can name them.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        let mut pids = Vec::new();
        let mut collect = |dir: BorrowedFd<'_>| match read_at(dir, "cgroup.procs") {
            Ok(text) => {
                let numbers = text.lines().filter_map(|line| line.parse().ok()).filter(|&pid: &i32| pid > 0);
                pids.extend(numbers.map(Pid::from_raw));
                Ok(())
            }
            // Threaded: it has no processes of its own, but threads.
            Err(Errno::EOPNOTSUPP) => {
                pids.extend(read_at(dir, "cgroup.threads")?.lines().filter_map(process_of));
                Ok(())
            }
            // Removed meanwhile.
            Err(Errno::ENOENT | Errno::ENODEV) => Ok(()),
            Err(errno) => Err(errno),
        };
        collect(self.as_fd())
            .and_then(|()| self.walk(&mut collect, &mut |_, _| Ok(())))
            .map_err(|errno| self.failed("list processes of", errno))?;
        pids.sort_unstable();
        pids.dedup();
        Ok(pids)
    }

    /// Removes all cgroups below this one that can be removed.
    pub fn remove_below(&self) -> Result<(), Errno> {
        self.walk(&mut |_| Ok(()), &mut |parent, name| match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            // What is busy shows when this cgroup itself is removed.
            Ok(()) | Err(Errno::ENOENT | Errno::EBUSY | Errno::ENOTEMPTY) => Ok(()),
            Err(errno) => Err(errno),
        })
    }

    /// Calls `enter` with each cgroup below this one, and `leave` with its parent and name once everything below it
    /// has been seen. A loop, since a container decides how deep its own cgroups are nested.
    fn walk(
        &self,
        enter: &mut dyn FnMut(BorrowedFd<'_>) -> Result<(), Errno>,
        leave: &mut dyn FnMut(BorrowedFd<'_>, &CStr) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut way: Vec<(OwnedFd, CString, Vec<CString>)> = Vec::new();
        let mut names = children(self.as_fd())?;
        loop {
            if let Some(name) = names.pop() {
                let here = way.last().map_or(self.as_fd(), |(fd, ..)| fd.as_fd());
                let child = match open_at(here, name.as_c_str(), OFlag::O_DIRECTORY) {
                    Ok(child) => child,
                    Err(Errno::ENOENT | Errno::ENODEV) => continue,
                    Err(errno) => return Err(errno),
                };
                enter(child.as_fd())?;
                let below = children(child.as_fd())?;
                way.push((child, name, std::mem::replace(&mut names, below)));
            } else {
                let Some((_, name, siblings)) = way.pop() else { return Ok(()) };
                names = siblings;
                leave(way.last().map_or(self.as_fd(), |(fd, ..)| fd.as_fd()), &name)?;
            }
        }
    }

    /// Waits until `cgroup.events` (v2) says `want` of `key`, `populated` or `frozen`; false when `limit` passed without that.
    pub fn wait_event(&self, key: &str, want: bool, limit: Duration) -> Result<bool, Errno> {
        let end = Instant::now() + limit;
        let file = open_at(self.as_fd(), "cgroup.events", OFlag::O_RDONLY)?;
        loop {
            let mut buffer = [0; 128];
            let n = nix::sys::uio::pread(&file, &mut buffer, 0)?;
            if flag(&String::from_utf8_lossy(&buffer[..n]), key) == want {
                return Ok(true);
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else { return Ok(false) };
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match nix::poll::poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLPRI)], timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// A recorded cgroup, opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub place: Place,
    dir: OnceCell<Option<Dir>>,
}

impl Recorded {
    pub fn new(place: Place) -> Recorded {
        Recorded { place, dir: OnceCell::new() }
    }

    pub fn opened(place: Place, dir: Dir) -> Recorded {
        Recorded { place, dir: OnceCell::from(Some(dir)) }
    }

    /// The directory, `None` when it is gone.
    pub fn dir(&self) -> Result<Option<&Dir>> {
        if self.dir.get().is_none() {
            let _ = self.dir.set(Dir::find(&self.place)?);
        }
        Ok(self.dir.get().and_then(Option::as_ref))
    }

    /// The directory of a cgroup that must be there.
    pub fn existing(&self) -> Result<&Dir> {
        self.dir()?.ok_or_else(|| Error::kernel(format!("open cgroup {}", self.place.path.display()), Errno::ENOENT))
    }
}

/// Removes the cgroup directory at `path`; true when it is gone, false when it is busy.
pub(crate) fn remove(path: &Path) -> Result<bool, Errno> {
    match unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::EBUSY | Errno::ENOTEMPTY) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Removes the last `made` components of `path`, as long as nobody else uses them.
pub(crate) fn remove_made(path: &Path, made: usize) {
    for path in path.ancestors().take(made) {
        if !matches!(remove(path), Ok(true)) {
            return;
        }
    }
}

/// Writes `value` to an open control file; the kernel takes each write as one command.
pub(crate) fn write_once(file: BorrowedFd<'_>, value: &str) -> Result<(), Errno> {
    loop {
        match nix::unistd::write(file, value.as_bytes()) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Writes `value` to `file` of the cgroup `dir` in one go.
pub(crate) fn write_at(dir: BorrowedFd<'_>, file: &str, value: &str) -> Result<(), Errno> {
    write_once(open_at(dir, file, OFlag::O_WRONLY)?.as_fd(), value)
}

fn open_at<P: nix::NixPath + ?Sized>(dir: BorrowedFd<'_>, name: &P, flags: OFlag) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV;
    openat2(dir, name, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
}

/// The whole content of `file` of the cgroup `dir`.
pub(crate) fn read_at(dir: BorrowedFd<'_>, file: &str) -> Result<String, Errno> {
    let file = open_at(dir, file, OFlag::O_RDONLY)?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match nix::unistd::read(&file, &mut buffer) {
            Ok(0) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The names of the cgroups right below `dir`.
fn children(dir: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    // A directory has a link for itself, one from its parent, and one from each directory in it.
    if fstat(dir)?.st_nlink <= 2 {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in nix::dir::Dir::openat(dir, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type() == Some(Type::Directory) && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The process of a thread, if that is still there.
fn process_of(thread: &str) -> Option<Pid> {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    process.trim().parse().ok().map(Pid::from_raw)
}

/// The value of `key` in a file of lines `key 0` and `key 1`.
fn flag(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.split_once(' ') == Some((key, "1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flags() {
        let text = "populated 1\nfrozen 0\n";
        assert!(flag(text, "populated") && !flag(text, "frozen") && !flag(text, "pop"));
    }
}
