//! `coracle-image bundle`

use std::path::PathBuf;

use clap::Parser;
use coracle_image::bundle::{Bundle, Making};
use coracle_image::error::{Error, Result};
use coracle_image::reference::Reference;

use super::Call;
use super::origin::Origin;
use super::overrides::Overrides;

/// Make a bundle of an image, for coracle run or another runtime
///
/// The root filesystem is an overlay mount over shared layers, until `rm --container DIR/` takes it away; with --copy it
/// is a plain tree.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    #[command(flatten)]
    overrides: Overrides,
    /// Unpack a tree of its own instead of mounting shared layers
    #[arg(long)]
    copy: bool,
    /// Have the container's program on a terminal
    #[arg(long, short)]
    tty: bool,
    /// The image
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// The directory to make
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Program and arguments instead of the image's command
    #[arg(value_name = "COMMAND", last = true)]
    command: Vec<String>,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        if call.rootless && !self.copy {
            return Err(Error::invalid("an ordinary user cannot leave a mount behind: give --copy, or use run"));
        }
        let store = call.store()?;
        let source = self.origin.open(&self.image, &store)?;
        let name = std::path::absolute(&self.dir)?.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.ok_or_else(|| Error::invalid(format!("{} has no name", self.dir.display())))?;
        let options = self.overrides.options(&name, &self.command, self.tty)?;
        let image = self.image.to_string();
        let making = Making { image: &image, copy: self.copy, remove: false, machine: call.machine() };
        let bars = call.bars();
        let made = Bundle::make(&self.dir, &source, &store, making, &options, &|event| bars.tell_new(event));
        let (_, warnings) = made.map_err(|error| error.within(&image))?;
        call.warn(&warnings);
        Ok(0)
    }
}
