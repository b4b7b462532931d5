//! The files a container would see: its root filesystem with the mounts of the plan over it, followed by path.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use coracle_plan::Plan;
use coracle_plan::step::Step;
use coracle_sys::Errno;

/// What a path leads to.
#[derive(Debug)]
pub enum Seen {
    /// A file that the host has too: its path there and in the container.
    There {
        host: PathBuf,
        path: PathBuf,
        metadata: Box<Metadata>,
    },
    /// On a filesystem that is mounted anew, or made on the way: nobody knows before the container runs.
    New,
    Failed(Errno),
}

/// Where something is, as far as the mounts decide.
enum Place {
    Host(PathBuf),
    New,
}

/// The root filesystem and what covers it.
#[derive(Debug)]
pub struct View {
    /// In the order they are mounted: the path in the container, and the host's path that is seen there.
    covers: Vec<(PathBuf, Option<PathBuf>)>,
    /// Devices and links, absolute.
    made: BTreeSet<PathBuf>,
}

/// As many links as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

impl View {
    /// What `plan` shows of the directory `rootfs`.
    pub fn of(plan: &Plan, rootfs: &Path) -> View {
        let mut view = View { covers: vec![("/".into(), Some(rootfs.to_owned()))], made: BTreeSet::new() };
        for step in &plan.init {
            match step {
                Step::AttachTree { target, from, .. } => view.cover(&target.path, Some(path_of(from).to_owned())),
                Step::MountFs(mount) => view.cover(&mount.target.path, None),
                Step::MountOld(mount) => view.cover(&mount.target.path, None),
                Step::Mknod(device) => view.make(&device.path),
                Step::Symlink(link) => view.make(&link.at),
                Step::MakeCwd(path) => view.make(path),
                _ => {}
            }
        }
        view
    }

    fn cover(&mut self, target: &CStr, with: Option<PathBuf>) {
        let target = Path::new("/").join(path_of(target));
        let target = match self.look(&target) {
            Seen::There { path, .. } => path,
            _ => target,
        };
        self.covers.push((target, with));
    }

    fn make(&mut self, path: &CStr) {
        self.made.insert(Path::new("/").join(path_of(path)));
    }

    /// Of all that covers a path the last one is seen.
    fn place(&self, path: &Path) -> Place {
        let covering =
            self.covers.iter().rev().find_map(|(target, with)| Some((path.strip_prefix(target).ok()?, with)));
        match covering {
            Some((rest, Some(host))) if rest.as_os_str().is_empty() => Place::Host(host.clone()),
            Some((rest, Some(host))) => Place::Host(host.join(rest)),
            _ => Place::New,
        }
    }

    /// Follows `path` from the container's root, links included.
    pub fn look(&self, path: &Path) -> Seen {
        let mut rest: Vec<OsString> = reversed(path);
        let (mut at, mut links) = (PathBuf::from("/"), 0);
        while let Some(name) = rest.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let Place::Host(host) = self.place(&next) else { return Seen::New };
            let metadata = match std::fs::symlink_metadata(&host) {
                Ok(metadata) => metadata,
                // The way to a mount point is made.
                Err(_) if self.covers.iter().any(|(target, _)| target != &next && target.starts_with(&next)) => {
                    at = next;
                    continue;
                }
                Err(_) if self.made.iter().any(|made| made.starts_with(&next)) => return Seen::New,
                Err(error) => return Seen::Failed(errno(&error)),
            };
            if !metadata.is_symlink() {
                if !rest.is_empty() && !metadata.is_dir() {
                    return Seen::Failed(Errno::ENOTDIR);
                }
                at = next;
                continue;
            }
            links += 1;
            match std::fs::read_link(&host) {
                Ok(_) if links > MOST_LINKS => return Seen::Failed(Errno::ELOOP),
                Ok(to) => {
                    if to.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    rest.extend(reversed(&to));
                }
                Err(error) => return Seen::Failed(errno(&error)),
            }
        }
        let Place::Host(host) = self.place(&at) else { return Seen::New };
        match std::fs::symlink_metadata(&host) {
            Ok(metadata) => Seen::There { host, path: at, metadata: Box::new(metadata) },
            Err(error) => Seen::Failed(errno(&error)),
        }
    }
}

fn normal(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev();
    parts.filter_map(normal).map(OsStr::to_owned).collect()
}

/// The kernel's number of an error of a call on a path.
pub fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Whether there is something at `path`, a dangling link included. What is done with it later is decided by who does it.
pub fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// A path of the plan.
pub fn path_of(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}
