//! Options of those who read an image wherever it is.

use clap::Args;
use coracle_image::error::Result;
use coracle_image::reference::Reference;
use coracle_image::source::Source;
use coracle_image::store::Store;

use super::Wanted;
use super::access::Registries;

#[derive(Debug, Args)]
pub struct Origin {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    pub registries: Registries,
}

impl Origin {
    pub fn open(&self, image: &Reference, store: &Store) -> Result<Source> {
        Source::open(image, &self.wanted.platform(), store, &self.registries.access())
    }
}
