//! Standard input, output and error that are the host's own files: named pipes and logs of an engine.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// How CRIU names each of the standard streams of process `pid` that is a named pipe or a file on a mount the process does not
/// have: it saves a file with such a name by its name alone, and is given another in its place (criu(8), `--external`).
pub fn outside(pid: i32) -> [Option<String>; 3] {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    [0, 1, 2].map(|number| name(pid, number, &mounts))
}

fn name(pid: i32, number: i32, mounts: &str) -> Option<String> {
    let link = format!("/proc/{pid}/fd/{number}");
    // A pipe without a name is a file of its own kind.
    std::fs::read_link(&link).ok().filter(|to| to.starts_with("/"))?;
    let file = std::fs::metadata(Path::new(&link)).ok()?;
    let kind = file.file_type();
    if !kind.is_fifo() && !kind.is_file() {
        return None;
    }
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).ok()?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
    if mounts.lines().any(|line| line.split(' ').next() == Some(mount)) {
        return None;
    }
    Some(format!("file[{:x}:{:x}]", mount.parse::<u32>().ok()?, file.ino()))
}
