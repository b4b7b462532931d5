//! Paths below the root filesystem: resolved by the kernel so that nothing in the container leads outside it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::step::{MountPoint, Place, Target};
use coracle_sys::{Errno, Result, fs};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::sys::statfs::{FsType, PROC_SUPER_MAGIC, fstatfs};

const SYSFS_MAGIC: FsType = FsType(libc::SYSFS_MAGIC as _);

/// The longest path the kernel takes.
pub const PATH_MAX: usize = 4096;
/// How many symbolic links the kernel follows in a path (path_resolution(7)).
const LINKS_MAX: u32 = 40;

/// The root directory of this process, for the time after the change of root.
pub fn own_root() -> Result<OwnedFd> {
    nix::fcntl::open(c"/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens `path` below `root` with `flags`; symbolic links are followed as if `root` were `/`.
pub fn open_in(root: BorrowedFd<'_>, path: &CStr, flags: OFlag, no_symlinks: bool) -> Result<OwnedFd> {
    let mut resolve = ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS;
    if no_symlinks {
        resolve |= ResolveFlag::RESOLVE_NO_SYMLINKS;
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
    loop {
        match openat2(root, path, how) {
            // A rename elsewhere made the kernel unsure; it asks to be asked again (openat2(2)).
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// A place to mount upon.
pub struct Found {
    pub fd: OwnedFd,
    /// It was not there before.
    pub made: bool,
    pub place: Place,
}

/// Opens the mount point if it is there and no symbolic link leads to it, which is how most are; otherwise `None`.
pub fn find(root: BorrowedFd<'_>, target: &Target) -> Result<Option<Found>> {
    match open_in(root, &target.path, OFlag::O_PATH, true) {
        // Without links the text is the place.
        Ok(fd) => Ok(Some(Found { fd, made: false, place: Place::of(target.path.to_bytes()) })),
        Err(Errno::ELOOP) if !target.no_symlinks => Ok(None),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Opens the last component of `path` as it is, a symbolic link too.
pub fn itself(root: BorrowedFd<'_>, path: &CStr) -> Result<Found> {
    let fd = open_in(root, path, OFlag::O_PATH | OFlag::O_NOFOLLOW, false)?;
    // Links on the way may lead anywhere below the root: what the text says is no longer the place.
    let kind = fstatfs(&fd)?.filesystem_type();
    let ordinary = kind != PROC_SUPER_MAGIC && kind != SYSFS_MAGIC;
    Ok(Found { fd, made: false, place: if ordinary { Place::Ordinary } else { Place::Forbidden } })
}

/// Opens the mount point, making what is missing of it, and of where its symbolic links lead.
pub fn make_target(root: BorrowedFd<'_>, target: &Target, kind: MountPoint) -> Result<Found> {
    match make_last(root, &target.path, kind)? {
        Some(found) => Ok(found),
        None => walk(root, &target.path, kind, !target.no_symlinks),
    }
}

/// Makes the last component where that is all that is missing and no symbolic link is on the way: most of the time.
fn make_last(root: BorrowedFd<'_>, path: &CStr, kind: MountPoint) -> Result<Option<Found>> {
    let (before, name) = split(path)?;
    let mut text = Text::EMPTY;
    if !before.is_empty() {
        text.push(before)?;
    }
    let parent = match open_in(root, text.c_str()?, OFlag::O_PATH | OFlag::O_DIRECTORY, true) {
        Err(Errno::ENOENT | Errno::ELOOP) => return Ok(None),
        other => other?,
    };
    create(parent.as_fd(), name, kind)?;
    match open_in(parent.as_fd(), name, OFlag::O_PATH, true) {
        Err(Errno::ELOOP) => Ok(None),
        other => Ok(Some(Found { fd: other?, made: true, place: Place::of(path.to_bytes()) })),
    }
}

/// Opens `path`, making what is missing of it.
pub fn mount_point(root: BorrowedFd<'_>, path: &CStr, kind: MountPoint, no_symlinks: bool) -> Result<OwnedFd> {
    match open_in(root, path, OFlag::O_PATH, true) {
        Err(Errno::ENOENT | Errno::ELOOP) => walk(root, path, kind, !no_symlinks).map(|found| found.fd),
        other => other,
    }
}

/// A path being put together, or taken apart.
struct Text {
    bytes: [u8; PATH_MAX],
    len: usize,
}

impl Text {
    const EMPTY: Text = Text { bytes: [0; PATH_MAX], len: 0 };

    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends a component.
    fn push(&mut self, part: &[u8]) -> Result<()> {
        let slash = usize::from(self.len > 0);
        let end = self.len + slash + part.len();
        if end >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        if slash == 1 {
            self.bytes[self.len] = b'/';
        }
        self.bytes[self.len + slash..end].copy_from_slice(part);
        self.len = end;
        Ok(())
    }

    fn pop(&mut self) {
        self.len = self.get().iter().rposition(|b| *b == b'/').unwrap_or(0);
    }

    /// Takes the first component off.
    fn shift(&mut self, part: &mut Text) -> Result<bool> {
        let start = self.get().iter().position(|b| *b != b'/').unwrap_or(self.len);
        let end = self.bytes[start..self.len].iter().position(|b| *b == b'/').map_or(self.len, |n| start + n);
        part.len = 0;
        part.push(&self.bytes[start..end])?;
        self.bytes.copy_within(end..self.len, 0);
        self.len -= end;
        Ok(part.len > 0)
    }

    /// The path for the kernel, relative to the root.
    fn c_str(&mut self) -> Result<&CStr> {
        if self.len == 0 {
            return Ok(c".");
        }
        self.bytes[self.len] = 0;
        CStr::from_bytes_until_nul(&self.bytes[..=self.len]).map_err(|_| Errno::EINVAL)
    }
}

/// Follows `path` component by component below `root`. What is missing is made, even where a symbolic link points to
/// it; nothing is looked up but paths without links, so no step can leave the root (CVE-2024-45310).
fn walk(root: BorrowedFd<'_>, path: &CStr, kind: MountPoint, follow: bool) -> Result<Found> {
    let (mut done, mut rest, mut name) = (Text::EMPTY, Text::EMPTY, Text::EMPTY);
    rest.push(path.to_bytes())?;
    let (mut links, mut made) = (0, false);
    while rest.shift(&mut name)? {
        match name.get() {
            b"." => {}
            b".." => done.pop(),
            part => {
                let before = done.len;
                done.push(part)?;
                let last = rest.get().iter().all(|b| *b == b'/');
                let kind = if last { kind } else { MountPoint::Directory };
                let (fd, new) = open_or_make(root, &mut done, before, kind)?;
                made = new;
                if !new && fstat(&fd)?.st_mode & libc::S_IFMT == libc::S_IFLNK {
                    links += 1;
                    if !follow || links > LINKS_MAX {
                        return Err(Errno::ELOOP);
                    }
                    done.len = before;
                    enter_link(fd.as_fd(), &mut done, &mut rest, &mut name)?;
                }
            }
        }
    }
    let fd = open_in(root, done.c_str()?, OFlag::O_PATH, true)?;
    Ok(Found { fd, made, place: Place::of(done.get()) })
}

/// Puts the target of `link` before the rest of the path; an absolute one starts at the root again.
fn enter_link(link: BorrowedFd<'_>, done: &mut Text, rest: &mut Text, buffer: &mut Text) -> Result<()> {
    buffer.len = fs::readlink(link, c"", &mut buffer.bytes[..PATH_MAX - 1])?.len();
    if buffer.bytes.first() == Some(&b'/') {
        done.len = 0;
    }
    if rest.len > 0 {
        buffer.push(rest.get())?;
    }
    rest.len = 0;
    rest.push(buffer.get())
}

/// Opens `path`, whose parent is its first `before` bytes and there; makes it if it is missing.
fn open_or_make(root: BorrowedFd<'_>, path: &mut Text, before: usize, kind: MountPoint) -> Result<(OwnedFd, bool)> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    match open_in(root, path.c_str()?, flags, true) {
        Err(Errno::ENOENT) => {}
        other => return Ok((other?, false)),
    }
    let mut parent = Text::EMPTY;
    if before > 0 {
        parent.push(&path.bytes[..before])?;
    }
    let parent = open_in(root, parent.c_str()?, OFlag::O_PATH | OFlag::O_DIRECTORY, true)?;
    let start = if before > 0 { before + 1 } else { 0 };
    path.bytes[path.len] = 0;
    let name = CStr::from_bytes_until_nul(&path.bytes[start..=path.len]).map_err(|_| Errno::EINVAL)?;
    create(parent.as_fd(), name, kind)?;
    Ok((open_in(root, path.c_str()?, flags, true)?, true))
}

fn create(parent: BorrowedFd<'_>, name: &CStr, kind: MountPoint) -> Result<()> {
    let made = match kind {
        MountPoint::Directory => mkdirat(parent, name, Mode::from_bits_truncate(0o755)),
        MountPoint::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            openat(parent, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    };
    match made {
        // Somebody else made it in the meantime; what it is shows when it is opened.
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Splits `path` into its directory and its last component.
pub fn split(path: &CStr) -> Result<(&[u8], &CStr)> {
    let bytes = path.to_bytes_with_nul();
    let slash = path.to_bytes().iter().rposition(|b| *b == b'/');
    let name = CStr::from_bytes_with_nul(&bytes[slash.map_or(0, |i| i + 1)..]).map_err(|_| Errno::EINVAL)?;
    Ok((&bytes[..slash.unwrap_or(0)], name))
}

/// Opens the directory at `path` below `root`, making what is missing of it.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let mut text = Text::EMPTY;
    if !path.is_empty() {
        text.push(path)?;
    }
    mount_point(root, text.c_str()?, MountPoint::Directory, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of: &str) -> Text {
        let mut text = Text::EMPTY;
        text.push(of.as_bytes()).unwrap();
        text
    }

    #[test]
    fn components_are_taken_off_one_by_one() {
        let (mut rest, mut part) = (text("/a//bc/../d/"), Text::EMPTY);
        let mut parts = Vec::new();
        while rest.shift(&mut part).unwrap() {
            parts.push(String::from_utf8(part.get().to_vec()).unwrap());
        }
        assert_eq!(parts, ["a", "bc", "..", "d"]);
    }

    #[test]
    fn the_last_component_is_taken_back() {
        let mut path = text("a/b");
        path.pop();
        assert_eq!(path.get(), b"a");
        path.pop();
        path.pop();
        assert!(path.get().is_empty());
        assert_eq!(path.c_str().unwrap(), c".");
    }

    #[test]
    fn too_long_is_an_error() {
        let mut path = text("a");
        assert_eq!(path.push(&[b'x'; PATH_MAX]), Err(Errno::ENAMETOOLONG));
        assert_eq!(split(c"dev/sub/null").unwrap(), (&b"dev/sub"[..], c"null"));
        assert_eq!(split(c"null").unwrap(), (&b""[..], c"null"));
    }
}
