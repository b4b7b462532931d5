//! An archive that is of both kinds: an OCI image layout, and manifest.json beside it as `docker load` wants it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use serde_json::json;

use super::layout::{MARKER, entry};
use crate::error::{Context, Result};
use crate::freight::Freight;
use crate::manifest::{Descriptor, Document, Index, OCI_INDEX};
use crate::name::Name;
use crate::progress::{Event, Progress};
use crate::tar::{Time, Writer};

/// Writes the archive `path` beside its place and moves it there when it is whole. `tag` is the name it was asked to
/// have, `name` the one it has in the store.
pub fn write_file(
    freight: &Freight<'_>,
    path: &Path,
    tag: Option<&str>,
    name: Option<&Name>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    // One that is there was left behind, or laid there by somebody who would keep it open.
    let _ = std::fs::remove_file(&temporary);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&temporary, flags, Mode::from_raw_mode(0o644)).map(File::from)?;
    let written = write(freight, file, tag, name, progress).and_then(|()| Ok(std::fs::rename(&temporary, path)?));
    if written.is_err() {
        // The error is what counts.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Writes the archive to a stream.
pub fn write(
    freight: &Freight<'_>,
    out: impl Write,
    tag: Option<&str>,
    name: Option<&Name>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut archive = Writer::new(BufWriter::with_capacity(1 << 17, out));
    // A tag alone names an image for the OCI; Docker wants a repository, and takes no digest.
    let full = tag.and_then(|tag| tag.parse::<Name>().ok().filter(|_| tag.contains([':', '/'])));
    let full = full.or(name.cloned()).map(Name::tagged);
    let repository = full.as_ref().and_then(|full| Some(format!("{}/{}:{}", full.host(), full.path(), full.tag()?)));
    let tag = tag.map(str::to_owned).or_else(|| full.as_ref()?.tag().map(str::to_owned));
    member(&mut archive, "oci-layout", MARKER)?;
    for &blob in &freight.blobs {
        let path = format!("blobs/{}", blob.digest.path());
        let mut content = super::verified(freight, blob, progress)?;
        let copied = archive.file(&path, blob.size, Time::default(), &mut content);
        // The end of the content is where its digest is found right.
        copied
            .and_then(|()| Ok(io::copy(&mut content, &mut io::sink())?))
            .context(|| format!("copy blob {}", blob.digest))?;
        progress(Event::Done { digest: &blob.digest });
    }
    for (descriptor, bytes) in freight.below.iter().chain([&freight.root]) {
        member(&mut archive, &format!("blobs/{}", descriptor.digest.path()), bytes)?;
    }
    let entry = entry(freight, tag.as_deref(), repository.clone());
    let media_type = Some(OCI_INDEX.to_owned());
    let index = Index { schema_version: 2, media_type, manifests: vec![entry], annotations: None };
    member(&mut archive, "index.json", &Document::to_json(&index)?)?;
    // Docker's list has no room for an index.
    if let Some(image) = freight.image {
        let blob = |blob: &Descriptor| format!("blobs/{}", blob.digest.path());
        let layers: Vec<_> = image.manifest.layers.iter().map(blob).collect();
        let list = json!([{"Config": blob(&image.manifest.config),
            "RepoTags": repository.into_iter().collect::<Vec<_>>(), "Layers": layers}]);
        member(&mut archive, "manifest.json", list.to_string().as_bytes())?;
    }
    Ok(archive.finish()?.flush()?)
}

/// The same image gives the same archive: everything in it is of the beginning of time.
fn member(archive: &mut Writer<impl Write>, path: &str, content: &[u8]) -> Result<()> {
    archive.file(path, content.len() as u64, Time::default(), &mut &content[..])
}
