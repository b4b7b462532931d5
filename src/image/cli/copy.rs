//! `coracle-image copy`

use clap::Parser;
use coracle_image::destination;
use coracle_image::error::Result;
use coracle_image::reference::Reference;
use coracle_image::source::Source;

use super::access::Registries;
use super::{Call, Wanted};

/// Copy an image from one place to another, layers as they are
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    registries: Registries,
    /// Where the image is
    #[arg(value_name = "FROM")]
    from: Reference,
    /// Where it shall be too
    #[arg(value_name = "TO")]
    to: Reference,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        copy(&self.from, &self.to, &self.wanted, &self.registries, call)
    }
}

/// Copies an image, telling of it.
pub fn copy(from: &Reference, to: &Reference, wanted: &Wanted, registries: &Registries, call: &Call) -> Result<u8> {
    let store = call.store()?;
    let access = registries.access();
    let source = Source::open(from, &wanted.platform(), &store, &access)?;
    let name = source.name.clone().or_else(|| from.default_name());
    let bars = call.bars();
    destination::copy(&source, to, name.as_ref(), &store, &access, &|event| bars.tell(event))?;
    Ok(0)
}
