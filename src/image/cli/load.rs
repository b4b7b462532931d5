//! `coracle-image load`

use std::path::PathBuf;

use clap::Parser;
use coracle_image::error::Result;
use coracle_image::name::Name;
use coracle_image::reference::Reference;
use coracle_image::registry::Access;
use coracle_image::source::Source;

use super::{Call, Wanted, print, pull};

/// Take an image from an archive of docker save, podman save or coracle-image save into the local store
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    wanted: Wanted,
    /// Read FILE instead of the standard input
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Name in the local store [default: the archive's]
    #[arg(long, value_name = "NAME", value_parser = Name::given)]
    name: Option<Name>,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let store = call.store()?;
        let reference = match &self.input {
            Some(file) => Reference::Archive { file: file.clone() },
            None => Reference::Stream,
        };
        let source = Source::open(&reference, &self.wanted.platform(), &store, &Access::default())?;
        let name = pull::pulled(&source, &reference, self.name.as_ref(), &store, call)?;
        print(format!("{name}\n"))
    }
}
