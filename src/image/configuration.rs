//! The image configuration: what an image says about how to run it.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::Manifest;

/// An image's configuration, as far as it is read here; what is written starts from the JSON itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Configuration {
    pub created: Option<String>,
    pub author: Option<String>,
    pub architecture: String,
    pub os: String,
    pub variant: Option<String>,
    #[serde(rename = "os.version")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features")]
    pub os_features: Option<Vec<String>>,
    #[serde(deserialize_with = "null_is_default")]
    pub config: Process,
    pub rootfs: RootFs,
    #[serde(deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

/// How to run the image's program.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Process {
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    #[serde(deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
}

/// The layers, by the digests of their uncompressed bytes, the lowest first.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RootFs {
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// How a layer came to be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct History {
    pub created: Option<String>,
    pub created_by: Option<String>,
    pub comment: Option<String>,
    pub empty_layer: bool,
}

/// Docker writes null for what is empty.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

impl Configuration {
    pub fn parse(bytes: &[u8]) -> Result<Configuration> {
        let read: Configuration = serde_json::from_slice(bytes)
            .map_err(|error| Error::invalid(format!("parse image configuration: {error}")))?;
        match read.os.as_str() {
            "" | "linux" => Ok(read),
            os => Err(Error::invalid(format!("the image is for {os}, not for linux"))),
        }
    }

    /// The diffID of each layer of `manifest`: one each, or the image is not what it says.
    pub fn diff_ids(&self, manifest: &Manifest) -> Result<&[Digest]> {
        let (ids, layers) = (self.rootfs.diff_ids.len(), manifest.layers.len());
        if ids != layers {
            return Err(Error::invalid(format!("the image has {layers} layers and its configuration {ids} diff_ids")));
        }
        Ok(&self.rootfs.diff_ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_of_docker_are_empty() {
        let text = br#"{"architecture":"amd64","os":"linux","config":{"Cmd":null,"Env":null,"Volumes":null,"Labels":null,
            "User":"","Healthcheck":{"Test":["x"]},"ArgsEscaped":true},"rootfs":{"type":"layers","diff_ids":null},"history":null}"#;
        let read = Configuration::parse(text).unwrap();
        assert!(read.config.cmd.is_empty() && read.rootfs.diff_ids.is_empty() && read.history.is_empty());
        let read = Configuration::parse(br#"{"os":"linux","config":null}"#).unwrap();
        assert!(read.config.env.is_empty());
    }

    #[test]
    fn what_is_no_configuration() {
        for text in
            ["", "{\"os\":\"windows\"}", "{\"config\":{\"Env\":\"A=1\"}}", "{\"rootfs\":{\"diff_ids\":[\"x\"]}}"]
        {
            assert!(Configuration::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
