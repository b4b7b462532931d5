//! `coracle-image push`

use clap::Parser;
use coracle_image::error::Result;
use coracle_image::name::Name;
use coracle_image::reference::Reference;

use super::Call;
use super::copy::copy;
use super::origin::Origin;

/// Copy an image of the local store to a registry, or to another place
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// Where to [default: the registry that the image's name begins with]
    #[arg(value_name = "TO")]
    to: Option<Reference>,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let to = match &self.to {
            Some(to) => to.clone(),
            None => Reference::Registry(self.image.to_string().parse::<Name>()?.tagged()),
        };
        copy(&self.image, &to, &self.origin, call)
    }
}
