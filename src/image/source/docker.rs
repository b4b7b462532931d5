//! What `docker save` and `podman save` write: configurations and uncompressed layers, and manifest.json which lists
//! them. A manifest in the form of the OCI is made of that.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use super::Content;
use super::archive::Archive;
use super::slice::Slice;
use crate::compression::Compression;
use crate::configuration::Configuration;
use crate::digest::{Algorithm, Digest, Hasher};
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::{
    Descriptor, Document, Manifest, OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST,
};
use crate::name::Name;

/// An image of manifest.json.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// The parts of the made image.
pub struct DockerArchive {
    documents: BTreeMap<Digest, Vec<u8>>,
    layers: BTreeMap<Digest, Slice>,
}

impl Content for DockerArchive {
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        if let Some(layer) = self.layers.get(&blob.digest) {
            return Ok(Box::new(layer.clone().from(offset)));
        }
        let missing = || Error::new(Kind::NotFound, format!("the archive has no blob {}", blob.digest));
        let mut bytes = std::io::Cursor::new(self.documents.get(&blob.digest).ok_or_else(missing)?.clone());
        bytes.set_position(offset);
        Ok(Box::new(bytes))
    }
}

/// The image called `name`, or the only one of the archive.
pub fn synthesized(archive: Archive, name: Option<&str>) -> Result<(DockerArchive, Descriptor, Option<Name>)> {
    let listed = archive.small("manifest.json").context(|| "not an archive of docker save")?;
    let entries: Vec<Entry> =
        serde_json::from_slice(&listed).map_err(|error| Error::invalid(format!("parse manifest.json: {error}")))?;
    let entry = chosen(&entries, name)?;
    let config_bytes = archive.small(&entry.config)?;
    let config = Configuration::parse(&config_bytes)?;
    let diff_ids = &config.rootfs.diff_ids;
    let paths = entry.layers.as_deref().unwrap_or_default();
    if diff_ids.len() != paths.len() {
        let (layers, ids) = (paths.len(), diff_ids.len());
        return Err(Error::invalid(format!("the image has {layers} layers and its configuration {ids} diff_ids")));
    }
    let mut layers = BTreeMap::new();
    let mut descriptors = Vec::new();
    for (path, diff_id) in paths.iter().zip(diff_ids) {
        let slice = archive.member(path)?;
        let descriptor = layer(&slice, diff_id).context(|| format!("read layer {path}"))?;
        layers.insert(descriptor.digest.clone(), slice);
        descriptors.push(descriptor);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.into(),
        config: Descriptor::of(OCI_CONFIG, &config_bytes),
        layers: descriptors,
        annotations: None,
    };
    let bytes = Document::to_json(&manifest)?;
    let descriptor = Descriptor::of(OCI_MANIFEST, &bytes);
    let own = entry.repo_tags.iter().flatten().find_map(|tag| tag.parse().ok());
    let documents =
        BTreeMap::from([(manifest.config.digest.clone(), config_bytes), (descriptor.digest.clone(), bytes)]);
    Ok((DockerArchive { documents, layers }, descriptor, own))
}

fn chosen<'a>(entries: &'a [Entry], name: Option<&str>) -> Result<&'a Entry> {
    let tags = |entry: &Entry| entry.repo_tags.clone().unwrap_or_default();
    let Some(name) = name else {
        return match entries {
            [only] => Ok(only),
            [] => Err(Error::invalid("the archive has no image")),
            several => {
                let names: Vec<_> = several.iter().flat_map(tags).collect();
                Err(Error::invalid(format!("several images, give the name of one: {}", names.join(", "))))
            }
        };
    };
    let same = |tag: &str| {
        let wanted = Name::candidates(name);
        tag == name || tag.parse::<Name>().is_ok_and(|tag| wanted.contains(&tag.tagged()))
    };
    let found = entries.iter().find(|entry| tags(entry).iter().any(|tag| same(tag)));
    found.ok_or_else(|| Error::new(Kind::NotFound, format!("no image is called {name:?}")))
}

/// An uncompressed layer is its own diffID; a compressed one has to be read for its digest.
fn layer(slice: &Slice, diff_id: &Digest) -> Result<Descriptor> {
    let mut start = Vec::new();
    slice.clone().take(6).read_to_end(&mut start)?;
    let media_type = match Compression::sniff(&start) {
        Compression::None => return Ok(Descriptor::new(OCI_LAYER, diff_id.clone(), slice.size())),
        Compression::Gzip => OCI_LAYER_GZIP,
        Compression::Zstd => OCI_LAYER_ZSTD,
    };
    let mut hasher = Hasher::new(Algorithm::Sha256);
    std::io::copy(&mut slice.clone(), &mut hasher)?;
    Ok(Descriptor::new(media_type, hasher.finish(), slice.size()))
}
