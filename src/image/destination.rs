//! Where images are copied to: the store, a layout, an archive, a registry.

mod archive;
mod layout;

use std::io::{self, Read};
use std::process::{Command, Stdio};

use crate::digest::Verified;
use crate::error::{Context, Error, Result};
use crate::freight::Freight;
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
    match to {
        Reference::Stored(text) => Name::given(text)
            .and_then(|name| pull(source, &name, store, progress))
            .map(drop)
            .context(|| format!("copy to {to}")),
        _ => send(&source.into(), to, name, access, progress),
    }
}

/// Copies all there is to a place that is not the local store.
pub fn send(
    freight: &Freight<'_>,
    to: &Reference,
    name: Option<&Name>,
    access: &Access,
    progress: Progress<'_>,
) -> Result<()> {
    let sent = || match to {
        Reference::Layout { dir, name } => layout::write(freight, dir, name.as_deref(), progress),
        Reference::OciArchive { file, name: tag } => archive::write_file(freight, file, tag.as_deref(), name, progress),
        Reference::Registry(name) => push(freight, name, access, progress),
        Reference::DockerArchive { .. } | Reference::DockerDaemon(_) | Reference::Stored(_)
            if freight.image.is_none() =>
        {
            Err(Error::invalid("there is room for one image only; leave --all away"))
        }
        Reference::DockerArchive { file, name: full } => {
            archive::write_file(freight, file, full.as_deref(), name, progress)
        }
        Reference::Archive { file } => archive::write_file(freight, file, None, name, progress),
        Reference::Stream => archive::write(freight, io::stdout().lock(), None, name, progress),
        Reference::DockerDaemon(full) => to_docker(freight, full, progress),
        Reference::Stored(_) => Err(Error::invalid("the local store takes images by pull")),
    };
    sent().context(|| format!("copy to {to}"))
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

/// The bytes of a blob, which tell of themselves, and whose end is an error if they are not what they should be.
fn verified<'a>(freight: &Freight<'a>, blob: &'a Descriptor, progress: Progress<'a>) -> Result<impl Read + 'a> {
    progress(Event::Begin { digest: &blob.digest, total: blob.size });
    let inner = freight.content.open(blob, 0).context(|| format!("open blob {}", blob.digest))?;
    Ok(Told::new(Verified::new(inner, &blob.digest, blob.size), &blob.digest, progress))
}

fn push(freight: &Freight<'_>, name: &Name, access: &Access, progress: Progress<'_>) -> Result<()> {
    let registry = Registry::open_to_push(name, access)?;
    // What the registry has in another repository need not travel.
    let sibling = freight.name.filter(|own| own.host() == name.host() && own.path() != name.path());
    for &blob in &freight.blobs {
        let there = registry.has_blob(blob)?
            || sibling.map_or(Ok(false), |sibling| registry.mount_blob(blob, sibling.path()))?;
        if there {
            progress(Event::Cached { digest: &blob.digest });
            continue;
        }
        progress(Event::Begin { digest: &blob.digest, total: blob.size });
        registry.put_blob(blob, &|| {
            let inner = freight.content.open(blob, 0)?;
            Ok(Box::new(Verified::new(inner, &blob.digest, blob.size)))
        })?;
        progress(Event::Done { digest: &blob.digest });
    }
    for (descriptor, bytes) in &freight.below {
        registry.put_manifest(bytes, descriptor, None)?;
    }
    let (descriptor, bytes) = freight.root;
    let mut descriptor = descriptor.clone();
    if let Some(image) = freight.image {
        descriptor.media_type = image.manifest.media_type.clone();
    }
    registry.put_manifest(bytes, &descriptor, name.tag())
}

/// Has Docker load the image.
fn to_docker(freight: &Freight<'_>, name: &str, progress: Progress<'_>) -> Result<()> {
    let mut child = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context(|| "run docker")?;
    let input = child.stdin.take().ok_or_else(|| Error::invalid("docker load has no input"))?;
    let written = archive::write(freight, input, Some(name), None, progress);
    let status = child.wait()?;
    written?;
    if status.success() { Ok(()) } else { Err(Error::invalid(format!("docker load failed ({status})"))) }
}
