//! What travels when an image is copied: blobs, and the manifests and indexes that lead to them.

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::{Descriptor, Document, OCI_INDEX};
use crate::name::Name;
use crate::reference::Reference;
use crate::registry::Access;
use crate::source::{Content, INDEX_DEPTH, Root, Source, document, place};
use crate::store::Store;

/// Manifests and indexes together may have so many bytes.
const DOCUMENTS_LIMIT: usize = 64 << 20;

/// Everything to be copied.
pub struct Freight<'a> {
    pub content: &'a dyn Content,
    /// Layers and configurations, each once.
    pub blobs: Vec<&'a Descriptor>,
    /// Manifests and indexes that the root leads to, the lowest first.
    pub below: Vec<(&'a Descriptor, &'a [u8])>,
    /// What gets the name, and its bytes.
    pub root: (&'a Descriptor, &'a [u8]),
    /// The one image it is; none if it is an index.
    pub image: Option<&'a Source>,
    /// The name its place gives it.
    pub name: Option<&'a Name>,
}

impl<'a> From<&'a Source> for Freight<'a> {
    fn from(source: &'a Source) -> Freight<'a> {
        Freight {
            content: &*source.content,
            blobs: once(source.manifest.layers.iter().chain([&source.manifest.config])),
            below: Vec::new(),
            root: (&source.descriptor, &source.bytes),
            image: Some(source),
            name: source.name.as_ref(),
        }
    }
}

/// An index with all that it leads to: images of every platform, and what else is said of them.
pub struct All {
    content: Box<dyn Content>,
    documents: Vec<(Descriptor, Vec<u8>)>,
    blobs: Vec<Descriptor>,
    root: (Descriptor, Vec<u8>),
    name: Option<Name>,
}

impl All {
    /// Opens what is at `reference`; none if that is no index but one image.
    ///
    /// # Errors
    /// Name the reference, and the blob they are about.
    pub fn open(reference: &Reference, store: &Store, access: &Access) -> Result<Option<All>> {
        let open = || -> Result<Option<All>> {
            let (content, root, name) = place(reference, store, access)?;
            let descriptor = match root {
                Root::One(descriptor) => descriptor,
                Root::Index(index, name) => index.only(name.as_deref())?.clone(),
            };
            let mut documents = Vec::new();
            let mut blobs = Vec::new();
            walk(&*content, &descriptor, INDEX_DEPTH, &mut documents, &mut blobs)?;
            let root = documents.pop().filter(|_| !documents.is_empty());
            Ok(root.map(|root| All { content, documents, blobs, root, name }))
        };
        open().context(|| reference)
    }

    pub fn freight(&self) -> Freight<'_> {
        Freight {
            content: &*self.content,
            blobs: once(self.blobs.iter()),
            below: self.documents.iter().map(|(descriptor, bytes)| (descriptor, bytes.as_slice())).collect(),
            root: (&self.root.0, &self.root.1),
            image: None,
            name: self.name.as_ref(),
        }
    }
}

fn once<'a>(blobs: impl Iterator<Item = &'a Descriptor>) -> Vec<&'a Descriptor> {
    let mut seen: BTreeSet<&Digest> = BTreeSet::new();
    blobs.filter(|blob| seen.insert(&blob.digest)).collect()
}

/// Reads a document after all those it leads to.
fn walk(
    content: &dyn Content,
    descriptor: &Descriptor,
    depth: usize,
    documents: &mut Vec<(Descriptor, Vec<u8>)>,
    blobs: &mut Vec<Descriptor>,
) -> Result<()> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::invalid(format!("more than {INDEX_DEPTH} indexes in each other")));
    };
    if documents.iter().any(|(known, _)| known.digest == descriptor.digest) {
        return Ok(());
    }
    let bytes = document(content, descriptor)?;
    if documents.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() + bytes.len() > DOCUMENTS_LIMIT {
        return Err(Error::invalid(format!("its manifests have more than {DOCUMENTS_LIMIT} bytes")));
    }
    let mut descriptor = descriptor.clone();
    match Document::outline(&bytes, &descriptor.media_type).context(|| format!("manifest {}", descriptor.digest))? {
        Document::Manifest(manifest) => {
            descriptor.media_type = manifest.media_type;
            blobs.extend(manifest.layers.into_iter().chain([manifest.config]));
        }
        Document::Index(index) => {
            descriptor.media_type = index.media_type.unwrap_or_else(|| OCI_INDEX.into());
            for child in &index.manifests {
                walk(content, child, depth, documents, blobs)?;
            }
        }
    }
    documents.push((descriptor, bytes));
    Ok(())
}
