//! A small image as a registry has it, and the program that fetches it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use coracle_image::digest::Digest;
use coracle_image::tar::{Time, Writer};
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Answer, Request};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Documents and blobs by digest.
#[derive(Clone)]
pub struct Image {
    pub manifest: Vec<u8>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// The digest of its only layer.
    pub layer: String,
}

impl Image {
    /// One layer with a megabyte that does not compress.
    pub fn new() -> Image {
        let mut state = 1_u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as u8
        });
        let content: Vec<u8> = noise.take(1 << 20).collect();
        let mut archive = Writer::new(Vec::new());
        archive.file("file", content.len() as u64, Time::default(), &mut content.as_slice()).unwrap();
        let layer = archive.finish().unwrap();
        let digest = Digest::sha256(&layer).to_string();
        let config = json!({"architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest]}})
        .to_string()
        .into_bytes();
        let part = |kind: &str, bytes: &[u8]| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": Digest::sha256(bytes), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": part("config.v1+json", &config), "layers": [part("layer.v1.tar", &layer)]})
        .to_string()
        .into_bytes();
        let blobs = [layer, config].map(|bytes| (Digest::sha256(&bytes).to_string(), bytes));
        Image { manifest, layer: digest, blobs: blobs.into() }
    }

    pub fn layer_bytes(&self) -> &[u8] {
        &self.blobs[&self.layer]
    }

    /// What a registry says that has this image as `app:1`.
    pub fn answer(&self, request: &Request) -> Answer {
        let digest = Digest::sha256(&self.manifest).to_string();
        if request.path == "/v2/" {
            return Answer::new(200, "{}");
        }
        if let Some(version) = request.path.strip_prefix("/v2/app/manifests/")
            && (version == "1" || version == digest)
        {
            let answer = Answer::new(200, self.manifest.clone()).header("Content-Type", MANIFEST);
            return answer.header("Docker-Content-Digest", digest);
        }
        let blob = request.path.strip_prefix("/v2/app/blobs/").and_then(|digest| self.blobs.get(digest));
        let Some(blob) = blob else { return Answer::new(404, "{}") };
        match request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()) {
            Some(begin) => partial(blob, begin),
            None => Answer::new(200, blob.clone()),
        }
    }

    pub fn is_layer(&self, request: &Request) -> bool {
        request.path.ends_with(&self.layer)
    }
}

/// The end of a blob.
pub fn partial(blob: &[u8], begin: usize) -> Answer {
    let range = format!("bytes {begin}-{}/{}", blob.len() - 1, blob.len());
    Answer::new(206, &blob[begin..]).header("Content-Range", range)
}

/// Calls of coracle-image with a place of their own.
pub struct Client {
    pub dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Client {
    pub fn new() -> Client {
        Client { dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub fn set(mut self, name: &str, value: impl Into<String>) -> Client {
        self.variables.push((name.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file, and says where.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        std::fs::write(self.path(name), content).unwrap();
        self.path(name).display().to_string()
    }

    /// Copies `app:1` from the registry at `host` to a layout.
    pub fn copy(&self, host: &str, options: &[&str]) -> Said {
        let (from, to) = (format!("docker://{host}/app:1"), format!("oci:{}", self.path("out").display()));
        self.call(&[&["copy"], options, &[&from, &to]].concat())
    }

    /// The same from a registry without TLS.
    pub fn copy_plain(&self, host: &str) -> Said {
        self.copy(host, &["--tls-verify=false"])
    }

    pub fn call(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coracle-image"));
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.dir.path().display()));
        command.env("HOME", self.dir.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Said(command.arg("--root").arg(self.path("store")).args(args).output().unwrap())
    }
}

/// What a call ended with.
pub struct Said(Output);

impl Said {
    #[track_caller]
    pub fn ok(&self) {
        assert!(self.0.status.success(), "{}", String::from_utf8_lossy(&self.0.stderr));
    }

    #[track_caller]
    pub fn fails(&self, text: &str) {
        let said = String::from_utf8_lossy(&self.0.stderr);
        assert_eq!(self.0.status.code(), Some(125), "{said}");
        assert!(said.contains(text), "not {text:?}: {said}");
    }
}
