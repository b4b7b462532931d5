//! Mounts on the host for a test to work with.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mount that goes away with the test.
#[derive(Debug)]
pub struct HostMount(PathBuf);

impl HostMount {
    /// A tmpfs on the directory, which is made, with these options.
    pub fn tmpfs(path: &Path, options: &str) -> HostMount {
        fs::create_dir_all(path).unwrap();
        mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
        HostMount(path.into())
    }

    /// The directory on itself, so that it is a mount of its own.
    pub fn bind(path: &Path) -> HostMount {
        HostMount::bind_of(path, path)
    }

    /// What is at `source`, on `path`.
    pub fn bind_of(source: &Path, path: &Path) -> HostMount {
        let none: Option<&str> = None;
        mount(Some(source), path, none, MsFlags::MS_BIND, none).unwrap();
        HostMount(path.into())
    }

    /// Changes how mounts spread from and to it.
    #[must_use]
    pub fn propagation(self, flags: MsFlags) -> HostMount {
        let none: Option<&str> = None;
        mount(none, &self.0, none, flags, none).unwrap();
        self
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for HostMount {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
