//! A repository of a registry (the distribution specification), by plain blocking HTTP.

mod challenge;
mod credentials;
mod http;
mod resume;
mod upload;

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::{DOCKER_LIST, DOCKER_MANIFEST, DOCUMENT_LIMIT, Descriptor, Document, OCI_INDEX, OCI_MANIFEST};
use crate::name::Name;
use crate::source::Content;
use http::{Body, Client};

/// How registries are spoken to.
#[derive(Debug, Clone)]
pub struct Access {
    /// Certificates are checked, and there is no plain HTTP.
    pub tls_verify: bool,
    /// `USER:PASSWORD` instead of those found in files.
    pub credentials: Option<String>,
    /// The only file that is looked into for credentials.
    pub authfile: Option<PathBuf>,
}

impl Default for Access {
    fn default() -> Access {
        Access { tls_verify: true, credentials: None, authfile: None }
    }
}

/// What is done with a repository, for its permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Pull,
    Push,
}

/// A repository, and the version of it that was asked for.
#[derive(Debug, Clone)]
pub struct Registry {
    name: Name,
    client: Arc<Client>,
    documents: Arc<Mutex<HashMap<Digest, Vec<u8>>>>,
}

impl Registry {
    /// The repository of `name`, to read.
    pub fn open(name: &Name, access: &Access) -> Result<Registry> {
        Registry::connect(name, access, Purpose::Pull)
    }

    /// The repository of `name`, to write.
    pub fn open_to_push(name: &Name, access: &Access) -> Result<Registry> {
        Registry::connect(name, access, Purpose::Push)
    }

    fn connect(name: &Name, access: &Access, purpose: Purpose) -> Result<Registry> {
        let client = Arc::new(Client::connect(name, access, purpose)?);
        Ok(Registry { name: name.clone(), client, documents: Arc::default() })
    }

    /// The descriptor of what the name stands for. Its bytes are kept, so that they are asked for once.
    pub fn resolve(&self) -> Result<Descriptor> {
        let version = self.name.version();
        let (bytes, media_type, header) = self.manifest(&version).context(|| format!("get manifest {}", self.name))?;
        let digest = match self.name.digest() {
            Some(wanted) => wanted.clone(),
            None => Digest::sha256(&bytes),
        };
        // With another algorithm the digest is checked when the document is read.
        if header.is_some_and(|header| header.starts_with("sha256:") && header != Digest::sha256(&bytes).to_string()) {
            return Err(Error::new(Kind::Mismatch, format!("{}: the registry announced another digest", self.name)));
        }
        let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        self.documents.lock().unwrap_or_else(PoisonError::into_inner).insert(digest, bytes);
        Ok(descriptor)
    }

    /// Bytes, media type and announced digest of a manifest or index.
    fn manifest(&self, version: &str) -> Result<(Vec<u8>, String, Option<String>)> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", ");
        let path = format!("manifests/{version}");
        let response = self.client.call("GET", &path, &[("Accept", &accept)], &mut Body::None)?.expect(&[200])?;
        let header = |name: &str| response.header(name);
        let media_type = header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let digest = header("docker-content-digest");
        let bytes = response.bytes(DOCUMENT_LIMIT)?;
        // Some registries answer with a general type; the document itself says what it is.
        let media_type = if media_type.starts_with("application/vnd.") { media_type } else { String::new() };
        Document::outline(&bytes, &media_type)?;
        Ok((bytes, media_type, digest))
    }

    /// The response with a blob's bytes from `offset` on.
    fn blob(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let path = format!("blobs/{}", blob.digest);
        let range = format!("bytes={offset}-");
        let headers: &[(&str, &str)] = if offset > 0 { &[("Range", &range)] } else { &[] };
        let response = self.client.call("GET", &path, headers, &mut Body::None)?.expect(&[200, 206])?;
        let skipped = match response.status() {
            206 => {
                let range = response.header("content-range").unwrap_or_default();
                let begin = range.trim_start_matches("bytes ").split('-').next().and_then(|text| text.parse().ok());
                if begin != Some(offset) {
                    return Err(Error::invalid(format!("the registry answered with range {range:?}")));
                }
                0
            }
            // It knows no ranges: what is there already comes once more.
            _ => offset,
        };
        let mut reader = response.into_reader();
        std::io::copy(&mut (&mut reader).take(skipped), &mut std::io::sink())?;
        Ok(reader)
    }
}

impl Content for Registry {
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let is_document = [OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].contains(&blob.media_type.as_str())
            || blob.media_type.is_empty();
        if !is_document {
            return Ok(Box::new(resume::Resuming::open(self.clone(), blob.clone(), offset)?));
        }
        let known = self.documents.lock().unwrap_or_else(PoisonError::into_inner).get(&blob.digest).cloned();
        let bytes = match known {
            Some(bytes) => bytes,
            None => self.manifest(&blob.digest.to_string())?.0,
        };
        let mut bytes = std::io::Cursor::new(bytes);
        bytes.set_position(offset);
        Ok(Box::new(bytes))
    }
}
