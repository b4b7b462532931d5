//! `coracle-image inspect`

use clap::Parser;
use coracle_image::error::{Error, Result};
use coracle_image::reference::Reference;
use serde_json::{Value, json};

use super::origin::Origin;
use super::{Call, print, print_json};

/// Show the manifest and the configuration of an image, wherever it is
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    /// Write the manifest as it is, byte by byte
    #[arg(long)]
    raw: bool,
    /// Write JSON, which is done anyway
    #[arg(long, hide = true)]
    json: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let store = call.store()?;
        let source = self.origin.open(&self.image, &store)?;
        if self.raw {
            return print(&source.bytes);
        }
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).map_err(|e| Error::invalid(e.to_string()));
        print_json(&json!({
            "name": source.name.as_ref().map(ToString::to_string),
            "digest": source.descriptor.digest,
            "mediaType": source.manifest.media_type,
            "manifest": parse(&source.bytes)?,
            "config": parse(&source.config_bytes)?,
        }))
    }
}
