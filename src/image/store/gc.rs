//! What is kept: blobs and layers that a name leads to, and layers a container stands on.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::{Chain, chain_ids};
use super::{FILE, Store};
use crate::digest::Digest;
use crate::error::{Context, Error, Result};

/// Manifests, indexes and configurations are no larger (the least a registry must take, distribution specification).
pub const MANIFEST_SIZE: u64 = 4 << 20;

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
            self.write_record(&temporary, &lease)?;
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
        let text = self.small_blob(digest, MANIFEST_SIZE)?;
        let manifest: Value =
            serde_json::from_slice(&text).map_err(|e| Error::invalid(format!("read {digest}: {e}")))?;
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            if let Some(digest) = digest_of(child) {
                self.mark(&digest, marked, depth - 1)?;
            }
        }
        marked.blobs.extend(manifest["layers"].as_array().into_iter().flatten().filter_map(digest_of));
        if let Some(config) = digest_of(&manifest["config"]) {
            if self.has_blob(&config)? {
                let text = self.small_blob(&config, MANIFEST_SIZE)?;
                // The configuration of an artifact need not be JSON.
                let config: Value = serde_json::from_slice(&text).unwrap_or_default();
                let diff_ids = config["rootfs"]["diff_ids"].as_array().into_iter().flatten();
                marked.layers(&diff_ids.filter_map(|id| id.as_str()?.parse().ok()).collect::<Vec<_>>());
            }
            marked.blobs.insert(config);
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

fn digest_of(descriptor: &Value) -> Option<Digest> {
    descriptor["digest"].as_str()?.parse().ok()
}

fn is_there(path: &Path) -> Result<bool> {
    match openat(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, FILE) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(errno) => Err(errno).context(|| format!("look up {}", path.display())),
    }
}
