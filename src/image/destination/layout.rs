//! An OCI image layout in a directory, made or added to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use coracle_sys::directories;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, open, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::error::{Context, Error, Result};
use crate::freight::Freight;
use crate::manifest::{Descriptor, Document, Index, OCI_INDEX, REF_NAME};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::source::{Source, parse_index};

/// The content of `oci-layout`.
pub const MARKER: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

const DIRECTORY: Mode = Mode::from_raw_mode(0o755);
const FILE: Mode = Mode::from_raw_mode(0o644);

/// Puts an image into the layout at `path`, called `name`: another of that name is no longer called so.
pub fn write(freight: &Freight<'_>, path: &Path, name: Option<&str>, progress: Progress<'_>) -> Result<()> {
    directories::make(path, 0o777).context(|| format!("make {}", path.display()))?;
    let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let is_new = match statat(&dir, "oci-layout", AtFlags::empty()) {
        Ok(_) => false,
        Err(Errno::NOENT) => true,
        Err(errno) => return Err(errno.into()),
    };
    let mut index = if is_new {
        Index { schema_version: 2, media_type: Some(OCI_INDEX.into()), manifests: Vec::new(), annotations: None }
    } else {
        read_index(&dir)?
    };
    make_directory(&dir, "blobs")?;
    for &blob in &freight.blobs {
        if statat(&dir, format!("blobs/{}", blob.digest.path()), AtFlags::empty()).is_ok() {
            progress(Event::Cached { digest: &blob.digest });
            continue;
        }
        make_directory(&dir, &format!("blobs/{}", blob.digest.algorithm().name()))?;
        let mut reader = super::verified(freight, blob, progress)?;
        let written = replace(&dir, &format!("blobs/{}", blob.digest.path()), |file| io::copy(&mut reader, file));
        written.context(|| format!("copy blob {}", blob.digest))?;
        progress(Event::Done { digest: &blob.digest });
    }
    for &(descriptor, mut bytes) in freight.below.iter().chain([&freight.root]) {
        make_directory(&dir, &format!("blobs/{}", descriptor.digest.algorithm().name()))?;
        replace(&dir, &format!("blobs/{}", descriptor.digest.path()), |file| io::copy(&mut bytes, file))?;
    }
    add(&mut index, freight, name);
    let bytes = Document::to_json(&index)?;
    replace(&dir, "index.json", |file| io::copy(&mut bytes.as_slice(), file))?;
    // Last: a layout without it is none.
    if is_new {
        replace(&dir, "oci-layout", |file| io::copy(&mut &*MARKER, file))?;
    }
    Ok(())
}

/// Lists the image in an index.
fn add(index: &mut Index, freight: &Freight<'_>, name: Option<&str>) {
    let entry = entry(freight, name, None);
    for other in &mut index.manifests {
        if let Some(annotations) = &mut other.annotations
            && name.is_some_and(|name| annotations.get(REF_NAME).is_some_and(|own| own == name))
        {
            annotations.remove(REF_NAME);
        }
    }
    // Without a name nobody finds the one that was there.
    let named = |entry: &Descriptor| entry.names().next().is_some();
    index.manifests.retain(|other| other.digest != entry.digest || named(other));
    index.manifests.retain(|other| named(other) || name.is_none() || other.annotations.is_none());
    index.manifests.push(entry);
}

/// The descriptor of the image for an index: with its platform, and its names.
pub fn entry(freight: &Freight<'_>, name: Option<&str>, full: Option<String>) -> Descriptor {
    let mut entry = freight.root.0.clone();
    entry.platform = None;
    if let Some(Source { manifest, config, .. }) = freight.image {
        entry.media_type = manifest.media_type.clone();
        entry.platform = (!config.architecture.is_empty()).then(|| Platform {
            architecture: config.architecture.clone(),
            os: if config.os.is_empty() { "linux".into() } else { config.os.clone() },
            variant: config.variant.clone(),
            ..Default::default()
        });
    }
    let mut annotations = BTreeMap::new();
    if let Some(name) = name {
        annotations.insert(REF_NAME.to_owned(), name.to_owned());
    }
    if let Some(full) = full {
        annotations.insert("io.containerd.image.name".to_owned(), full);
    }
    entry.annotations = (!annotations.is_empty()).then_some(annotations);
    entry
}

fn read_index(dir: &OwnedFd) -> Result<Index> {
    let file = File::from(openat(dir, "index.json", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?);
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, crate::manifest::DOCUMENT_LIMIT + 1), &mut bytes)?;
    parse_index(&bytes)
}

fn make_directory(dir: &impl AsFd, path: &str) -> Result<()> {
    match mkdirat(dir, path, DIRECTORY) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(Error::from(errno).within(format!("make {path}"))),
    }
}

/// Writes a file beside its place and moves it there when it is whole.
fn replace(dir: &OwnedFd, path: &str, write: impl FnOnce(&mut File) -> io::Result<u64>) -> Result<()> {
    let temporary = format!("{path}.{}", std::process::id());
    let replaced = || -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(dir, &temporary, flags, FILE)?);
        write(&mut file)?;
        file.sync_data()?;
        Ok(renameat(dir, &temporary, dir, path)?)
    };
    let done = replaced().context(|| format!("write {path}"));
    if done.is_err() {
        // The error is what counts.
        let _ = unlinkat(dir, &temporary, AtFlags::empty());
    }
    done
}
