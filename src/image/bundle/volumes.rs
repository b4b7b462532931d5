//! Volumes of an image: directories of the container's own, with what the image has at their place.

use std::fs::DirBuilder;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::convert::EmptyBind;
use crate::error::{Context, Error, Result};
use crate::scoped::open_scoped;

/// Makes a directory each and copies what is below its destination in the root filesystem `root`.
pub fn make(bundle: &Path, root: &OwnedFd, volumes: &[EmptyBind]) -> Result<()> {
    if volumes.is_empty() {
        return Ok(());
    }
    DirBuilder::new().mode(0o700).create(bundle.join("volumes")).context(|| "make volumes")?;
    for volume in volumes {
        let target = bundle.join(&volume.source);
        let made = DirBuilder::new().mode(0o755).create(&target).map_err(Error::from);
        made.and_then(|()| fill(root, volume, &target)).context(|| format!("make volume {}", volume.destination))?;
    }
    Ok(())
}

fn fill(root: &OwnedFd, volume: &EmptyBind, target: &Path) -> Result<()> {
    let path = volume.destination.trim_start_matches('/').as_bytes();
    let from = match open_scoped(root, path, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::IN_ROOT) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        from => from?,
    };
    // By descriptor: the path could lead out of the image. Links within are copied as links.
    let from = format!("/proc/{}/fd/{}/.", std::process::id(), from.as_raw_fd());
    let output = Command::new("cp").args(["-a", "--", &from]).arg(target).stdin(Stdio::null()).output();
    let output = output.context(|| "run cp")?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::invalid(format!("copy it: {}", String::from_utf8_lossy(&output.stderr).trim())))
}
