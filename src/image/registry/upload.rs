//! Writing to a repository.

use std::io::Read;

use super::Registry;
use super::challenge::encoded;
use super::http::Body;
use crate::error::{Context, Error, Kind, Result};
use crate::manifest::Descriptor;

impl Registry {
    /// Whether the repository has the blob.
    pub fn has_blob(&self, blob: &Descriptor) -> Result<bool> {
        let response = self.client.call("HEAD", &format!("blobs/{}", blob.digest), &[], &mut Body::None)?;
        match response.status() {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(response.failure()),
        }
    }

    /// Has the registry take the blob from another of its repositories; false if it wants the bytes.
    pub fn mount_blob(&self, blob: &Descriptor, from: &str) -> Result<bool> {
        let path = format!("blobs/uploads/?mount={}&from={}", encoded(&blob.digest.to_string()), encoded(from));
        let response = self.client.call("POST", &path, &[], &mut Body::Bytes(&[]))?;
        match response.status() {
            201 => Ok(true),
            202 => {
                // It has begun an upload instead, which nobody will end.
                if let Some(place) = response.header("location") {
                    let _ = self.client.request("DELETE", &self.client.place(&place)?, &[], &mut Body::None);
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Sends a blob, whose bytes `open` gives as often as it takes.
    pub fn put_blob(&self, blob: &Descriptor, open: &dyn Fn() -> Result<Box<dyn Read + Send>>) -> Result<()> {
        let put = || -> Result<()> {
            let begun = self.client.call("POST", "blobs/uploads/", &[], &mut Body::Bytes(&[]))?.expect(&[202])?;
            let place = begun.header("location").ok_or_else(|| Error::invalid("the registry names no place for it"))?;
            let place = self.client.place(&place)?;
            let joint = if place.contains('?') { '&' } else { '?' };
            let url = format!("{place}{joint}digest={}", encoded(&blob.digest.to_string()));
            let headers = [("Content-Type", "application/octet-stream")];
            let mut body = Body::Reader { size: blob.size, open };
            self.client.request("PUT", &url, &headers, &mut body)?.expect(&[201])?;
            Ok(())
        };
        put().context(|| format!("push blob {}", blob.digest))
    }

    /// Gives the repository this manifest or index, called `tag`, or by its digest alone.
    pub fn put_manifest(&self, bytes: &[u8], descriptor: &Descriptor, tag: Option<&str>) -> Result<()> {
        let put = || -> Result<()> {
            let version = tag.map_or_else(|| descriptor.digest.to_string(), str::to_owned);
            let headers = [("Content-Type", descriptor.media_type.as_str())];
            let path = format!("manifests/{version}");
            let response =
                self.client.call("PUT", &path, &headers, &mut Body::Bytes(bytes))?.expect(&[200, 201, 202])?;
            match response.header("docker-content-digest") {
                Some(digest) if digest != descriptor.digest.to_string() => {
                    Err(Error::new(Kind::Mismatch, format!("the registry took it for {digest}")))
                }
                _ => Ok(()),
            }
        };
        put().context(|| format!("push manifest {}", self.name))
    }
}
