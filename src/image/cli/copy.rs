//! `coracle-image copy`

use clap::Parser;
use coracle_image::destination;
use coracle_image::error::Result;
use coracle_image::freight::All;
use coracle_image::reference::Reference;

use super::Call;
use super::origin::Origin;

/// Copy an image from one place to another, layers as they are
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    /// Copy the images of all platforms, and the index that lists them, as they are
    #[arg(long, conflicts_with = "platform")]
    all: bool,
    /// Where the image is
    #[arg(value_name = "FROM")]
    from: Reference,
    /// Where it shall be too
    #[arg(value_name = "TO")]
    to: Reference,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        match self.all {
            true => self.all(call),
            false => copy(&self.from, &self.to, &self.origin, call),
        }
    }

    fn all(&self, call: &Call) -> Result<u8> {
        let (store, access) = (call.store()?, self.origin.registries.access());
        // What is no index is one image whatever is asked for.
        let Some(all) = All::open(&self.from, &store, &access)? else {
            return copy(&self.from, &self.to, &self.origin, call);
        };
        let freight = all.freight();
        let name = freight.name.cloned().or_else(|| self.from.default_name());
        let bars = call.bars();
        destination::send(&freight, &self.to, name.as_ref(), &access, &|event| bars.tell(event))?;
        Ok(0)
    }
}

/// Copies an image, telling of it.
pub fn copy(from: &Reference, to: &Reference, origin: &Origin, call: &Call) -> Result<u8> {
    let store = call.store()?;
    let source = origin.open(from, &store)?;
    let name = source.name.clone().or_else(|| from.default_name());
    let bars = call.bars();
    destination::copy(&source, to, name.as_ref(), &store, &origin.registries.access(), &|event| bars.tell(event))?;
    Ok(0)
}
