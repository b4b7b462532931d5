//! Small files of an image, read without trusting it.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{FileType, OFlags, ResolveFlags, fstat};
use rustix::io::Errno;

use crate::convert::Accounts;
use crate::error::{Context, Error, Result};
use crate::scoped::open_scoped;

/// The most bytes that are read of /etc/passwd or /etc/group (CVE-2026-47262).
const LIMIT: u64 = 1 << 20;

/// The users and groups of the root file system open as `root`.
pub fn read(root: impl AsFd) -> Result<Accounts> {
    let text = |path: &str| {
        let bytes = read_file(&root, path).context(|| format!("read {path} of the image"))?;
        Ok::<_, Error>(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    Ok(Accounts { passwd: text("etc/passwd")?, group: text("etc/group")? })
}

/// The bytes of a regular file below `root`, which is `/` for its links (CVE-2024-9676); `None` if there is none. What
/// is no regular file is never waited for.
fn read_file(root: &impl AsFd, path: &str) -> Result<Option<Vec<u8>>> {
    let found = match open_scoped(root, path.as_bytes(), OFlags::PATH, ResolveFlags::IN_ROOT) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        found => found?,
    };
    // Looked at before it is opened: opening a device does something.
    if FileType::from_raw_mode(fstat(&found)?.st_mode) != FileType::RegularFile {
        return Err(Error::invalid("it is not a regular file"));
    }
    let opened = std::fs::File::open(format!("/proc/self/fd/{}", found.as_raw_fd()))?;
    let mut bytes = Vec::new();
    opened.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::invalid(format!("it is larger than {LIMIT} bytes")));
    }
    Ok(Some(bytes))
}
