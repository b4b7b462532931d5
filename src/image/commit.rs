//! A container's changes as a new layer of a new image.

mod change;

use std::io::{Seek, SeekFrom, Write};

use flate2::Compression as Level;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

pub use change::Change;

use crate::bundle::Bundle;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Context, Error, Result};
use crate::layer_writer::write_layer;
use crate::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCUMENT_LIMIT, Descriptor, Document, Manifest, OCI_CONFIG, OCI_LAYER_GZIP,
};
use crate::name::Name;
use crate::store::{Reference, Store};
use crate::time;

/// What is said of a new image.
#[derive(Debug, Clone, Default)]
pub struct About {
    pub author: Option<String>,
    pub message: Option<String>,
    pub changes: Vec<Change>,
}

/// Makes an image of the bundle's image and what its container has changed. The answer is the digest of its manifest.
pub fn commit(bundle: &Bundle, store: &Store, name: &Name, about: &About) -> Result<Digest> {
    let base = &bundle.record.manifest;
    let read = |digest: &Digest| store.small_blob(digest, DOCUMENT_LIMIT);
    let Document::Manifest(mut manifest) = Document::parse(&read(&base.digest)?, &base.media_type)? else {
        return Err(Error::invalid("the bundle was made of an index"));
    };
    let mut config: Value = serde_json::from_slice(&read(&manifest.config.digest)?)
        .map_err(|error| Error::invalid(format!("parse image configuration: {error}")))?;
    let (layer, diff_id) = layer(bundle, store, &manifest)?;
    manifest.layers.push(layer);
    let created = time::rfc3339(time::now());
    add_layer(&mut config, &diff_id, &created, about)?;
    for change in &about.changes {
        change.apply(&mut config["config"]);
    }
    let bytes = Document::to_json(&config)?;
    manifest.config = Descriptor::of(if manifest.is_docker() { DOCKER_CONFIG } else { OCI_CONFIG }, &bytes);
    // They were about the image that this one is made of.
    manifest.annotations = None;
    store.put_bytes(&bytes)?;
    let bytes = Document::to_json(&manifest)?;
    let digest = store.put_bytes(&bytes)?;
    let reference = Reference { media_type: manifest.media_type, digest: digest.clone(), size: bytes.len() as u64 };
    store.set_reference(&name.to_string(), &reference)?;
    Ok(digest)
}

/// Writes the changes into the store: descriptor and diffID.
fn layer(bundle: &Bundle, store: &Store, manifest: &Manifest) -> Result<(Descriptor, Digest)> {
    let packed = Hashed::new(crate::source::unnamed_file()?);
    let mut expanded = Hashed::new(GzEncoder::new(packed, Level::new(6)));
    write_layer(&bundle.upper()?, &bundle.mount_points()?, &mut expanded).context(|| "read the changes")?;
    let diff_id = expanded.hasher.finish();
    let packed = expanded.inner.finish().context(|| "write the layer")?;
    let (digest, mut blob) = (packed.hasher.finish(), packed.inner);
    let size = blob.seek(SeekFrom::End(0))?;
    blob.seek(SeekFrom::Start(0))?;
    store.put_blob(&digest, size, &mut blob)?;
    let media_type = if manifest.is_docker() { DOCKER_LAYER_GZIP } else { OCI_LAYER_GZIP };
    Ok((Descriptor::new(media_type, digest, size), diff_id))
}

/// Enters the layer into a configuration, all else of which stays as it was.
fn add_layer(config: &mut Value, diff_id: &Digest, created: &str, about: &About) -> Result<()> {
    let list = |value: &mut Value, what: &str, entry: Value| -> Result<()> {
        if value.is_null() {
            *value = json!([]);
        }
        let list = value.as_array_mut().ok_or_else(|| Error::invalid(format!("{what} of the image is not a list")))?;
        list.push(entry);
        Ok(())
    };
    if !config.is_object() || !config["rootfs"].is_object() {
        return Err(Error::invalid("the configuration of the image has no rootfs"));
    }
    list(&mut config["rootfs"]["diff_ids"], "diff_ids", json!(diff_id))?;
    let mut entry = json!({"created": created, "created_by": "coracle-image commit"});
    if let Some(author) = &about.author {
        entry["author"] = json!(author);
        config["author"] = json!(author);
    }
    if let Some(message) = &about.message {
        entry["comment"] = json!(message);
    }
    list(&mut config["history"], "history", entry)?;
    config["created"] = json!(created);
    if config["config"].is_null() {
        config["config"] = json!({});
    }
    // They belong to the container of Docker's that the base was once made of.
    for stale in ["container", "container_config", "id", "parent"] {
        if let Some(object) = config.as_object_mut() {
            object.remove(stale);
        }
    }
    Ok(())
}

/// A writer that knows the digest of what went through.
struct Hashed<W> {
    inner: W,
    hasher: Hasher,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Hashed<W> {
        Hashed { inner, hasher: Hasher::new(Algorithm::Sha256) }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}
