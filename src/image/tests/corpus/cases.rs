//! A case: an image, and what has to come of it.

use std::io::Write;

use coracle_image::digest::Digest;

use crate::archive::Archive;
use crate::tree::Tree;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Reject,
    /// Accept, with the right tree.
    Contain,
    /// Either, but never anything outside, and all ways the same.
    Either,
}

/// A layer and what its manifest and configuration claim.
#[derive(Clone)]
pub struct Layer {
    pub media_type: String,
    pub blob: Vec<u8>,
    pub digest: Digest,
    pub size: u64,
    pub diff_id: Digest,
}

type Layers = Box<dyn Fn(&str) -> Vec<Layer>>;

pub struct Case {
    pub name: &'static str,
    pub want: Want,
    /// Given the path of the directory that nothing may touch.
    pub layers: Layers,
    pub check: Box<dyn Fn(&Tree)>,
    /// The error is one of the image as a whole.
    pub says_no_layer: bool,
}

/// All there are.
pub fn all() -> Vec<Case> {
    let topics = [
        crate::names::cases(),
        crate::links::cases(),
        crate::whiteouts::cases(),
        crate::overlay::cases(),
        crate::numbers::cases(),
        crate::pax::cases(),
        crate::blobs::cases(),
        crate::limits::cases(),
    ];
    topics.into_iter().flatten().collect()
}

/// A case of layers that do not depend on where it runs.
pub fn case(name: &'static str, want: Want, layers: Vec<Archive>, check: impl Fn(&Tree) + 'static) -> Case {
    outside(name, want, move |_| layers.clone(), check)
}

/// A case that knows the directory it must not reach.
pub fn outside(
    name: &'static str,
    want: Want,
    layers: impl Fn(&str) -> Vec<Archive> + 'static,
    check: impl Fn(&Tree) + 'static,
) -> Case {
    let layers = move |outside: &str| layers(outside).into_iter().map(|archive| gzip(archive.end())).collect();
    Case { name, want, layers: Box::new(layers), check: Box::new(check), says_no_layer: false }
}

/// A case of layers as they are.
pub fn layers(
    name: &'static str,
    want: Want,
    layers: impl Fn() -> Vec<Layer> + 'static,
    check: impl Fn(&Tree) + 'static,
) -> Case {
    Case { name, want, layers: Box::new(move |_| layers()), check: Box::new(check), says_no_layer: false }
}

pub fn reject(name: &'static str, archive: Archive) -> Case {
    case(name, Want::Reject, vec![archive], |_| {})
}

pub fn either(name: &'static str, archive: Archive) -> Case {
    case(name, Want::Either, vec![archive], |_| {})
}

pub fn contain(name: &'static str, archive: Archive, check: impl Fn(&Tree) + 'static) -> Case {
    case(name, Want::Contain, vec![archive], check)
}

/// A layer of these tar bytes.
pub fn gzip(tar: Vec<u8>) -> Layer {
    let blob = gzipped(&tar);
    layer("application/vnd.oci.image.layer.v1.tar+gzip", blob, &tar)
}

pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn layer(media_type: &str, blob: Vec<u8>, tar: &[u8]) -> Layer {
    Layer {
        media_type: media_type.to_owned(),
        digest: Digest::sha256(&blob),
        size: blob.len() as u64,
        diff_id: Digest::sha256(tar),
        blob,
    }
}
