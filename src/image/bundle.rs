//! Bundles made of images: a config.json, a root filesystem, and a record of what it was made of.
//!
//! ```text
//! DIR/               0700: set-user-ID files of the image are out of reach of others
//!   config.json  rootfs/
//!   image.json       the image, its layers, how the root filesystem is made
//!   upper/ work/     what the container changed (overlay)
//!   volumes/N        directories for the volumes of the image
//!   hosts hostname resolv.conf
//! ```

mod volumes;

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};

use crate::accounts;
use crate::convert::{self, Machine, Network, Options};
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::image;
use crate::overlay::{self, Writable};
use crate::progress::Progress;
use crate::source::Source;
use crate::store::{self, Chain, Store};

/// The record of a bundle.
const RECORD: &str = "image.json";

/// What a bundle was made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The name of the image, for people.
    pub image: String,
    pub manifest: store::Reference,
    pub diff_ids: Vec<Digest>,
    /// The root filesystem is a tree of its own, without record of changes.
    pub copy: bool,
    /// It goes when its container has ended.
    #[serde(default)]
    pub remove: bool,
    /// Seconds since 1970.
    pub created: u64,
}

/// A bundle on disk.
#[derive(Debug)]
pub struct Bundle {
    dir: PathBuf,
    pub record: Record,
}

/// How a new bundle is made.
#[derive(Debug, Clone, Copy)]
pub struct Making<'a> {
    /// What people call the image.
    pub image: &'a str,
    pub copy: bool,
    pub remove: bool,
    pub machine: Machine,
}

impl Bundle {
    /// Makes the bundle `dir`, which is not there yet or empty, with its root filesystem in place. The warnings are about
    /// what of the image was left out.
    pub fn make(
        dir: &Path,
        source: &Source,
        store: &Store,
        how: Making<'_>,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<(Bundle, Vec<String>)> {
        let dir = std::path::absolute(dir)?;
        let made = NewDirectory::make(&dir)?;
        let mut options = options.clone();
        let manifest = crate::destination::documents(source, store)?;
        let record = Record {
            image: how.image.to_owned(),
            manifest: store::Reference {
                media_type: manifest.media_type,
                digest: manifest.digest,
                size: manifest.size,
            },
            diff_ids: source.config.diff_ids(&source.manifest)?.to_vec(),
            copy: how.copy,
            remove: how.remove,
            created: crate::time::now(),
        };
        let bundle = Bundle { dir, record };
        bundle.write(RECORD, &to_json(&bundle.record)?)?;
        let rootfs = bundle.rootfs();
        DirBuilder::new().mode(0o755).create(&rootfs).context(|| format!("make {}", rootfs.display()))?;
        let mut warnings = if how.copy {
            image::unpack_copy(source, store, &rootfs, progress)?
        } else {
            let chain = image::unpack(source, store, progress)?;
            // Before the store could be swept of them.
            store.lease(&bundle.dir.to_string_lossy(), &chain, &bundle.dir)?;
            bundle.mount(&chain)?;
            image::warnings(&chain.left_out)
        };
        let mounted = Mounted(if how.copy { None } else { Some(rootfs.clone()) });
        let root = open_directory(&rootfs)?;
        bundle.write_etc(&mut options)?;
        let accounts = accounts::read(&root)?;
        let converted = convert::convert(&source.config, &accounts, &options, how.machine, &bundle.dir)?;
        volumes::make(&bundle.dir, &root, &converted.volumes)?;
        bundle.write("config.json", &to_json(&converted.config)?)?;
        warnings.extend(converted.warnings);
        mounted.keep();
        made.keep();
        Ok((bundle, warnings))
    }

    /// The bundle at `dir`, if it was made here.
    pub fn open(dir: &Path) -> Result<Bundle> {
        let dir = std::path::absolute(dir)?;
        let text = std::fs::read(dir.join(RECORD)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("{} is not a bundle made of an image", dir.display()))
            }
            _ => Error::from(error).within(format!("read {RECORD} of {}", dir.display())),
        })?;
        let record = serde_json::from_slice(&text)
            .map_err(|error| Error::invalid(format!("read {RECORD} of {}: {error}", dir.display())))?;
        Ok(Bundle { dir, record })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// What the container has written, if that is kept apart.
    pub fn upper(&self) -> Result<PathBuf> {
        if self.record.copy {
            let text = format!("{} was made with --copy: its changes are not told from the image", self.dir.display());
            return Err(Error::new(Kind::Unsupported, text));
        }
        Ok(self.dir.join("upper"))
    }

    /// Where something else is mounted in the container, without a leading slash: not part of its files.
    pub fn mount_points(&self) -> Result<Vec<Vec<u8>>> {
        let text = std::fs::read(self.dir.join("config.json")).context(|| "read config.json of the bundle")?;
        let config: serde_json::Value = serde_json::from_slice(&text).map_err(|e| Error::invalid(e.to_string()))?;
        let mounts = config["mounts"].as_array().into_iter().flatten();
        let destination = |mount: &serde_json::Value| {
            mount["destination"].as_str().map(|path| path.trim_matches('/').as_bytes().to_vec())
        };
        Ok(mounts.filter_map(destination).collect())
    }

    /// Mounts the root filesystem, its layers being those of `chain`.
    pub fn mount(&self, chain: &Chain) -> Result<()> {
        let (upper, work) = (self.dir.join("upper"), self.dir.join("work"));
        chain.mount(&self.rootfs(), Writable { upper: &upper, work: &work })
    }

    /// Removes the bundle with all that its container has written.
    pub fn remove(self) -> Result<()> {
        if !self.record.copy {
            unmount(&self.rootfs())?;
        }
        remove_tree(&self.dir)
    }

    /// Names and addresses, as no image knows them.
    fn write_etc(&self, options: &mut Options) -> Result<()> {
        let name = &options.hostname;
        let local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        self.write("hostname", format!("{name}\n").as_bytes())?;
        let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let hosts = if options.network == Network::Host { own } else { local.to_owned() };
        self.write("hosts", format!("{}127.0.1.1\t{name}\n", with_newline(hosts)).as_bytes())?;
        // A machine without it has no name service either.
        let resolvers = std::fs::read("/etc/resolv.conf").unwrap_or_default();
        self.write("resolv.conf", &resolvers)?;
        options.etc = ["hostname", "hosts", "resolv.conf"].map(str::to_owned).to_vec();
        Ok(())
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.dir.join(name);
        let write = || -> Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(open(&path, flags, Mode::from_raw_mode(0o644))?);
            Ok(file.write_all(content)?)
        };
        write().context(|| format!("write {}", path.display()))
    }
}

fn with_newline(mut text: String) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Error::invalid(error.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).context(|| format!("open {}", path.display()))
}

/// A new directory that goes again unless it is kept.
struct NewDirectory(Option<PathBuf>);

impl NewDirectory {
    fn make(path: &Path) -> Result<NewDirectory> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(NewDirectory(Some(path.to_owned()))),
            // An empty one that is there will do, with the mode it needs.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                let dir = open_directory(path)?;
                if std::fs::read_dir(path)?.next().transpose()?.is_some() {
                    return Err(Error::invalid(format!("{} is not empty", path.display())));
                }
                rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o700))?;
                Ok(NewDirectory(Some(path.to_owned())))
            }
            Err(error) => Err(Error::from(error).within(format!("make {}", path.display()))),
        }
    }

    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewDirectory {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // There is an error already, and what stays is found by the next gc.
            let _ = remove_tree(&path);
        }
    }
}

/// A mount that goes again unless it is kept.
struct Mounted(Option<PathBuf>);

impl Mounted {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // There is an error already.
            let _ = unmount(&path);
        }
    }
}

/// Takes a mount away, if there is one.
fn unmount(path: &Path) -> Result<()> {
    match overlay::unmount(path) {
        Err(error) if matches!(error.errno(), Some(coracle_sys::Errno::EINVAL | coracle_sys::Errno::ENOENT)) => Ok(()),
        done => done,
    }
}

/// Removes a directory of ours. What is mounted in it would be emptied too, so that must be gone.
fn remove_tree(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::from(error).within(format!("remove {}", path.display())))
        }
        _ => Ok(()),
    }
}
