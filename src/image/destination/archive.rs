//! An archive that is of both kinds: an OCI image layout, and manifest.json beside it as `docker load` wants it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use serde_json::json;

use super::layout::{MARKER, entry};
use crate::error::{Context, Error, Result};
use crate::manifest::{Document, Index, OCI_INDEX};
use crate::name::Name;
use crate::progress::{Event, Progress};
use crate::source::Source;

const BLOCK: usize = 512;

/// Writes the archive `path` beside its place and moves it there when it is whole. `tag` is the name it was asked to
/// have, `name` the one it has in the store.
pub fn write_file(
    source: &Source,
    path: &Path,
    tag: Option<&str>,
    name: Option<&Name>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = open(&temporary, flags, Mode::from_raw_mode(0o644)).map(File::from)?;
    let written = write(source, file, tag, name, progress).and_then(|()| Ok(std::fs::rename(&temporary, path)?));
    if written.is_err() {
        // The error is what counts.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Writes the archive to a stream.
pub fn write(
    source: &Source,
    out: impl Write,
    tag: Option<&str>,
    name: Option<&Name>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 17, out);
    // A tag alone names an image for the OCI; Docker wants a repository, and takes no digest.
    let full = tag.and_then(|tag| tag.parse::<Name>().ok().filter(|_| tag.contains([':', '/'])));
    let full = full.or(name.cloned()).map(Name::tagged);
    let repository = full.as_ref().and_then(|full| Some(format!("{}/{}:{}", full.host(), full.path(), full.tag()?)));
    let tag = tag.map(str::to_owned).or_else(|| full.as_ref()?.tag().map(str::to_owned));
    member(&mut out, "oci-layout", MARKER)?;
    for blob in super::blobs(source) {
        let path = format!("blobs/{}", blob.digest.path());
        let copied = || -> Result<()> {
            out.write_all(&header(&path, blob.size)?)?;
            io::copy(&mut super::verified(source, blob, progress)?, &mut out)?;
            pad(&mut out, blob.size)
        };
        let mut copied = copied;
        copied().context(|| format!("copy blob {}", blob.digest))?;
        progress(Event::Done { digest: &blob.digest });
    }
    member(&mut out, &format!("blobs/{}", source.descriptor.digest.path()), &source.bytes)?;
    let entry = entry(source, tag.as_deref(), repository.clone());
    let media_type = Some(OCI_INDEX.to_owned());
    let index = Index { schema_version: 2, media_type, manifests: vec![entry], annotations: None };
    member(&mut out, "index.json", &Document::to_json(&index)?)?;
    let blob = |digest: &crate::digest::Digest| format!("blobs/{}", digest.path());
    let layers: Vec<_> = source.manifest.layers.iter().map(|layer| blob(&layer.digest)).collect();
    let list = json!([{"Config": blob(&source.manifest.config.digest),
        "RepoTags": repository.into_iter().collect::<Vec<_>>(), "Layers": layers}]);
    member(&mut out, "manifest.json", list.to_string().as_bytes())?;
    out.write_all(&[0; 2 * BLOCK])?;
    Ok(out.flush()?)
}

fn member(out: &mut impl Write, path: &str, content: &[u8]) -> Result<()> {
    out.write_all(&header(path, content.len() as u64)?)?;
    out.write_all(content)?;
    pad(out, content.len() as u64)
}

fn pad(out: &mut impl Write, size: u64) -> Result<()> {
    let rest = size as usize % BLOCK;
    let zeros = [0; BLOCK];
    Ok(out.write_all(zeros.get(..(BLOCK - rest) % BLOCK).unwrap_or_default())?)
}

/// The ustar header (pax(1)) of a regular file of mode 0644, of the beginning of time, so that the same image gives the
/// same archive.
fn header(path: &str, size: u64) -> Result<[u8; BLOCK]> {
    // 11 octal digits.
    const SIZE_LIMIT: u64 = 1 << 33;
    let mut block = [0; BLOCK];
    if path.len() > 100 || size >= SIZE_LIMIT {
        return Err(Error::invalid(format!("{path} of {size} bytes does not fit into an archive of this kind")));
    }
    let mut put = |at: usize, text: &str| {
        if let Some(field) = block.get_mut(at..at + text.len()) {
            field.copy_from_slice(text.as_bytes());
        }
    };
    put(0, path);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{size:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    if let Some(field) = block.get_mut(148..156) {
        field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    Ok(block)
}
