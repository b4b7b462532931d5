//! `coracle-image commit`

use clap::Parser;
use coracle_image::commit::{self, About, Change};
use coracle_image::error::{Context, Result};
use coracle_image::name::Name;

use super::{Call, print};

/// Make a new image of a container's image and what the container has changed
#[derive(Debug, Parser)]
pub struct Verb {
    /// Who made it
    #[arg(long, short, value_name = "TEXT")]
    author: Option<String>,
    /// What was changed
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Change the configuration by a line of a Dockerfile, like 'CMD ["nginx"]'
    #[arg(long, short, value_name = "LINE")]
    change: Vec<Change>,
    /// A container of `run`, or a directory of `bundle`, with a slash
    #[arg(value_name = "CONTAINER")]
    container: String,
    /// Name of the new image
    #[arg(value_name = "NAME", value_parser = Name::given)]
    name: Name,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let bundle = call.bundle(&self.container)?;
        let store = call.store()?;
        let about = About { author: self.author.clone(), message: self.message.clone(), changes: self.change.clone() };
        let digest =
            commit::commit(&bundle, &store, &self.name, &about).context(|| format!("commit {}", self.container))?;
        print(format!("{digest}\n"))
    }
}
