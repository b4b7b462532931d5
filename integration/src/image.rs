//! Small images made by hand with the machine's own programs, and calls of coracle-image on a store of the test's own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::call::Call;
use crate::registry::Context;

/// coracle-image with a store of the test's own.
#[derive(Debug)]
pub struct Images<'t> {
    t: &'t Context,
    program: PathBuf,
    store: PathBuf,
    launch: Vec<String>,
}

impl<'t> Images<'t> {
    /// The program beside the runtime of this build.
    pub fn new(t: &'t Context) -> Images<'t> {
        let beside = |program: &Path| program.with_file_name("coracle-image");
        let own = beside(t.coracle().program());
        // Another runtime has none: that of this build, then.
        let program = if own.is_file() { own } else { beside(t.guest()) };
        Images { t, program, store: t.path("store"), launch: Vec::new() }
    }

    /// The same, called in a state that `guest launch` brings about, with another store.
    pub fn launched(mut self, word: impl Into<String>) -> Images<'t> {
        self.launch.push(word.into());
        self
    }

    /// The same with its store there.
    pub fn with_store(mut self, store: PathBuf) -> Images<'t> {
        self.store = store;
        self
    }

    /// A call with the store, the runtime under test and its state directory given.
    pub fn call(&self, args: &[&str]) -> Call {
        let coracle = self.t.coracle();
        let call = Call::new(&self.program, self.t.guest(), &self.t.path(""));
        let call = self.launch.iter().fold(call, |call, word| call.launched(word));
        let call = call.arg("--root").arg(&self.store).arg("--runtime").arg(coracle.program());
        call.arg("--runtime-root").arg(coracle.root()).args(args)
    }

    /// The program itself.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The directory of the container called `name`.
    pub fn container(&self, name: &str) -> PathBuf {
        self.store.join("containers").join(name)
    }
}

/// An OCI image layout in the making.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
    config: Value,
}

impl Layout {
    /// An image without layers.
    pub fn empty(t: &Context, name: &str) -> Layout {
        let path = t.path(name);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        Layout { path, layers: Vec::new(), diff_ids: Vec::new(), config: json!({"Env": ["PATH=/bin"]}) }
    }

    /// An image whose lowest layer has the guest and little else, and which runs its probe.
    pub fn new(t: &Context, name: &str) -> Layout {
        let mut layout = Layout::empty(t, name);
        layout.config =
            json!({"Cmd": ["/guest", "probe"], "Env": ["PATH=/bin", "FROM=image"], "WorkingDir": "/home/user"});
        layout.layer(|dir| {
            for name in ["proc", "dev", "sys", "tmp", "etc", "bin", "home/user", "data"] {
                fs::create_dir_all(dir.join(name)).unwrap();
            }
            fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
            fs::copy(t.guest(), dir.join("guest")).unwrap();
            symlink("/guest", dir.join("bin/guest")).unwrap();
            fs::write(dir.join("etc/passwd"), "root:x:0:0:root:/root:/guest\nuser:x:1000:1000::/home/user:/guest\n")
                .unwrap();
            fs::write(dir.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:7:user\n").unwrap();
            fs::write(dir.join("data/first"), "lower\n").unwrap();
            fs::write(dir.join("data/second"), "lower\n").unwrap();
        })
    }

    /// Adds a layer of what `fill` puts into a directory; whiteouts are files called `.wh.NAME`.
    pub fn layer(mut self, fill: impl FnOnce(&Path)) -> Layout {
        let dir = self.path.join("layer");
        fs::create_dir(&dir).unwrap();
        fill(&dir);
        let tar = self.path.join("layer.tar");
        run(Command::new("tar").args(["--sort=name", "--numeric-owner", "-C"]).arg(&dir).arg("-cf").arg(&tar).arg("."));
        self.diff_ids.push(digest(&tar));
        run(Command::new("gzip").arg("-n").arg(&tar));
        let layer = self.blob("layer.tar.gz", "layer.v1.tar+gzip");
        self.layers.push(layer);
        fs::remove_dir_all(&dir).unwrap();
        self
    }

    /// Sets a member of the image configuration's `config`.
    pub fn config(mut self, member: &str, value: Value) -> Layout {
        self.config[member] = value;
        self
    }

    /// Writes configuration, manifest and index: the image as coracle-image takes it.
    pub fn save(self, name: &str) -> String {
        let manifest = self.manifest(architecture());
        self.listed(manifest, name)
    }

    /// Writes an index of this image for several architectures, with an attestation as BuildKit makes them.
    pub fn save_for(self, name: &str, architectures: &[&str]) -> String {
        let platform = |os: &str, architecture: &str| json!({"os": os, "architecture": architecture});
        let mut manifests: Vec<Value> = architectures
            .iter()
            .map(|architecture| {
                let mut manifest = self.manifest(architecture);
                manifest["platform"] = platform("linux", architecture);
                manifest
            })
            .collect();
        let statement = self.document(&json!({"_type": "https://in-toto.io/Statement/v0.1"}), "config.v1+json");
        let mut layer = statement.clone();
        layer["mediaType"] = json!("application/vnd.in-toto+json");
        let mut attestation = self.document(&manifest(&statement, &[layer]), "manifest.v1+json");
        attestation["platform"] = platform("unknown", "unknown");
        manifests.push(attestation);
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests});
        let index = self.document(&index, "index.v1+json");
        self.listed(index, name)
    }

    fn manifest(&self, architecture: &str) -> Value {
        let config = json!({"architecture": architecture, "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": self.config, "rootfs": {"type": "layers", "diff_ids": self.diff_ids}});
        let config = self.document(&config, "config.v1+json");
        self.document(&manifest(&config, &self.layers), "manifest.v1+json")
    }

    fn listed(&self, mut root: Value, name: &str) -> String {
        root["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        let index = json!({"schemaVersion": 2, "manifests": [root]});
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
        fs::write(self.path.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        format!("oci:{}:{name}", self.path.display())
    }

    fn document(&self, content: &Value, kind: &str) -> Value {
        fs::write(self.path.join("document"), content.to_string()).unwrap();
        self.blob("document", kind)
    }

    fn blob(&self, file: &str, kind: &str) -> Value {
        let path = self.path.join(file);
        let (digest, size) = (digest(&path), fs::metadata(&path).unwrap().len());
        fs::rename(&path, self.path.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))).unwrap();
        json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest, "size": size})
    }
}

fn manifest(config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config, "layers": layers})
}

/// What images call this machine's.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn digest(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    format!("sha256:{}", text.split(' ').next().unwrap())
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
