//! The documents an image is described by: descriptors, manifests and indexes, of the OCI and of Docker's schema 2.
//!
//! Types of our own and not those of `oci-spec`: what is written must have the same bytes each time, and a document is
//! refused when its kind can be read in two ways (CVE-2021-41190).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compression::Compression;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::platform::Platform;

/// The most bytes a manifest, an index or an image configuration may have.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;

/// The most layers of an image; the kernel's overlay takes 500.
const LAYER_LIMIT: usize = 500;

pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// The annotation of a layout's index that names an image.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A name for content: its type, its digest and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    #[serde(default)]
    pub media_type: String,
    pub digest: Digest,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urls: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Descriptor {
        let media_type = media_type.into();
        Descriptor { media_type, digest, size, urls: None, annotations: None, platform: None, artifact_type: None }
    }

    /// The descriptor of `bytes`.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Descriptor {
        Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// The name an index gives it, by the layout's or by containerd's annotation.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let annotations = self.annotations.as_ref();
        [REF_NAME, "io.containerd.image.name"].into_iter().filter_map(move |key| Some(annotations?.get(key)?.as_str()))
    }

    /// Whether what it names may be an image's manifest or an index: not an attestation, nor another artifact.
    fn is_image(&self) -> bool {
        let attestation = self.platform.as_ref().is_some_and(|platform| platform.os == "unknown");
        !attestation && Kind::of(&self.media_type).is_some()
    }
}

/// One image: a configuration and layers, the lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub schema_version: u32,
    pub media_type: String,
    pub config: Descriptor,
    pub layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// Several images, or indexes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    pub schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    pub manifests: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Index,
}

impl Kind {
    /// The kind of a document by its media type; one without any is told by its members.
    fn of(media_type: &str) -> Option<Kind> {
        match media_type {
            OCI_MANIFEST | DOCKER_MANIFEST => Some(Kind::Manifest),
            OCI_INDEX | DOCKER_LIST => Some(Kind::Index),
            _ => None,
        }
    }
}

/// All members of any kind, so that a document of two kinds is seen.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Members {
    schema_version: u32,
    media_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    fs_layers: Option<serde::de::IgnoredAny>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Document {
    /// Reads an index or the manifest of an image. `media_type` is what it was announced as, empty if it was not.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Document> {
        let document = Document::outline(bytes, media_type)?;
        if let Document::Manifest(manifest) = &document {
            manifest.check()?;
        }
        Ok(document)
    }

    /// Reads what a document leads to, be it an image or another artifact.
    pub fn outline(bytes: &[u8], media_type: &str) -> Result<Document> {
        if bytes.len() as u64 > DOCUMENT_LIMIT {
            return Err(Error::invalid(format!("a manifest of {} bytes is larger than {DOCUMENT_LIMIT}", bytes.len())));
        }
        let members: Members =
            serde_json::from_slice(bytes).map_err(|error| Error::invalid(format!("parse manifest: {error}")))?;
        let inner = members.media_type.clone().unwrap_or_default();
        if !media_type.is_empty() && !inner.is_empty() && media_type != inner {
            return Err(Error::invalid(format!("a manifest announced as {media_type:?} says that it is {inner:?}")));
        }
        let stated = if inner.is_empty() { media_type } else { &inner };
        let kind = match (Kind::of(stated), &members.manifests) {
            (Some(kind), _) => kind,
            (None, _) if !stated.is_empty() => {
                return Err(Error::invalid(format!("{stated:?} is neither an image manifest nor an index")));
            }
            (None, Some(_)) => Kind::Index,
            (None, None) => Kind::Manifest,
        };
        members.into_document(kind, stated)
    }

    /// The bytes of a document that is written: always the same for the same content.
    pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
        serde_json::to_vec(value).map_err(|error| Error::invalid(format!("write manifest: {error}")))
    }
}

impl Members {
    fn into_document(self, kind: Kind, stated: &str) -> Result<Document> {
        if self.schema_version != 2 || self.fs_layers.is_some() {
            return Err(Error::invalid(format!(
                "a manifest of schema {} is not supported, only 2",
                self.schema_version
            )));
        }
        match (kind, self.config, self.layers, self.manifests) {
            (Kind::Manifest, Some(config), layers, None) => {
                let media_type = if stated.is_empty() { OCI_MANIFEST } else { stated }.to_owned();
                // Some write null where there are none.
                let layers = layers.unwrap_or_default();
                let manifest =
                    Manifest { schema_version: 2, media_type, config, layers, annotations: self.annotations };
                Ok(Document::Manifest(Box::new(manifest)))
            }
            (Kind::Index, None, None, Some(manifests)) => {
                let media_type = (!stated.is_empty()).then(|| stated.to_owned());
                Ok(Document::Index(Index { schema_version: 2, media_type, manifests, annotations: self.annotations }))
            }
            (Kind::Manifest, _, _, None) => Err(Error::invalid("a manifest lacks its config or its layers")),
            (Kind::Index, None, None, None) => Err(Error::invalid("an index lacks its list of manifests")),
            _ => Err(Error::invalid("a document is both a manifest and an index")),
        }
    }
}

impl Manifest {
    fn check(&self) -> Result<()> {
        if !matches!(self.config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG) {
            let media_type = &self.config.media_type;
            return Err(Error::invalid(format!(
                "its configuration is of type {media_type:?}: an artifact, not an image"
            )));
        }
        if self.config.size > DOCUMENT_LIMIT {
            let size = self.config.size;
            return Err(Error::invalid(format!("a configuration of {size} bytes is larger than {DOCUMENT_LIMIT}")));
        }
        if self.layers.len() > LAYER_LIMIT {
            return Err(Error::invalid(format!(
                "an image of {} layers has more than {LAYER_LIMIT}",
                self.layers.len()
            )));
        }
        for layer in &self.layers {
            Compression::of_media_type(&layer.media_type)
                .map_err(|error| error.within(format!("layer {}", layer.digest)))?;
        }
        Ok(())
    }

    /// Whether it is Docker's form and not the OCI's.
    pub fn is_docker(&self) -> bool {
        self.media_type == DOCKER_MANIFEST
    }
}

impl Index {
    /// The image of an index that suits `platform` best. A single image without a platform suits all.
    pub fn select(&self, platform: &Platform) -> Result<&Descriptor> {
        choose(self.manifests.iter(), platform)
    }

    /// The image called `name` in the index of a layout, or its only one.
    pub fn named(&self, name: Option<&str>, platform: &Platform) -> Result<&Descriptor> {
        let Some(name) = name else {
            return self.select(platform).map_err(|error| error.within(self.known()));
        };
        let named: Vec<_> = self.manifests.iter().filter(|entry| entry.names().any(|own| own == name)).collect();
        match named.as_slice() {
            [] => Err(Error::invalid(format!("no image is called {name:?}; {}", self.known()))),
            [only] => Ok(only),
            several => choose(several.iter().copied(), platform),
        }
    }

    /// The only entry, or the only one called `name`: nothing is chosen by platform.
    pub fn only(&self, name: Option<&str>) -> Result<&Descriptor> {
        let suits = |entry: &&Descriptor| name.is_none_or(|name| entry.names().any(|own| own == name));
        match self.manifests.iter().filter(suits).collect::<Vec<_>>().as_slice() {
            [only] => Ok(only),
            [] => Err(Error::invalid(format!("there is no such image; {}", self.known()))),
            _ => Err(Error::invalid(format!("several images, give the name of one; {}", self.known()))),
        }
    }

    fn known(&self) -> String {
        let names: Vec<_> = self.manifests.iter().filter_map(|entry| entry.names().next()).collect();
        if names.is_empty() { "its images have no names".into() } else { format!("it has {}", names.join(", ")) }
    }
}

fn choose<'a>(entries: impl Iterator<Item = &'a Descriptor>, platform: &Platform) -> Result<&'a Descriptor> {
    let images: Vec<_> = entries.filter(|entry| entry.is_image()).collect();
    if let [only] = images.as_slice()
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let distance = |entry: &&&Descriptor| entry.platform.as_ref().and_then(|own| own.distance(platform));
    let suited = images.iter().filter(|entry| distance(entry).is_some());
    let Some(best) = suited.clone().min_by_key(distance) else {
        let platforms: Vec<_> =
            images.iter().filter_map(|entry| entry.platform.as_ref().map(Platform::to_string)).collect();
        return Err(Error::invalid(match platforms.as_slice() {
            [] if images.is_empty() => "it holds no image".into(),
            [] => "several images, give the name of one".into(),
            _ => format!("no image for {platform}, only for {}", platforms.join(", ")),
        }));
    };
    // Which of two is meant cannot be known; the same content twice is no question.
    match suited.filter(|entry| distance(entry) == distance(&best)).find(|entry| entry.digest != best.digest) {
        Some(_) => Err(Error::invalid(format!("several images for {platform}, give the name of one"))),
        None => Ok(best),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(platform: Option<&str>, byte: u8, name: Option<&str>) -> Value {
        let mut entry = json!({"mediaType": OCI_MANIFEST, "size": 1, "digest": format!("sha256:{}", format!("{byte:02x}").repeat(32))});
        if let Some(platform) = platform {
            entry["platform"] = serde_json::to_value(platform.parse::<Platform>().unwrap()).unwrap();
        }
        if let Some(name) = name {
            entry["annotations"] = json!({REF_NAME: name});
        }
        entry
    }

    fn index(entries: &[Value]) -> Index {
        let bytes = serde_json::to_vec(&json!({"schemaVersion": 2, "manifests": entries})).unwrap();
        match Document::parse(&bytes, "").unwrap() {
            Document::Index(index) => index,
            Document::Manifest(_) => panic!("not an index"),
        }
    }

    fn manifest() -> Value {
        let digest = format!("sha256:{}", "0".repeat(64));
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": digest, "size": 2},
            "layers": [{"mediaType": OCI_LAYER_GZIP, "digest": digest, "size": 3}]})
    }

    fn refused(change: impl FnOnce(&mut Value), media_type: &str) -> String {
        let mut document = manifest();
        change(&mut document);
        Document::parse(&serde_json::to_vec(&document).unwrap(), media_type).unwrap_err().to_string()
    }

    #[test]
    fn a_manifest_is_read() {
        let bytes = serde_json::to_vec(&manifest()).unwrap();
        let Document::Manifest(read) = Document::parse(&bytes, OCI_MANIFEST).unwrap() else { panic!("an index") };
        assert_eq!((read.layers.len(), read.config.size), (1, 2));
        assert_eq!(serde_json::from_slice::<Value>(&Document::to_json(&read).unwrap()).unwrap(), manifest());
    }

    #[test]
    fn a_document_of_two_kinds_is_refused() {
        assert!(refused(|d| d["manifests"] = json!([]), "").contains("both"));
        assert!(refused(|d| d["fsLayers"] = json!([]), "").contains("schema"));
        assert!(refused(|_| (), OCI_INDEX).contains("announced"));
        assert!(refused(|d| d["mediaType"] = json!(OCI_INDEX), "").contains("both"));
        assert!(refused(|d| d["mediaType"] = json!("text/plain"), "").contains("neither"));
        assert!(refused(|d| d["schemaVersion"] = json!(1), "").contains("schema 1"));
        let twice = br#"{"schemaVersion":2,"layers":[],"layers":[]}"#;
        assert!(Document::parse(twice, "").unwrap_err().to_string().contains("duplicate"));
    }

    #[test]
    fn parts_of_a_manifest_are_checked() {
        assert!(refused(|d| d["config"]["mediaType"] = json!("application/x"), "").contains("artifact"));
        assert!(refused(|d| d["layers"][0]["mediaType"] = json!("application/x"), "").contains("not that of a layer"));
        assert!(refused(|d| d["layers"][0]["size"] = json!(-1), "").contains("parse manifest"));
        assert!(refused(|d| d["layers"][0]["digest"] = json!("sha256:../../x"), "").contains("parse manifest"));
        assert!(refused(|d| d["layers"][0]["digest"] = json!(format!("md5:{}", "0".repeat(32))), "").contains("parse"));
        assert!(refused(|d| d["config"]["size"] = json!(DOCUMENT_LIMIT + 1), "").contains("larger"));
        let many = |d: &mut Value| d["layers"] = json!(vec![d["layers"][0].clone(); LAYER_LIMIT + 1]);
        assert!(refused(many, "").contains("501 layers"));
        let huge = vec![b' '; DOCUMENT_LIMIT as usize + 1];
        assert!(Document::parse(&huge, "").unwrap_err().to_string().contains("larger"));
    }

    #[test]
    fn images_are_chosen_by_platform_and_name() {
        let amd64: Platform = "linux/amd64".parse().unwrap();
        let chosen = |entries: &[Value], name: Option<&str>| {
            index(entries).named(name, &amd64).map(|entry| entry.digest.to_string()[7..9].to_owned())
        };
        let (plain, other) = (entry(Some("linux/amd64"), 1, Some("a")), entry(Some("linux/arm64"), 2, Some("a")));
        assert_eq!(chosen(&[plain.clone(), other.clone()], None).unwrap(), "01");
        assert_eq!(chosen(&[plain.clone(), other.clone()], Some("a")).unwrap(), "01");
        assert_eq!(chosen(&[entry(None, 3, None)], None).unwrap(), "03");
        assert_eq!(chosen(&[entry(None, 3, Some("x")), entry(None, 4, Some("y"))], Some("y")).unwrap(), "04");
        assert!(chosen(&[entry(None, 3, Some("x")), entry(None, 4, Some("y"))], None).is_err());
        assert!(chosen(&[other], None).unwrap_err().to_string().contains("no image for linux/amd64"));
        assert!(chosen(std::slice::from_ref(&plain), Some("b")).unwrap_err().to_string().contains("it has a"));
        let attestation = json!({"mediaType": OCI_MANIFEST, "size": 1, "digest": format!("sha256:{}", "0".repeat(64)),
            "platform": {"os": "unknown", "architecture": "unknown"}});
        assert_eq!(chosen(&[plain, attestation], None).unwrap(), "01");
    }
}
