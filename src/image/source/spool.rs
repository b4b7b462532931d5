//! Streams as files, since an archive tells at its end what is in it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use rustix::fs::{Mode, OFlags, open};

use crate::compression::{Compression, expand};
use crate::error::{Context, Result};

/// A file that can be read at any place, without compression: the same one, if it is such a file.
pub fn seekable(mut file: File) -> Result<File> {
    let mut start = [0; 6];
    if !file.metadata()?.is_file() {
        return spooled(file);
    }
    let n = file.read(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    match Compression::sniff(start.get(..n).unwrap_or_default()) {
        Compression::None => Ok(file),
        Compression::Gzip | Compression::Zstd => spooled(file),
    }
}

/// The expanded bytes of a stream in a file without a name, which is gone when it is closed.
pub fn spooled(stream: impl Read + Send) -> Result<File> {
    let mut file = unnamed_file()?;
    io::copy(&mut expand(stream)?, &mut file).context(|| "read the archive")?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// A new file that is gone when it is closed.
pub fn unnamed_file() -> Result<File> {
    let directory = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    open(&directory, flags, Mode::RUSR | Mode::WUSR)
        .map(File::from)
        .context(|| format!("make a temporary file in {}", directory.display()))
}
