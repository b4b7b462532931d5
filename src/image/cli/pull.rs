//! `coracle-image pull`

use clap::Parser;
use coracle_image::destination;
use coracle_image::error::{Error, Result};
use coracle_image::name::Name;
use coracle_image::reference::Reference;
use coracle_image::source::Source;
use coracle_image::store::Store;

use super::origin::Origin;
use super::{Call, print};

/// Take an image into the local store, unpacked and ready to run
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    /// Name in the local store [default: the image's own]
    #[arg(long, value_name = "NAME", value_parser = Name::given)]
    name: Option<Name>,
    /// Where the image is
    #[arg(value_name = "IMAGE")]
    image: Reference,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let store = call.store()?;
        let source = self.origin.open(&self.image, &store)?;
        let name = pulled(&source, &self.image, self.name.as_ref(), &store, call)?;
        print(format!("{name}\n"))
    }
}

/// Takes an opened image into the store: the name it has there.
pub fn pulled(source: &Source, reference: &Reference, name: Option<&Name>, store: &Store, call: &Call) -> Result<Name> {
    let own = || source.name.clone().or_else(|| reference.default_name());
    let name = name.cloned().or_else(own).map(Name::tagged);
    let name = name.ok_or_else(|| Error::invalid(format!("{reference} has no name; give one by --name")))?;
    let bars = call.bars();
    let pulled = destination::pull(source, &name, store, &|event| bars.tell(event));
    call.warn(&pulled.map_err(|error| error.within(reference))?);
    Ok(name)
}
