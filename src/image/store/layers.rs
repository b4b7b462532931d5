//! Unpacks the layers of an image into the store, all at the same time, and puts them on one another.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Store;
use super::chain::{Chain, LeftOut, chain_ids};
use super::temporary::Making;
use crate::compression::Compression;
use crate::confine;
use crate::digest::Digest;
use crate::error::{Context, Error, Kind, Result};
use crate::overlay;
use crate::pipeline::{self, Expected};
use crate::progress::{Event, Progress};
use crate::tar::Limits;
use crate::unpack::{Dropped, Mode, Rules, Unpacked, unpack};

/// A layer of an image, by its manifest and configuration.
#[derive(Clone, Copy)]
pub struct LayerSource<'a> {
    pub media_type: &'a str,
    /// Digest and size in bytes of the blob.
    pub digest: &'a Digest,
    pub size: u64,
    /// Digest of the expanded layer.
    pub diff_id: &'a Digest,
    /// Gives the blob's bytes from an offset on, for when the store does not have it. Called from several threads.
    pub fetch: Option<Fetch<'a>>,
}

/// Gives the bytes of a blob from an offset on.
pub type Fetch<'a> = &'a (dyn Fn(u64) -> Result<Box<dyn Read + Send>> + Sync);

/// How layers are unpacked.
#[derive(Debug, Clone)]
pub struct Options {
    pub rules: Rules,
    /// Layers at the same time.
    pub workers: usize,
    /// Bytes one layer may expand to, if there is a limit.
    pub layer_size: Option<u64>,
    /// Wait until what is unpacked is on the disk, so that it outlives a loss of power.
    pub durable: bool,
}

impl Store {
    /// What fits this store: device nodes where the kernel lets this process make them.
    pub fn options(&self) -> Options {
        let rules = Rules {
            limits: Limits::default(),
            devices: !self.user_xattrs,
            squash_owners: crate::rootless::has_one_id(),
            user_xattrs: self.user_xattrs,
        };
        let workers = thread::available_parallelism().map_or(1, |n| n.get().min(4));
        Options { rules, workers, layer_size: None, durable: true }
    }

    /// Unpacks the layers, the lowest first, as far as they are not yet there. A second process that wants the same image
    /// waits for the first.
    ///
    /// # Errors
    /// With the digest of the layer, and the entry where it is one. The store is then as before, but for layers and blobs
    /// that are complete.
    pub fn unpack(&self, layers: &[LayerSource<'_>], options: &Options, progress: Progress<'_>) -> Result<Chain> {
        check(layers)?;
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let ids = chain_ids(&diff_ids);
        let Some(top) = ids.last() else {
            let chain = self.empty_chain();
            chain.root.apply(self.open_directory(super::EMPTY)?.as_fd(), &mut Dropped::default())?;
            return Ok(chain);
        };
        let _claim = self.claim(&format!("chain.{}", top.hex()))?;
        if let Some(chain) = self.chain(&diff_ids)? {
            layers.iter().for_each(|layer| progress(Event::Cached { digest: layer.digest }));
            return Ok(chain);
        }
        self.discard_abandoned()?;
        let work = Work { store: self, options, progress };
        let mut fresh = work.alone(layers, &ids)?;
        work.stack(layers, &ids, &mut fresh)
    }

    /// A record of the store, if it is there.
    pub(super) fn record<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some(mut file) = self.file(name)? else { return Ok(None) };
        let mut text = String::new();
        file.read_to_string(&mut text).context(|| format!("read {name}"))?;
        serde_json::from_str(&text).map(Some).map_err(|e| Error::invalid(format!("read {name}: {e}")))
    }

    /// Writes a record, which is on the disk then: a rename that outlives a loss of power must not lead to an empty file.
    pub(super) fn write_durably(&self, name: &str, record: &impl Serialize) -> Result<()> {
        self.write_record(name, record)?.sync_data().context(|| format!("write {name} to the disk"))
    }

    fn write_record(&self, name: &str, record: &impl Serialize) -> Result<File> {
        let write = || -> Result<File> {
            let text = serde_json::to_vec(record).map_err(|e| Error::invalid(e.to_string()))?;
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CREATE | rustix::fs::OFlags::EXCL;
            let file = rustix::fs::openat(&self.dir, name, flags | rustix::fs::OFlags::CLOEXEC, super::FILE)?;
            let mut file = File::from(file);
            std::io::Write::write_all(&mut file, &text)?;
            Ok(file)
        };
        write().context(|| format!("write {name}"))
    }
}

pub(super) fn check(layers: &[LayerSource<'_>]) -> Result<()> {
    if layers.len() > overlay::LAYERS {
        return Err(Error::invalid(format!("{} layers are over the limit of {}", layers.len(), overlay::LAYERS)));
    }
    for layer in layers {
        Compression::of_media_type(layer.media_type).context(|| format!("layer {}", layer.digest))?;
    }
    Ok(())
}

/// What is kept of a layer by itself, in `layers/ALGORITHM/DIFFID/layer.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Layer {
    pub root: Option<crate::unpack::Attributes>,
    pub hides_all: bool,
    pub implicit: Vec<Vec<u8>>,
    pub whiteouts: Vec<Vec<u8>>,
}

/// A layer that has just been unpacked, in `fs` of the directory, and is in nobody's hands yet.
pub(super) struct Fresh<'s> {
    pub making: Making<'s>,
    pub layer: Layer,
}

/// One image on its way into the store.
pub(super) struct Work<'s, 'a> {
    pub store: &'s Store,
    pub options: &'a Options,
    pub progress: Progress<'a>,
}

/// What several threads have found, by diffID. A layer that needs its base has no entry.
#[derive(Default)]
pub(super) struct Found<'s> {
    pub fresh: HashMap<Digest, Fresh<'s>>,
    pub left_out: LeftOut,
}

impl<'s> Work<'s, '_> {
    /// Unpacks what is not there, each layer by itself and once.
    fn alone(&self, layers: &[LayerSource<'_>], ids: &[Digest]) -> Result<Found<'s>> {
        let mut wanted: Vec<&LayerSource<'_>> = Vec::new();
        for (layer, id) in layers.iter().zip(ids) {
            let known =
                self.store.link(id)?.is_some() || self.store.has(&format!("layers/{}", layer.diff_id.path()))?;
            if known {
                (self.progress)(Event::Cached { digest: layer.digest });
            } else if !wanted.iter().any(|other| other.diff_id == layer.diff_id) {
                wanted.push(layer);
            }
        }
        // The largest first, so that the threads end at about the same time.
        wanted.sort_by_key(|layer| std::cmp::Reverse(layer.size));
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Ok(Found::default())));
        thread::scope(|scope| {
            for _ in 0..self.options.workers.clamp(1, wanted.len().max(1)) {
                scope.spawn(|| {
                    while let Some(layer) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let one = self.one_alone(layer).context(|| format!("layer {}", layer.digest));
                        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        match (&mut *found, one) {
                            (Ok(found), Ok(one)) => found.add(layer.diff_id, one),
                            (Ok(_), Err(error)) => *found = Err(error),
                            (Err(_), _) => return,
                        }
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Unpacks the layer by itself; None if it needs its base.
    fn one_alone(&self, layer: &LayerSource<'_>) -> Result<Option<(Fresh<'s>, Unpacked)>> {
        let making = self.store.making()?;
        let root = making.directory("fs")?;
        match self.unpack(layer, root, Mode::Alone) {
            Err(error) if error.kind() == Kind::NeedsBase => Ok(None),
            Err(error) => Err(error),
            Ok(unpacked) => {
                let layer = Layer {
                    root: unpacked.root.clone(),
                    hides_all: unpacked.hides_all,
                    implicit: unpacked.implicit.clone(),
                    whiteouts: unpacked.whiteouts.clone(),
                };
                // With the layer itself it comes to the disk before it gets its name.
                self.store.write_record(&making.path("layer.json"), &layer)?;
                Ok(Some((Fresh { making, layer }, unpacked)))
            }
        }
    }

    /// Applies the layer below `root`, from the store's blob or from where it is fetched.
    pub fn unpack(&self, layer: &LayerSource<'_>, root: OwnedFd, mode: Mode) -> Result<Unpacked> {
        let expected =
            Expected { digest: layer.digest, size: layer.size, diff_id: layer.diff_id, most: self.options.layer_size };
        (self.progress)(Event::Begin { digest: layer.digest, total: layer.size });
        let rules = self.options.rules;
        let write = |blob: &mut (dyn Read + Send)| {
            pipeline::run(blob, expected, self.progress, |pieces| {
                confine::to_directory(root.as_fd())?;
                unpack(pieces, root, mode, &rules)
            })
        };
        let unpacked = match self.store.blob(layer.digest)? {
            Some(mut blob) => write(&mut blob),
            None => {
                let fetch = layer.fetch.ok_or_else(|| Error::new(Kind::NotFound, "its blob is not in the store"))?;
                self.store.fetched(layer.digest, layer.size, fetch, write)
            }
        }?;
        (self.progress)(Event::Done { digest: layer.digest });
        Ok(unpacked)
    }
}

impl<'s> Found<'s> {
    fn add(&mut self, diff_id: &Digest, one: Option<(Fresh<'s>, Unpacked)>) {
        if let Some((fresh, unpacked)) = one {
            self.fresh.insert(diff_id.clone(), fresh);
            self.leave_out(&unpacked);
        }
    }

    pub fn leave_out(&mut self, unpacked: &Unpacked) {
        self.left_out.devices += unpacked.devices_left_out;
        for (name, count) in &unpacked.dropped.0 {
            *self.left_out.xattrs.0.entry(name.clone()).or_default() += count;
        }
    }
}
