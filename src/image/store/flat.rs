//! Unpacks an image into a plain directory, layer by layer, as a tree of its own.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Dir, Mode as Permissions, OFlags, open};

use super::Store;
use super::chain::LeftOut;
use super::layers::{Found, LayerSource, Options, Work, check};
use crate::error::{Context, Error, Result};
use crate::progress::Progress;
use crate::unpack::{Attributes, Dropped, Mode};

impl Store {
    /// Unpacks the layers, the lowest first, into the directory `target`, which must be empty. Files with set-user-ID are
    /// reachable by whoever can enter it: it belongs below a directory of mode 0700.
    ///
    /// # Errors
    /// Those of [`Store::unpack`]; what has been written by then stays.
    pub fn unpack_flat(
        &self,
        layers: &[LayerSource<'_>],
        target: &Path,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<LeftOut> {
        check(layers)?;
        let work = Work { store: self, options, progress };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = open(target, flags, Permissions::empty()).context(|| format!("open {}", target.display()))?;
        for entry in Dir::read_from(&root)? {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Err(Error::invalid(format!("{} is not empty", target.display())));
            }
        }
        Attributes::default().apply(root.as_fd(), &mut Dropped::default())?;
        let mut found = Found::default();
        for layer in layers {
            let unpacked = work.unpack(layer, root.try_clone()?, Mode::Onto);
            found.leave_out(&unpacked.context(|| format!("layer {}", layer.digest))?);
        }
        Ok(found.left_out)
    }
}
