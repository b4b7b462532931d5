//! The ways an image can be unpacked, in a place where it can be seen what else was touched.

use std::io::Read;
use std::path::{Path, PathBuf};

use coracle_image::Result as ImageResult;
use coracle_image::progress::silent;
use coracle_image::store::{LayerSource, Store};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::cases::{Case, Layer};
use crate::tree::Tree;

#[derive(Debug, Clone, Copy)]
pub enum Way {
    Flat,
    Layers { workers: usize },
}

pub const WAYS: [Way; 3] = [Way::Flat, Way::Layers { workers: 1 }, Way::Layers { workers: 4 }];

/// What came of an image: its tree, or the error.
pub type Unpacked = Result<Tree, String>;

/// A place with a directory that nothing may touch.
pub struct World {
    dir: PathBuf,
    /// The file system it is on, of its own.
    _disk: Option<tempfile::TempDir>,
}

impl World {
    /// Says why it cannot be.
    pub fn new() -> Result<World, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can mount".to_owned());
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        unshare(CloneFlags::CLONE_NEWNS).map_err(|e| format!("no mount namespace: {e}"))?;
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).map_err(|e| e.to_string())?;
        mount(None::<&str>, dir.path(), Some("tmpfs"), MsFlags::empty(), None::<&str>).map_err(|e| e.to_string())?;
        let world = World::within(dir.path());
        Ok(World { _disk: Some(dir), ..world })
    }

    /// An empty directory as the world.
    pub fn within(dir: &Path) -> World {
        let world = World { dir: dir.to_owned(), _disk: None };
        let outside = world.outside();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("victim"), "untouched").unwrap();
        std::fs::create_dir(outside.join("directory")).unwrap();
        std::fs::write(outside.join("directory/file"), "untouched").unwrap();
        std::fs::write(outside.join("passwd"), "host:x:4242:4242::/:/bin/sh\n").unwrap();
        world
    }

    pub fn outside(&self) -> PathBuf {
        self.dir.join("outside")
    }

    /// A directory for a test, made if it is not there.
    pub fn place(&self, name: &str) -> PathBuf {
        let place = self.dir.join(name);
        std::fs::create_dir_all(&place).unwrap();
        place
    }

    /// Lets other users in.
    pub fn open_up(&self) {
        rustix::fs::chmod(&self.dir, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
    }

    /// What came of the case: the tree, or the error. The outer error is a failure of the test.
    pub fn unpack(&self, case: &Case, way: Way) -> Result<Unpacked, String> {
        let before = Tree::read(&self.outside());
        let place = self.dir.join("place");
        std::fs::create_dir(&place).unwrap();
        let layers = (case.layers)(self.outside().to_str().unwrap());
        let outcome = attempt(&place, &layers, way);
        let left = leftovers(&place, outcome.is_ok());
        std::fs::remove_dir_all(&place).unwrap();
        if let Some(difference) = before.difference(&Tree::read(&self.outside())) {
            return Err(format!("touched what is outside: {difference}"));
        }
        let names: Vec<_> = std::fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        if names != ["outside"] {
            return Err(format!("made something outside: {names:?}"));
        }
        left.map(|()| outcome)
    }
}

fn attempt(place: &Path, layers: &[Layer], way: Way) -> Unpacked {
    let store = Store::open(&place.join("store")).map_err(|e| e.to_string())?;
    sources(layers, |sources| attempt_with(place, &store, sources, way))
}

/// The layers as a store wants them.
pub fn sources<T>(layers: &[Layer], work: impl FnOnce(&[LayerSource<'_>]) -> T) -> T {
    let fetches: Vec<_> = layers
        .iter()
        .map(|layer| {
            move |offset: u64| -> ImageResult<Box<dyn Read + Send>> {
                let at = usize::try_from(offset).unwrap().min(layer.blob.len());
                Ok(Box::new(std::io::Cursor::new(layer.blob[at..].to_vec())))
            }
        })
        .collect();
    let sources: Vec<LayerSource<'_>> = layers
        .iter()
        .zip(&fetches)
        .map(|(layer, fetch)| LayerSource {
            media_type: &layer.media_type,
            digest: &layer.digest,
            size: layer.size,
            diff_id: &layer.diff_id,
            fetch: Some(fetch),
        })
        .collect();
    work(&sources)
}

fn attempt_with(place: &Path, store: &Store, sources: &[LayerSource<'_>], way: Way) -> Unpacked {
    let mut options = store.options();
    let target = place.join("target");
    std::fs::create_dir(&target).unwrap();
    match way {
        Way::Flat => {
            store.unpack_flat(sources, &target, &options, &silent).map_err(|e| e.to_string())?;
            Ok(Tree::read(&target))
        }
        Way::Layers { workers } => {
            options.workers = workers;
            let chain = store.unpack(sources, &options, &silent).map_err(|e| e.to_string())?;
            chain.mount_read_only(&target).map_err(|e| e.to_string())?;
            let tree = Tree::read(&target);
            coracle_image::overlay::unmount(&target).map_err(|e| e.to_string())?;
            Ok(tree)
        }
    }
}

/// Whatever came of it, nothing half made stays, and after garbage collection nothing at all.
fn leftovers(place: &Path, accepted: bool) -> Result<(), String> {
    let names = |directory: &str| -> Vec<String> {
        let entries = std::fs::read_dir(place.join("store").join(directory)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let making: Vec<_> = names("temporary").into_iter().filter(|name| name.ends_with(".making")).collect();
    if !making.is_empty() || !names("trash").is_empty() {
        return Err(format!("left behind {making:?} {:?}", names("trash")));
    }
    if !accepted && names("chains/sha256").len() > 8 {
        return Err("committed a chain that was refused".to_owned());
    }
    let store = Store::open(&place.join("store")).map_err(|e| e.to_string())?;
    store.gc().map_err(|e| e.to_string())?;
    for directory in ["blobs/sha256", "blobs/sha512", "layers/sha256", "chains/sha256", "temporary", "trash"] {
        if !names(directory).is_empty() {
            return Err(format!("garbage collection leaves {directory}/{:?}", names(directory)));
        }
    }
    Ok(())
}
