//! Layered images: a store of verified blobs and unpacked layers, root filesystems made of them by overlay mounts,
//! and the way back from a container's changes to a layer.
//!
//! `tar` reads what an image holds and refuses what is not well-formed, `unpack` applies it below a directory,
//! `pipeline` does so while the bytes are hashed, `store` keeps what is complete and verified, `overlay` mounts it.
#![forbid(unsafe_code)]

pub mod compression;
pub mod digest;
pub mod error;
pub mod progress;
pub mod store;

pub use error::{Error, Result};
