//! The OCI image layout in a directory (image specification, image-layout.md).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open};

use super::Content;
use crate::error::{Context, Error, Result};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, Document, Index};
use crate::scoped::open_scoped;

/// An open layout.
pub struct Layout {
    dir: OwnedFd,
}

impl Layout {
    pub fn open(path: &Path) -> Result<Layout> {
        let dir = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let layout = Layout { dir };
        let marker = layout.small("oci-layout").context(|| "not an OCI image layout")?;
        check_marker(&marker)?;
        Ok(layout)
    }

    pub fn index(&self) -> Result<Index> {
        parse_index(&self.small("index.json")?)
    }

    /// A regular file of the layout. Links may lead to other files of it, and no further.
    fn file(&self, path: &str) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = || -> Result<File> {
            let file = open_scoped(&self.dir, path.as_bytes(), flags, ResolveFlags::BENEATH)?;
            match FileType::from_raw_mode(fstat(&file)?.st_mode) {
                FileType::RegularFile => Ok(File::from(file)),
                _ => Err(Error::invalid("it is not a regular file")),
            }
        };
        opened().context(|| format!("open {path}"))
    }

    fn small(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(path)?.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Content for Layout {
    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>> {
        let mut file = self.file(&format!("blobs/{}", blob.digest.path()))?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }
}

/// The file `oci-layout` names the version of what is beside it.
pub fn check_marker(bytes: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Marker {
        image_layout_version: String,
    }
    let marker: Marker =
        serde_json::from_slice(bytes).map_err(|error| Error::invalid(format!("parse oci-layout: {error}")))?;
    match marker.image_layout_version.as_str() {
        "1.0.0" => Ok(()),
        other => Err(Error::invalid(format!("image layout version {other:?} is not supported, only 1.0.0"))),
    }
}

pub fn parse_index(bytes: &[u8]) -> Result<Index> {
    match Document::parse(bytes, "").context(|| "index.json")? {
        Document::Index(index) => Ok(index),
        Document::Manifest(_) => Err(Error::invalid("index.json is not an index")),
    }
}
