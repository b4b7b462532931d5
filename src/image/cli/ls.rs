//! `coracle-image ls`

use clap::Parser;
use coracle_image::bundle::Bundle;
use coracle_image::configuration::Configuration;
use coracle_image::error::{Error, Result};
use coracle_image::manifest::{DOCUMENT_LIMIT, Document};
use coracle_image::store::{Reference, Store};
use serde::Serialize;

use super::{Call, print, print_json, runtime, size, table};

/// List the images of the local store, or containers
#[derive(Debug, Parser)]
pub struct Verb {
    /// List containers of `run` instead
    #[arg(long)]
    containers: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    digest: String,
    created: String,
    /// Of the compressed layers, in bytes.
    size: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    image: String,
    status: String,
    bundle: String,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        if self.containers { self.containers(call) } else { self.images(call) }
    }

    fn images(&self, call: &Call) -> Result<u8> {
        let store = call.store()?;
        let list = store.references()?.into_iter().map(|(name, reference)| image(&store, name, &reference));
        let list: Vec<Image> = list.collect::<Result<_>>()?;
        if self.json {
            return print_json(&list);
        }
        let head = ["NAME", "DIGEST", "CREATED", "SIZE"].map(str::to_owned).to_vec();
        let row = |image: &Image| {
            let digest = image.digest.split(':').next_back().and_then(|hex| hex.get(..12)).unwrap_or_default();
            // The image's word, which may be anything.
            let created = image.created.get(..10).filter(|date| !date.contains(char::is_control)).unwrap_or_default();
            vec![image.name.clone(), digest.to_owned(), created.to_owned(), size::shown(image.size)]
        };
        let rows: Vec<_> = std::iter::once(head).chain(list.iter().map(row)).collect();
        print(table(&rows))
    }

    fn containers(&self, call: &Call) -> Result<u8> {
        let list: Vec<Container> = containers(call)?
            .into_iter()
            .map(|(name, bundle)| Container {
                status: runtime::status(call, &name).unwrap_or_else(|| "ended".into()),
                name,
                bundle: bundle.dir().display().to_string(),
                image: bundle.record.image,
            })
            .collect();
        if self.json {
            return print_json(&list);
        }
        let head = ["NAME", "IMAGE", "STATUS"].map(str::to_owned).to_vec();
        let row =
            |container: &Container| vec![container.name.clone(), container.image.clone(), container.status.clone()];
        let rows: Vec<_> = std::iter::once(head).chain(list.iter().map(row)).collect();
        print(table(&rows))
    }
}

/// Containers of `run`, by name. What is not whole is passed over: it is being made, or gc removes it.
pub fn containers(call: &Call) -> Result<Vec<(String, Bundle)>> {
    let entries = match std::fs::read_dir(call.containers()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut list = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let (Ok(name), Ok(bundle)) = (entry.file_name().into_string(), Bundle::open(&entry.path())) {
            list.push((name, bundle));
        }
    }
    list.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(list)
}

fn image(store: &Store, name: String, reference: &Reference) -> Result<Image> {
    let read = || -> Result<(String, u64)> {
        let bytes = store.small_blob(&reference.digest, DOCUMENT_LIMIT)?;
        let Document::Manifest(manifest) = Document::parse(&bytes, &reference.media_type)? else {
            return Err(Error::invalid("it is an index"));
        };
        let config = Configuration::parse(&store.small_blob(&manifest.config.digest, DOCUMENT_LIMIT)?)?;
        Ok((config.created.unwrap_or_default(), manifest.layers.iter().map(|layer| layer.size).sum()))
    };
    let (created, size) = read().map_err(|error| error.within(&name))?;
    Ok(Image { digest: reference.digest.to_string(), name, created, size })
}
