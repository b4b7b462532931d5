//! Where images are copied to: the store, a layout, an archive, a registry.

mod archive;
mod layout;

use std::io::{self, Read};
use std::process::{Command, Stdio};

use crate::digest::Verified;
use crate::error::{Context, Error, Result};
use crate::manifest::Descriptor;
use crate::name::Name;
use crate::progress::{Event, Progress, Told};
use crate::reference::Reference;
use crate::registry::{Access, Registry};
use crate::source::Source;
use crate::store::{self, Store};

/// Copies an image to the place `to`; `name` is what it is called there, if the place has names and `to` gives none.
pub fn copy(
    source: &Source,
    to: &Reference,
    name: Option<&Name>,
    store: &Store,
    access: &Access,
    progress: Progress<'_>,
) -> Result<()> {
    let copied = || match to {
        Reference::Layout { dir, name } => layout::write(source, dir, name.as_deref(), progress),
        Reference::OciArchive { file, name: tag } => archive::write_file(source, file, tag.as_deref(), name, progress),
        Reference::DockerArchive { file, name: full } => {
            archive::write_file(source, file, full.as_deref(), name, progress)
        }
        Reference::Archive { file } => archive::write_file(source, file, None, name, progress),
        Reference::Stream => archive::write(source, io::stdout().lock(), None, name, progress),
        Reference::DockerDaemon(full) => to_docker(source, full, progress),
        Reference::Registry(name) => push(source, name, access, progress),
        Reference::Stored(text) => pull(source, &Name::given(text)?, store, progress).map(drop),
    };
    copied().context(|| format!("copy to {to}"))
}

/// Takes an image into the store, unpacked, under a name. The answer is what of it could not be unpacked.
pub fn pull(source: &Source, name: &Name, store: &Store, progress: Progress<'_>) -> Result<Vec<String>> {
    let chain = crate::image::unpack(source, store, progress)?;
    let Descriptor { media_type, digest, size, .. } = documents(source, store)?;
    store.set_reference(&name.to_string(), &store::Reference { media_type, digest, size })?;
    Ok(crate::image::warnings(&chain.left_out))
}

/// Puts manifest and configuration into the store.
pub fn documents(source: &Source, store: &Store) -> Result<Descriptor> {
    let config = &source.manifest.config;
    store.put_blob(&config.digest, config.size, &mut source.config_bytes.as_slice())?;
    let mut descriptor = source.descriptor.clone();
    descriptor.media_type = source.manifest.media_type.clone();
    store.put_blob(&descriptor.digest, descriptor.size, &mut source.bytes.as_slice())?;
    Ok(descriptor)
}

/// All blobs of an image but its manifest: layers, the lowest first, then the configuration.
fn blobs(source: &Source) -> Vec<&Descriptor> {
    let mut seen = std::collections::BTreeSet::new();
    let all = source.manifest.layers.iter().chain([&source.manifest.config]);
    all.filter(|blob| seen.insert(&blob.digest)).collect()
}

/// The bytes of a blob, which tell of themselves, and whose end is an error if they are not what they should be.
fn verified<'a>(source: &'a Source, blob: &'a Descriptor, progress: Progress<'a>) -> Result<impl Read + 'a> {
    progress(Event::Begin { digest: &blob.digest, total: blob.size });
    let inner = source.content.open(blob, 0).context(|| format!("open blob {}", blob.digest))?;
    Ok(Told::new(Verified::new(inner, &blob.digest, blob.size), &blob.digest, progress))
}

fn push(source: &Source, name: &Name, access: &Access, progress: Progress<'_>) -> Result<()> {
    let registry = Registry::open_to_push(name, access)?;
    // What the registry has in another repository need not travel.
    let sibling = source.name.as_ref().filter(|own| own.host() == name.host() && own.path() != name.path());
    for blob in blobs(source) {
        let there = registry.has_blob(blob)?
            || sibling.map_or(Ok(false), |sibling| registry.mount_blob(blob, sibling.path()))?;
        if there {
            progress(Event::Cached { digest: &blob.digest });
            continue;
        }
        progress(Event::Begin { digest: &blob.digest, total: blob.size });
        registry.put_blob(blob, &|| {
            let inner = source.content.open(blob, 0)?;
            Ok(Box::new(Verified::new(inner, &blob.digest, blob.size)))
        })?;
        progress(Event::Done { digest: &blob.digest });
    }
    let mut descriptor = source.descriptor.clone();
    descriptor.media_type = source.manifest.media_type.clone();
    registry.put_manifest(&source.bytes, &descriptor)
}

/// Has Docker load the image.
fn to_docker(source: &Source, name: &str, progress: Progress<'_>) -> Result<()> {
    let mut child = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context(|| "run docker")?;
    let input = child.stdin.take().ok_or_else(|| Error::invalid("docker load has no input"))?;
    let written = archive::write(source, input, Some(name), None, progress);
    let status = child.wait()?;
    written?;
    if status.success() { Ok(()) } else { Err(Error::invalid(format!("docker load failed ({status})"))) }
}
