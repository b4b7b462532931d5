//! Cgroups above a container's own that are made along with it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::location::Target;
use crate::v2;

/// The cgroups above that of container `id` which are not there and [`create`](crate::create()) would make, parents
/// after what is below them. Nothing tells them later from those that somebody else left empty.
///
/// # Errors
/// A path that names no cgroup.
pub fn missing_parents(layout: &Layout, id: &str, cgroups_path: Option<&Path>) -> Result<Vec<PathBuf>> {
    let target = Target::parse(cgroups_path, id).map_err(Error::refused)?;
    let (Target::Absolute(path) | Target::Relative(path)) = &target;
    if path.components().nth(1).is_none() {
        return Ok(Vec::new());
    }
    let mut missing = Vec::new();
    let mut look = |mount: &Path, below: PathBuf| {
        let gone = |path: &&Path| std::fs::symlink_metadata(path).is_err();
        let below: Vec<&Path> = below.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        let paths: Vec<PathBuf> = below.into_iter().map(|path| mount.join(path)).collect();
        missing.extend(paths.iter().map(PathBuf::as_path).take_while(gone).map(Path::to_path_buf));
    };
    for hierarchy in &layout.hierarchies {
        look(&hierarchy.mount, target.below(&hierarchy.own));
    }
    if let Some(unified) = &layout.unified {
        look(&unified.mount, v2::place(layout, &target)?);
    }
    Ok(missing)
}
