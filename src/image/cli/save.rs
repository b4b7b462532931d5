//! `coracle-image save`

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Parser;
use coracle_image::error::{Error, Result};
use coracle_image::reference::Reference;

use super::Call;
use super::copy::copy;
use super::origin::Origin;

/// Write an image as an archive that docker load, podman load and coracle-image load read
#[derive(Debug, Parser)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    /// Write to FILE instead of the standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let to = match &self.output {
            Some(file) => Reference::Archive { file: file.clone() },
            None if std::io::stdout().is_terminal() => {
                return Err(Error::invalid("an archive is nothing for a terminal; give --output FILE"));
            }
            None => Reference::Stream,
        };
        copy(&self.image, &to, &self.origin, call)
    }
}
