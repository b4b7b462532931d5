//! `coracle-image diff`

use clap::Parser;
use coracle_image::diff::{self, ChangeKind};
use coracle_image::error::{self, Error, Result};
use serde_json::json;

use super::{Call, print, print_json};

/// List what a container has changed of its image, as docker diff does
#[derive(Debug, Parser)]
pub struct Verb {
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// A container of `run`, or a directory of `bundle`, with a slash
    #[arg(value_name = "CONTAINER")]
    container: String,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let bundle = call.bundle(&self.container)?;
        let store = call.store()?;
        let chain = store.chain(&bundle.record.diff_ids)?.ok_or_else(|| {
            Error::new(error::Kind::NotFound, format!("the layers of {} are gone", bundle.record.image))
        })?;
        let changes = diff::changes(&chain, &bundle.upper()?, &bundle.mount_points()?)?;
        let letter = |kind: ChangeKind| match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'C',
            ChangeKind::Deleted => 'D',
        };
        if self.json {
            let path = |path: &[u8]| format!("/{}", String::from_utf8_lossy(path));
            let list: Vec<_> = changes
                .iter()
                .map(|change| json!({"kind": letter(change.kind).to_string(), "path": path(&change.path)}))
                .collect();
            return print_json(&list);
        }
        // Names are bytes.
        let mut text = Vec::new();
        for change in &changes {
            text.extend([letter(change.kind) as u8, b' ', b'/']);
            text.extend(&change.path);
            text.push(b'\n');
        }
        print(text)
    }
}
