//! Images of the store as trees: layers unpacked where they are not, and what a container of one needs.

use std::io::Read;
use std::path::Path;

use crate::error::{Context, Escaped, Result};
use crate::progress::Progress;
use crate::source::Source;
use crate::store::{Chain, LayerSource, LeftOut, Store};

/// Unpacks the layers of an image into the store, fetching those that are not there.
pub fn unpack(source: &Source, store: &Store, progress: Progress<'_>) -> Result<Chain> {
    with_layers(source, |layers| store.unpack(layers, &store.options(), progress))
}

/// Unpacks an image into a directory of its own.
pub fn unpack_copy(source: &Source, store: &Store, target: &Path, progress: Progress<'_>) -> Result<Vec<String>> {
    let left_out = with_layers(source, |layers| store.unpack_flat(layers, target, &store.options(), progress))?;
    Ok(warnings(&left_out))
}

/// What an image has and its tree has not, in words.
pub fn warnings(left_out: &LeftOut) -> Vec<String> {
    let attributes = left_out.xattrs.0.iter();
    let text =
        |(name, count): (&Vec<u8>, &u64)| format!("extended attribute {} of {count} files is left out", Escaped(name));
    let mut list: Vec<_> = attributes.map(text).collect();
    if left_out.devices > 0 {
        list.push(format!("{} device nodes are left out", left_out.devices));
    }
    list
}

fn with_layers<T>(source: &Source, use_them: impl FnOnce(&[LayerSource<'_>]) -> Result<T>) -> Result<T> {
    let diff_ids = source.config.diff_ids(&source.manifest)?;
    let fetches: Vec<_> = source
        .manifest
        .layers
        .iter()
        .map(|layer| {
            move |offset| -> Result<Box<dyn Read + Send>> {
                source.content.open(layer, offset).context(|| format!("fetch layer {}", layer.digest))
            }
        })
        .collect();
    let layers: Vec<_> = source
        .manifest
        .layers
        .iter()
        .zip(diff_ids)
        .zip(&fetches)
        .map(|((layer, diff_id), fetch)| LayerSource {
            media_type: &layer.media_type,
            digest: &layer.digest,
            size: layer.size,
            diff_id,
            fetch: Some(fetch),
        })
        .collect();
    use_them(&layers)
}
