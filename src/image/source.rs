//! Images where they are: in a layout, an archive, a registry or the local store, all read alike.

mod archive;
mod docker;
mod layout;
mod slice;
mod spool;

use std::io::{self, Read};
use std::process::{Command, Stdio};

use crate::configuration::Configuration;
use crate::digest::Verified;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, Document, Index, Manifest};
use crate::name::Name;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::registry::{Access, Registry};
use crate::store::Store;

pub(crate) use layout::parse_index;
pub use spool::unnamed_file;

/// Indexes may hold indexes, so far.
pub(crate) const INDEX_DEPTH: usize = 4;

/// Where the bytes of blobs are.
pub trait Content: Sync {
    /// The bytes of a blob from `offset` on, not verified.
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>>;
}

/// What a place calls an image before it is known which of several platforms is meant.
pub(crate) enum Root {
    /// A manifest or an index.
    One(Descriptor),
    /// The index of a layout, and the name wanted of it.
    Index(Index, Option<String>),
}

/// One image of a place: its documents, and where its layers are.
pub struct Source {
    pub content: Box<dyn Content>,
    pub descriptor: Descriptor,
    /// The manifest as its digest has it.
    pub bytes: Vec<u8>,
    pub manifest: Manifest,
    pub config_bytes: Vec<u8>,
    pub config: Configuration,
    /// The name the place itself gives the image.
    pub name: Option<Name>,
}

impl Source {
    /// Opens the image at `reference` for `platform`.
    ///
    /// # Errors
    /// Name the reference, and the blob they are about.
    pub fn open(reference: &Reference, platform: &Platform, store: &Store, access: &Access) -> Result<Source> {
        let open = || {
            let (content, root, name) = place(reference, store, access)?;
            Source::of(content, root, name, platform)
        };
        open().context(|| reference)
    }

    fn of(content: Box<dyn Content>, root: Root, name: Option<Name>, platform: &Platform) -> Result<Source> {
        let mut descriptor = match root {
            Root::One(descriptor) => descriptor,
            Root::Index(index, name) => index.named(name.as_deref(), platform)?.clone(),
        };
        for _ in 0..INDEX_DEPTH {
            let bytes = document(&*content, &descriptor)?;
            let parsed = Document::parse(&bytes, &descriptor.media_type);
            match parsed.context(|| format!("manifest {}", descriptor.digest))? {
                Document::Manifest(manifest) => {
                    let config_bytes = document(&*content, &manifest.config)?;
                    let config = Configuration::parse(&config_bytes)
                        .context(|| format!("configuration {}", manifest.config.digest))?;
                    config.diff_ids(&manifest)?;
                    let manifest = *manifest;
                    return Ok(Source { content, descriptor, bytes, manifest, config_bytes, config, name });
                }
                Document::Index(index) => descriptor = index.select(platform)?.clone(),
            }
        }
        Err(Error::invalid(format!("more than {INDEX_DEPTH} indexes in each other")))
    }
}

/// A whole manifest, index or configuration, verified.
pub(crate) fn document(content: &dyn Content, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let read = || {
        if descriptor.size > DOCUMENT_LIMIT {
            return Err(Error::invalid(format!("its {} bytes are more than {DOCUMENT_LIMIT}", descriptor.size)));
        }
        let mut bytes = Vec::new();
        Verified::new(content.open(descriptor, 0)?, &descriptor.digest, descriptor.size).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().context(|| format!("read blob {}", descriptor.digest))
}

pub(crate) type Place = (Box<dyn Content>, Root, Option<Name>);

pub(crate) fn place(reference: &Reference, store: &Store, access: &Access) -> Result<Place> {
    Ok(match reference {
        Reference::Layout { dir, name } => {
            let layout = layout::Layout::open(dir)?;
            let root = Root::Index(layout.index()?, name.clone());
            (Box::new(layout), root, None)
        }
        Reference::OciArchive { file, name } => {
            let archive = archive::Archive::open(spool::seekable(open(file)?)?)?;
            let root = Root::Index(archive.index()?, name.clone());
            (Box::new(archive), root, None)
        }
        Reference::DockerArchive { file, name } => {
            docker_place(archive::Archive::open(spool::seekable(open(file)?)?)?, name.as_deref())?
        }
        Reference::DockerDaemon(name) => {
            let archive = archive::Archive::open(saved_by_docker(name)?)?;
            docker_place(archive, Some(name))?
        }
        Reference::Stream => either(archive::Archive::open(spool::spooled(io::stdin())?)?)?,
        Reference::Archive { file } => either(archive::Archive::open(spool::seekable(open(file)?)?)?)?,
        Reference::Registry(name) => {
            let registry = Registry::open(name, access)?;
            let descriptor = registry.resolve()?;
            (Box::new(registry), Root::One(descriptor), Some(name.clone()))
        }
        Reference::Stored(text) => {
            let (name, descriptor) = stored(store, text)?;
            (Box::new(Stored::at(store)?), Root::One(descriptor), name)
        }
    })
}

/// What an archive of either kind holds.
fn either(archive: archive::Archive) -> Result<Place> {
    if !archive.has("index.json") {
        return docker_place(archive, None);
    }
    let index = archive.index()?;
    let name = index.manifests.iter().find_map(|entry| entry.names().find_map(full_name));
    Ok((Box::new(archive), Root::Index(index, None), name))
}

/// A name with a registry or a path in it, as archives carry them beside mere tags.
fn full_name(text: &str) -> Option<Name> {
    text.contains('/').then(|| text.parse().ok())?
}

fn docker_place(archive: archive::Archive, name: Option<&str>) -> Result<Place> {
    let (content, descriptor, name) = docker::synthesized(archive, name)?;
    Ok((Box::new(content), Root::One(descriptor), name))
}

fn open(path: &std::path::Path) -> Result<std::fs::File> {
    Ok(std::fs::File::open(path)?)
}

/// What `docker save` writes, in a file of no name.
fn saved_by_docker(name: &str) -> Result<std::fs::File> {
    let mut child = Command::new("docker")
        .args(["save", "--", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context(|| "run docker")?;
    let spooled = match child.stdout.take() {
        Some(out) => spool::spooled(out),
        None => Err(Error::invalid("docker save has no output")),
    };
    let status = child.wait()?;
    if !status.success() {
        return Err(Error::invalid(format!("docker save failed ({status})")));
    }
    spooled
}

/// The image that `text` means in the store: a name, or an id or the beginning of one.
pub fn stored(store: &Store, text: &str) -> Result<(Option<Name>, Descriptor)> {
    let descriptor =
        |reference: crate::store::Reference| Descriptor::new(reference.media_type, reference.digest, reference.size);
    for name in Name::candidates(text) {
        if let Some(found) = store.reference(&name.to_string())? {
            return Ok((Some(name), descriptor(found)));
        }
    }
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    if hex.len() >= 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let mut found: Vec<_> = store.references()?.into_values().filter(|r| r.digest.hex().starts_with(hex)).collect();
        found.dedup_by(|a, b| a.digest == b.digest);
        match found.len() {
            0 => (),
            1 => return Ok((None, descriptor(found.remove(0)))),
            _ => return Err(Error::invalid("several images have such an id")),
        }
    }
    Err(Error::new(Kind::NotFound, "no such image in the local store; coracle-image ls lists what is there"))
}

/// The blobs of the store, by a handle of its own, as the store may be closed earlier.
struct Stored(Store);

impl Stored {
    fn at(store: &Store) -> Result<Stored> {
        Ok(Stored(Store::open(store.path())?))
    }
}

impl Content for Stored {
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let missing = || Error::new(Kind::NotFound, format!("{} is not in the store", blob.digest));
        let mut file = self.0.blob(&blob.digest)?.ok_or_else(missing)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}
