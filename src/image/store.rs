//! The local store: verified blobs by digest, unpacked layers by the digest of their tar (diffID), names of images.
//!
//! ```text
//! ROOT/              0700: set-user-ID files of images are out of reach of others
//!   lock             shared by whoever adds, exclusive for who collects garbage
//!   blobs/ALGORITHM/HEX
//!   layers/ALGORITHM/HEX/   fs/ and what was recorded while it was unpacked, by diffID
//!   chains/ALGORITHM/HEX/   the same, for a layer that means something else on another base: by chainID
//!   leases/          containers that stand on layers
//!   empty/           the tree of an image without layers
//!   references/NAME  descriptor of the image's manifest or index
//!   temporary/       what is being made; taken over or removed by the next one who makes the same
//!   trash/           what is being deleted
//! ```
//!
//! Everything is made in `temporary` and renamed to its place when it is complete and verified, so what is found there
//! is whole, at whatever moment a process was killed.

mod blobs;
mod chain;
mod flat;
mod gc;
mod layers;
mod references;
mod stack;
mod temporary;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use coracle_sys::directories;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, openat};
use rustix::io::Errno;

pub use blobs::Incoming;
pub use chain::{Chain, LeftOut, chain_ids};
pub use gc::Freed;
pub use layers::{Fetch, LayerSource, Options};
pub use references::Reference;

use crate::error::{Context, Error, Kind, Result};
use crate::rootless;

/// The root of an image without layers.
const EMPTY: &str = "empty";

const DIRECTORIES: &[&str] = &[
    "blobs",
    "blobs/sha256",
    "blobs/sha512",
    "layers",
    "layers/sha256",
    "layers/sha512",
    "chains",
    "chains/sha256",
    "chains/sha512",
    "leases",
    EMPTY,
    "references",
    "temporary",
    "trash",
];

/// An open store. As long as it is open, nobody collects its garbage.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    dir: OwnedFd,
    lock: OwnedFd,
    /// The process may not set `trusted.` attributes.
    user_xattrs: bool,
}

impl Store {
    /// Where images are kept when nobody says otherwise: `/var/lib/coracle/images` for root, else
    /// `$XDG_DATA_HOME/coracle/images` (`~/.local/share` where that is not set).
    ///
    /// # Errors
    /// Neither `XDG_DATA_HOME` nor `HOME` is an absolute path.
    pub fn default_root() -> Result<PathBuf> {
        if rustix::process::geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/coracle/images"));
        }
        let absolute = |name, rest: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute()).map(|path| path.join(rest))
        };
        absolute("XDG_DATA_HOME", "coracle/images")
            .or_else(|| absolute("HOME", ".local/share/coracle/images"))
            .ok_or_else(|| Error::invalid("find the store of images: neither XDG_DATA_HOME nor HOME is set"))
    }

    /// Opens the store at `path`, which is made if it is not there, with its parents. Waits while another process
    /// collects garbage.
    ///
    /// # Errors
    /// A directory that others may write to or that belongs to someone else; the kernel's errors.
    pub fn open(path: &Path) -> Result<Store> {
        let path = std::path::absolute(path).context(|| format!("open store {}", path.display()))?;
        let opened = || -> Result<Store> {
            let dir = made(&path)?;
            let lock = openat(&dir, "lock", OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW, FILE)?;
            flock(&lock, FlockOperation::LockShared)?;
            for &name in DIRECTORIES {
                match mkdirat(&dir, name, Mode::RWXU) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(Error::from(errno).within(format!("make {name}"))),
                }
            }
            Ok(Store { path: path.clone(), dir, lock, user_xattrs: rootless::in_user_namespace() })
        };
        opened().context(|| format!("open store {}", path.display()))
    }

    /// The absolute path of the store.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a regular file of the store, or says that there is none.
    fn file(&self, name: &str) -> Result<Option<File>> {
        match openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK, FILE) {
            Ok(fd) => Ok(Some(File::from(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::from(errno).within(format!("open {name}"))),
        }
    }

    fn has(&self, name: &str) -> Result<bool> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::from(errno).within(format!("look up {name}"))),
        }
    }

    /// A lock on one name of `temporary`: who makes something holds it, and another who wants the same waits.
    fn claim(&self, name: &str) -> Result<OwnedFd> {
        let name = format!("temporary/{name}.lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let claimed = || -> rustix::io::Result<OwnedFd> {
            let file = openat(&self.dir, &name, flags, FILE)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        claimed().context(|| format!("lock {name}"))
    }
}

const FILE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Opens the directory, made with mode 0700 if it is not there. Its parents are made as `mkdir -p` does.
fn made(path: &Path) -> Result<OwnedFd> {
    if let Some(parent) = path.parent() {
        directories::make(parent, 0o777)?;
    }
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno.into()),
    }
    let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&dir)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Error::new(Kind::Unsupported, format!("it belongs to user {}", stat.st_uid)));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(Error::new(
            Kind::Unsupported,
            format!("others may enter it (mode {:o}, 700 is needed)", stat.st_mode & 0o7777),
        ));
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/store");
        drop(Store::open(&root).unwrap());
        drop(Store::open(&root).unwrap());
        rustix::fs::chmod(&root, Mode::from_raw_mode(0o755)).unwrap();
        assert!(Store::open(&root).unwrap_err().to_string().contains("mode 755"));
    }
}
