//! What is kept: blobs and layers that a name leads to, and layers a container stands on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::chain::{Chain, chain_ids};
use super::{FILE, Store};
use crate::configuration::Configuration;
use crate::digest::Digest;
use crate::error::{Context, Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Document};

/// Indexes in indexes are followed so far.
const DEPTH: usize = 8;

/// What a collection of garbage has removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    pub blobs: u64,
    pub layers: u64,
    /// Bytes of the blobs.
    pub bytes: u64,
}

/// A container that stands on a chain.
#[derive(Debug, Serialize, Deserialize)]
struct Lease {
    /// Its directory: when that is gone, so is the container.
    holder: PathBuf,
    diff_ids: Vec<Digest>,
}

#[derive(Default)]
struct Marked {
    blobs: HashSet<Digest>,
    diff_ids: HashSet<Digest>,
    chains: HashSet<Digest>,
}

impl Store {
    /// Keeps the layers of `chain` as long as the directory `holder` exists. `name` is that of the lease: a second one of
    /// the same name takes its place.
    pub fn lease(&self, name: &str, chain: &Chain, holder: &Path) -> Result<()> {
        let lease = Lease { holder: std::path::absolute(holder)?, diff_ids: chain.diff_ids.clone() };
        let leased = || -> Result<()> {
            let making = self.making()?;
            let temporary = making.path("lease.json");
            self.write_durably(&temporary, &lease)?;
            Ok(renameat(&self.dir, &temporary, &self.dir, format!("leases/{}", Digest::sha256(name.as_bytes()).hex()))?)
        };
        leased().context(|| format!("keep the layers of {name}"))
    }

    /// Removes all that no reference and no lease leads to, and what killed processes have left. Waits until nobody else
    /// has the store open.
    ///
    /// # Errors
    /// An image whose manifest cannot be read: nothing is removed then. The kernel's.
    pub fn gc(&self) -> Result<Freed> {
        flock(&self.lock, FlockOperation::LockExclusive).context(|| "lock the store")?;
        let freed = self.collect();
        flock(&self.lock, FlockOperation::LockShared).context(|| "unlock the store")?;
        freed
    }

    fn collect(&self) -> Result<Freed> {
        let mut marked = Marked::default();
        for (name, reference) in self.references()? {
            let walked = self.mark(&reference.digest, &mut marked, DEPTH);
            walked.context(|| format!("image {name}"))?;
        }
        for name in self.names("leases")? {
            let place = format!("leases/{name}");
            let lease: Option<Lease> = self.record(&place)?;
            match lease {
                Some(lease) if is_there(&lease.holder)? => marked.layers(&lease.diff_ids),
                _ => unlinkat(&self.dir, &place, AtFlags::empty()).context(|| format!("remove {place}"))?,
            }
        }
        let mut freed = Freed::default();
        self.sweep_blobs(&marked, &mut freed)?;
        for (kind, kept) in [("layers", &marked.diff_ids), ("chains", &marked.chains)] {
            for algorithm in ["sha256", "sha512"] {
                let directory = format!("{kind}/{algorithm}");
                for name in self.names(&directory)? {
                    let digest: Option<Digest> = format!("{algorithm}:{name}").parse().ok();
                    if !digest.is_some_and(|digest| kept.contains(&digest)) {
                        self.discard(&format!("{directory}/{name}"))?;
                        freed.layers += 1;
                    }
                }
            }
        }
        // Nobody else has the store open, so all of this is abandoned.
        for name in self.names("temporary")? {
            self.discard(&format!("temporary/{name}"))?;
        }
        for name in self.names("trash")? {
            self.remove_trash(&name)?;
        }
        Ok(freed)
    }

    fn sweep_blobs(&self, marked: &Marked, freed: &mut Freed) -> Result<()> {
        for algorithm in ["sha256", "sha512"] {
            let directory = format!("blobs/{algorithm}");
            for name in self.names(&directory)? {
                let digest: Option<Digest> = format!("{algorithm}:{name}").parse().ok();
                if digest.is_some_and(|digest| marked.blobs.contains(&digest)) {
                    continue;
                }
                let place = format!("{directory}/{name}");
                let stat = statat(&self.dir, &place, AtFlags::SYMLINK_NOFOLLOW)?;
                unlinkat(&self.dir, &place, AtFlags::empty()).context(|| format!("remove {place}"))?;
                freed.blobs += 1;
                freed.bytes += u64::try_from(stat.st_size).unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Marks the blob and, if it is an index or manifest, all it leads to that is here: of an index that is often one
    /// platform alone.
    fn mark(&self, digest: &Digest, marked: &mut Marked, depth: usize) -> Result<()> {
        if depth == 0 {
            return Err(Error::invalid("indexes in indexes are nested too deeply"));
        }
        if !marked.blobs.insert(digest.clone()) || !self.has_blob(digest)? {
            return Ok(());
        }
        let document = Document::outline(&self.small_blob(digest, DOCUMENT_LIMIT)?, "");
        match document.context(|| format!("manifest {digest}"))? {
            Document::Index(index) => {
                for child in &index.manifests {
                    self.mark(&child.digest, marked, depth - 1)?;
                }
            }
            Document::Manifest(manifest) => {
                let config = &manifest.config.digest;
                if self.has_blob(config)? {
                    // Of what is no image, or cannot be read as one, nothing was unpacked.
                    let config = Configuration::parse(&self.small_blob(config, DOCUMENT_LIMIT)?);
                    marked.layers(&config.unwrap_or_default().rootfs.diff_ids);
                }
                marked.blobs.extend(manifest.layers.into_iter().chain([manifest.config]).map(|blob| blob.digest));
            }
        }
        Ok(())
    }
}

impl Marked {
    fn layers(&mut self, diff_ids: &[Digest]) {
        self.chains.extend(chain_ids(diff_ids));
        self.diff_ids.extend(diff_ids.iter().cloned());
    }
}

fn is_there(path: &Path) -> Result<bool> {
    match openat(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, FILE) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno).context(|| format!("look up {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::{OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST};
    use crate::store::Reference;

    /// What pull can read, gc can: members it does not know may be of any form.
    #[test]
    fn odd_documents_do_not_stop_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let put = |text: String| store.put_bytes(text.as_bytes()).unwrap();
        let layer = put("layer".into());
        let config = put(format!(r#"{{"os": "linux", "rootfs": {{"diff_ids": ["{layer}"]}}, "odd": {deep}}}"#));
        let part = |kind: &str, digest: &Digest| json!({"mediaType": kind, "digest": digest, "size": 1});
        let manifest = put(format!(
            r#"{{"schemaVersion": 2, "odd": {deep}, "config": {}, "layers": [{}]}}"#,
            part(OCI_CONFIG, &config),
            part(OCI_LAYER_GZIP, &layer)
        ));
        put("garbage".into());
        let reference = Reference { media_type: OCI_MANIFEST.into(), digest: manifest, size: 1 };
        store.set_reference("odd", &reference).unwrap();
        std::fs::create_dir(dir.path().join("store/layers").join(layer.path())).unwrap();
        assert_eq!(store.gc().unwrap(), Freed { blobs: 1, layers: 0, bytes: 7 });
        store.remove_reference("odd").unwrap();
        assert_eq!(store.gc().unwrap().blobs, 3);
    }
}
