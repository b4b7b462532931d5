//! Directories and those above them.

use std::fs::{DirBuilder, metadata};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Makes the directory at `path` with the permission bits `mode`, and those above it, where they are missing (mkdir(2)).
///
/// # Errors
/// Those of stat(2) and mkdir(2). The standard library's recursive creation by itself looks at what it finds to be there
/// too, but says `EEXIST` when it could not.
pub fn make(path: &Path, mode: u32) -> Result<()> {
    match metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => DirBuilder::new().recursive(true).mode(mode).create(path),
        there => there.map(drop),
    }
}
