//! `coracle-image gc`

use clap::Parser;
use coracle_image::bundle::Bundle;
use coracle_image::error::{Context, Kind, Result};
use serde_json::json;

use super::{Call, ls, print, print_json, runtime, size};

/// Remove layers and blobs that no image and no container needs, and containers of `run --rm` that were left behind
#[derive(Debug, Parser)]
pub struct Verb {
    /// Write JSON
    #[arg(long)]
    json: bool,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        let containers = sweep(call)?;
        let freed = call.store()?.gc()?;
        if self.json {
            return print_json(&json!({"containers": containers, "layers": freed.layers, "blobs": freed.blobs,
                "bytes": freed.bytes}));
        }
        let (layers, blobs, bytes) = (freed.layers, freed.blobs, size::shown(freed.bytes));
        print(format!("removed {containers} containers, {layers} layers, {blobs} blobs ({bytes})\n"))
    }
}

/// Removes containers that were to go when they end, and have ended: how many.
pub fn sweep(call: &Call) -> Result<usize> {
    let mut count = 0;
    for (name, bundle) in ls::containers(call)? {
        if !bundle.record.remove {
            continue;
        }
        match runtime::status(call, &name).as_deref() {
            Some("stopped") => runtime::delete(call, &name)?,
            Some(_) => continue,
            None if runtime::is_starting(bundle.dir())? => continue,
            None => (),
        }
        bundle.remove()?;
        count += 1;
    }
    Ok(count + unfinished(call)?)
}

/// Removes containers whose making was killed at its very beginning: how many.
fn unfinished(call: &Call) -> Result<usize> {
    let containers = call.containers();
    if std::fs::symlink_metadata(&containers).is_err() {
        return Ok(0);
    }
    let _turn = runtime::turn(&containers)?;
    let mut count = 0;
    for entry in std::fs::read_dir(&containers)? {
        let dir = entry?.path();
        if Bundle::open(&dir).is_err_and(|error| error.kind() == Kind::NotFound) && !runtime::is_starting(&dir)? {
            std::fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()))?;
            count += 1;
        }
    }
    Ok(count)
}
