//! `coracle-image rm`

use clap::Parser;
use coracle_image::error::{Context, Error, Kind, Result};
use coracle_image::name::Name;

use super::{Call, runtime};

/// Forget images, or remove containers with what they have written
///
/// The content of a forgotten image is removed by gc.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Verb {
    /// Remove containers: names of `run`, or directories of `bundle`, with a slash
    #[arg(long)]
    container: bool,
    /// End a container that still runs
    #[arg(long, short)]
    force: bool,
    /// What to remove
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let mut failed = Vec::new();
        for name in &self.names {
            let removed = if self.container { self.container(name, call) } else { image(name, call) };
            failed.extend(removed.err());
        }
        let Some(last) = failed.pop() else { return Ok(0) };
        failed.iter().for_each(crate::report);
        Err(last)
    }

    fn container(&self, operand: &str, call: &Call) -> Result<()> {
        let bundle = call.bundle(operand)?;
        let id = bundle.dir().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match runtime::status(call, &id).as_deref() {
            None if runtime::is_starting(bundle.dir())? => {
                return Err(Error::invalid(format!("container {id} is about to run")));
            }
            None => (),
            Some("stopped") => runtime::delete(call, &id)?,
            Some(_) if self.force => runtime::delete(call, &id)?,
            Some(status) => {
                return Err(Error::invalid(format!("container {id} is {status}; rm --force ends it")));
            }
        }
        bundle.remove().context(|| format!("remove container {operand}"))
    }
}

fn image(text: &str, call: &Call) -> Result<()> {
    let store = call.store()?;
    for name in Name::candidates(text) {
        if store.remove_reference(&name.to_string())? {
            return Ok(());
        }
    }
    Err(Error::new(Kind::NotFound, format!("{text}: no such image in the local store")))
}
