//! Layered images: a store of verified blobs and unpacked layers, root filesystems made of them by overlay mounts,
//! and the way back from a container's changes to a layer.
//!
//! `tar` reads what an image holds and refuses what is not well-formed, `unpack` applies it below a directory,
//! `pipeline` does so while the bytes are hashed, `store` keeps what is complete and verified, `overlay` mounts it.
//!
//! `reference` says where an image is, `manifest` and `configuration` what it is, `convert` how it is run. `source` reads
//! it where it is, `destination` writes its `freight` elsewhere, `registry` speaks to registries. `bundle` makes a container of it,
//! `commit` an image of a container.
#![forbid(unsafe_code)]

pub mod accounts;
pub mod bundle;
pub mod commit;
pub mod compression;
pub mod configuration;
mod confine;
pub mod convert;
pub mod destination;
pub mod diff;
pub mod digest;
pub mod error;
pub mod freight;
pub mod image;
pub mod layer_writer;
pub mod manifest;
pub mod name;
pub mod overlay;
pub mod pipeline;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod rootless;
mod scoped;
pub mod source;
pub mod store;
pub mod tar;
pub mod time;
pub mod unpack;
mod upper;

pub use error::{Error, Result};
