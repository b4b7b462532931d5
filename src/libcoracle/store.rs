//! Where containers are kept: one directory each below the root, written atomically and locked while it changes.

mod claim;
pub mod process;
pub mod record;
pub mod status;
pub mod time;

use std::fs::{DirBuilder, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};
use crate::host;
use crate::id::ContainerId;
use crate::notify;
pub use claim::Claim;
use coracle_sys::directories;
use record::State;

const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
const GATE: &str = "start";
const RESOURCES: &str = "resources.json";
const PARENTS: &str = "cgroups.json";
const TEMPORARY_PARENTS: &str = ".cgroups.json";
const CRIU_ROOT: &str = "criu-root";
const TEMPORARY_RECORD: &str = ".state.json";
const TEMPORARY_CONFIG: &str = ".config.json";
const TEMPORARY_RESOURCES: &str = ".resources.json";

/// What the directory of a container holds, the record last.
const ALWAYS: [&str; 5] = [GATE, CONFIG, TEMPORARY_CONFIG, TEMPORARY_RECORD, RECORD];
/// What those of a few hold too: of nested cgroups that were not there, and of containers that were updated.
const SELDOM: [&str; 4] = [PARENTS, TEMPORARY_PARENTS, RESOURCES, TEMPORARY_RESOURCES];

/// The state directory of a runtime instance.
#[derive(Debug, Clone)]
pub struct Root {
    path: PathBuf,
    explicit: bool,
}

impl Root {
    /// The root at `path`. With `explicit` the user named it: listing it when it is missing is then an error.
    ///
    /// # Errors
    /// [`Kind::InvalidConfig`] for `/`; [`Kind::System`] if it is not there and cannot be made absolute.
    pub fn open(path: &Path, explicit: bool) -> Result<Root> {
        let path: PathBuf = std::path::absolute(path).context(|| format!("find {}", path.display()))?;
        let path: PathBuf = path.components().collect();
        if path.parent().is_none() {
            return Err(Error::new(Kind::InvalidConfig, "Option --root argument should not be set to /"));
        }
        Ok(Root { path, explicit })
    }

    /// `/run/coracle`, or `$XDG_RUNTIME_DIR/coracle` for an ordinary user.
    ///
    /// # Errors
    /// When it cannot be told who calls.
    pub fn default_path() -> Result<PathBuf> {
        Ok(match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(dir) if host::is_run_by_user()? => PathBuf::from(dir).join("coracle"),
            _ => PathBuf::from("/run/coracle"),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn dir(&self, id: &ContainerId) -> PathBuf {
        self.path.join(id.as_ref())
    }

    /// Takes `id` for a new container: its directory is the claim, and it goes with the value unless committed.
    ///
    /// # Errors
    /// [`Kind::AlreadyExists`] if the id is in use.
    pub fn claim(&self, id: &ContainerId) -> Result<Claim> {
        directories::make(&self.path, 0o700).map_err(|error| self.refused("create", &error))?;
        let dir = self.dir(id);
        DirBuilder::new().mode(0o700).create(&dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::new(Kind::AlreadyExists, format!("container with given ID already exists: {id}"))
            }
            _ => Error::system(format!("create {}", dir.display()), errno(&error)),
        })?;
        // A `delete` may have come first and removed it, and another claim may be in its place: that is not ours to undo.
        let mut entry = Entry { path: dir, lock: None };
        let deleted = || Error::new(Kind::InvalidState, format!("container {id} was deleted while it was created"));
        if let Err(error) = entry.lock() {
            return Err(if error.kind() == Kind::NotFound { deleted() } else { entry.abandon(error) });
        }
        // Nor is one that got the lock of this directory first, taking it for its own.
        match entry.is_empty() {
            Ok(true) => Ok(Claim::of(entry)),
            Ok(false) => Err(deleted()),
            Err(error) => Err(entry.abandon(error)),
        }
    }

    /// The container `id`, whether or not its creation was ever finished.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is no such directory.
    pub fn entry(&self, id: &ContainerId) -> Result<Entry> {
        let path = self.dir(id);
        match std::fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => Ok(Entry { path, lock: None }),
            Ok(_) => Err(Error::new(Kind::InvalidState, format!("{} is not a directory", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::new(Kind::NotFound, format!("container does not exist: {id}")))
            }
            Err(error) => Err(self.refused("search", &error)),
        }
    }

    /// What to do about a state root that is not the caller's is not to be seen from the error.
    fn refused(&self, verb: &str, error: &std::io::Error) -> Error {
        let refused = Error::system(format!("{verb} {}", self.path.display()), errno(error));
        let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
        if self.explicit || !denied || std::env::var_os("XDG_RUNTIME_DIR").is_some() {
            return refused;
        }
        refused.with_hint("the containers of a user other than root are below $XDG_RUNTIME_DIR, which is not set: set it, or name a directory by --root")
    }

    /// The names of all entries, sorted; a missing root has none, unless somebody named it.
    pub fn names(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.explicit => return Ok(Vec::new()),
            Err(error) => return Err(self.refused("list", &error)),
        };
        let entries: Vec<_> = entries.collect::<std::io::Result<_>>().map_err(|error| self.refused("list", &error))?;
        let mut names: Vec<String> = entries
            .into_iter()
            .filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }
}

/// A container's directory.
pub struct Entry {
    path: PathBuf,
    lock: Option<File>,
}

impl Entry {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket `start` connects to; its presence is the created state.
    pub fn gate(&self) -> PathBuf {
        self.path.join(GATE)
    }

    /// Where CRIU finds the root filesystem while it restores the container.
    pub fn criu_root(&self) -> PathBuf {
        self.path.join(CRIU_ROOT)
    }

    /// Whether that socket is there.
    pub fn has_gate(&self) -> Result<bool> {
        let gate = self.gate();
        match std::fs::symlink_metadata(&gate) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::system(format!("find {}", gate.display()), errno(&error))),
        }
    }

    /// Keeps other commands that change the container away until the entry is dropped.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if the container went, or another took its place, while this waited.
    pub fn lock(&mut self) -> Result<()> {
        let directory = self.directory()?;
        directory.lock().context(|| format!("lock {}", self.path.display()))?;
        self.hold(directory)
    }

    /// The same without waiting: whether nobody else was at it.
    ///
    /// # Errors
    /// As of [`lock`](Self::lock).
    pub fn try_lock(&mut self) -> Result<bool> {
        let directory = self.directory()?;
        match directory.try_lock() {
            Ok(()) => self.hold(directory).map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error).context(|| format!("lock {}", self.path.display())),
        }
    }

    fn directory(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => self.missing(),
            _ => Error::system(format!("open {}", self.path.display()), errno(&error)),
        })
    }

    /// Gives an empty directory back that could not be claimed for this reason.
    fn abandon(&self, error: Error) -> Error {
        let _ = std::fs::remove_dir(&self.path);
        error
    }

    fn missing(&self) -> Error {
        Error::new(Kind::NotFound, format!("container does not exist: {}", self.name()))
    }

    fn is_empty(&self) -> Result<bool> {
        let mut entries = std::fs::read_dir(&self.path).context(|| format!("list {}", self.path.display()))?;
        let first = entries.next().transpose().context(|| format!("list {}", self.path.display()))?;
        Ok(first.is_none())
    }

    /// Keeps the lock on `directory`, unless it is not the container's any more.
    fn hold(&mut self, directory: File) -> Result<()> {
        let failed = || format!("look at {}", self.path.display());
        let locked = directory.metadata().context(failed)?;
        let same = match std::fs::symlink_metadata(&self.path) {
            Ok(now) => (now.dev(), now.ino()) == (locked.dev(), locked.ino()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
            Err(error) => return Err(error).context(failed),
        };
        if !same {
            return Err(self.missing());
        }
        self.lock = Some(directory);
        Ok(())
    }

    /// Whether another command is changing the container now.
    pub fn is_locked(&self) -> Result<bool> {
        if self.lock.is_some() {
            return Ok(false);
        }
        match self.directory()?.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error).context(|| format!("lock {}", self.path.display())),
        }
    }

    /// Lets others change the container again.
    pub fn unlock(&mut self) {
        self.lock = None;
    }

    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// The record of the container, or `None` where its creation never got that far.
    pub fn state(&self) -> Result<Option<State>> {
        let path = self.path.join(RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::system(format!("read {}", path.display()), errno(&error))),
        };
        let state = serde_json::from_slice(&bytes);
        state.map(Some).map_err(|e| Error::new(Kind::InvalidState, format!("read {}: {e}", path.display())))
    }

    /// The record of a container that exists.
    ///
    /// # Errors
    /// [`Kind::NotFound`] where its creation never got that far.
    pub fn existing(&self) -> Result<State> {
        self.state()?.ok_or_else(|| self.missing())
    }

    /// The configuration the container was created from.
    pub fn config(&self) -> Result<Vec<u8>> {
        let path = self.path.join(CONFIG);
        std::fs::read(&path).context(|| format!("read {}", path.display()))
    }

    /// The cgroups above the container's own that its creation set out to make.
    pub fn parents(&self) -> Vec<PathBuf> {
        let read = std::fs::read(self.path.join(PARENTS)).ok();
        read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// `linux.resources` as the last update left it, or `None` if there was none.
    pub fn resources(&self) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(RESOURCES);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some).context(|| format!("read {}", path.display())),
        }
    }

    /// Keeps `resources` as what an update has left; `None` is as if there was none.
    pub fn set_resources(&self, resources: Option<&[u8]>) -> Result<()> {
        match resources {
            Some(resources) => write(&self.path, (RESOURCES, TEMPORARY_RESOURCES), resources),
            None => {
                let path = self.path.join(RESOURCES);
                std::fs::remove_file(&path).context(|| format!("remove {}", path.display()))
            }
        }
    }

    /// Whether all that is in the directory is this runtime's. Where there is no record, nothing else tells a container
    /// from a directory that `--root` was not meant for.
    pub fn is_ours(&self) -> Result<bool> {
        let names = || ALWAYS.iter().chain(&SELDOM).chain(&[CRIU_ROOT, notify::DIRECTORY]);
        let known = |name: &std::ffi::OsStr| names().any(|own| name == *own);
        let list = || std::fs::read_dir(&self.path)?.collect::<std::io::Result<Vec<_>>>();
        match list() {
            Ok(entries) => Ok(entries.iter().all(|entry| known(&entry.file_name()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error).context(|| format!("list {}", self.path.display())),
        }
    }

    /// Removes the directory. Only what this runtime puts there goes: a directory that holds anything else is not a
    /// container's, and stays (`--root` may have been meant for something else).
    pub fn remove(&self) -> Result<()> {
        let gone = |result: std::io::Result<()>, path: &Path| match result {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::system(format!("remove {}", path.display()), errno(&error)))
            }
            _ => Ok(()),
        };
        // The record goes last: until then a `delete` that was cut short can be repeated.
        let forget = |name: &&str| gone(std::fs::remove_file(self.path.join(name)), &self.path.join(name));
        ALWAYS.iter().try_for_each(forget)?;
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
                SELDOM.iter().try_for_each(forget)?;
                let notify = self.path.join(notify::DIRECTORY);
                let _ = std::fs::remove_file(notify.join(notify::SOCKET));
                let _ = std::fs::remove_dir(notify);
                let _ = std::fs::remove_dir(self.criu_root());
                gone(std::fs::remove_dir(&self.path), &self.path)
            }
            removed => gone(removed, &self.path),
        }
    }
}

/// Writes `name` in `dir`, by way of `temporary`, so that it is there whole or not at all.
fn write(dir: &Path, (name, temporary): (&str, &str), bytes: &[u8]) -> Result<()> {
    let (path, temporary) = (dir.join(name), dir.join(temporary));
    let put = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        std::fs::rename(&temporary, &path)
    };
    put().context(|| format!("write {}", path.display()))
}

fn errno(error: &std::io::Error) -> coracle_sys::Errno {
    coracle_sys::Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
