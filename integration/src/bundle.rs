//! A bundle: the default configuration, a patch, and a root file system with nothing but the guest in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::container::Container;
use crate::json::{Facts, merge};
use crate::output::Output;
use crate::runtime::Coracle;

/// Directories of the root file system.
const DIRECTORIES: [&str; 7] = ["proc", "dev", "sys", "tmp", "etc", "mnt", "bin"];

/// A bundle on disk, in the directory of its test.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    config: Value,
    coracle: Coracle,
    ids: (String, std::cell::Cell<u32>),
}

impl Bundle {
    /// Makes the bundle at `path`; container ids are `prefix` and a number.
    pub fn new(path: &Path, guest: &Path, coracle: Coracle, prefix: &str) -> Bundle {
        let rootfs = path.join("rootfs");
        DIRECTORIES.iter().for_each(|name| fs::create_dir_all(rootfs.join(name)).unwrap());
        fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::hard_link(guest, rootfs.join("guest")).unwrap();
        symlink("/guest", rootfs.join("bin/guest")).unwrap();
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/guest\nuser:x:1000:1000::/home/user:/guest\n")
            .unwrap();
        let mut config: Value = serde_json::from_str(include_str!("../../config.json.example")).unwrap();
        merge(&mut config, &json!({"process": {"terminal": false, "args": ["/guest", "probe"]}}));
        Bundle { path: path.into(), config, coracle, ids: (prefix.into(), std::cell::Cell::new(0)) }
    }

    /// Applies a merge patch (RFC 7396) to the configuration; null removes a member.
    pub fn patch(mut self, patch: Value) -> Bundle {
        merge(&mut self.config, &patch);
        self
    }

    /// Changes the configuration by hand.
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Bundle {
        change(&mut self.config);
        self
    }

    /// Sets the program of the container.
    pub fn args(mut self, args: &[&str]) -> Bundle {
        self.config["process"]["args"] = json!(args);
        self
    }

    /// Appends a mount.
    pub fn mount(mut self, mount: Value) -> Bundle {
        self.config["mounts"].as_array_mut().unwrap().push(mount);
        self
    }

    /// Removes the mounts on these destinations.
    pub fn without_mounts(mut self, destinations: &[&str]) -> Bundle {
        let gone = |mount: &Value| destinations.iter().any(|destination| mount["destination"] == *destination);
        self.config["mounts"].as_array_mut().into_iter().for_each(|list| list.retain(|mount| !gone(mount)));
        self
    }

    /// Appends a namespace, or replaces the one of its type.
    pub fn namespace(mut self, namespace: Value) -> Bundle {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|other| other["type"] != namespace["type"]);
        list.push(namespace);
        self
    }

    /// Removes the namespace of a type.
    pub fn without_namespace(mut self, kind: &str) -> Bundle {
        self.config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Has every call go through another runtime or another state of the caller.
    pub fn with(mut self, coracle: Coracle) -> Bundle {
        self.coracle = coracle;
        self
    }

    /// What `spec --rootless` makes of it, for a user who is among the host's ids of `maps`, and who owns it.
    pub fn rootless(self, user: u32, maps: &Value) -> Bundle {
        for path in [self.path.clone(), self.rootfs()] {
            chown(path, Some(user), Some(user)).unwrap();
        }
        self.without_namespace("network")
            .namespace(json!({"type": "user"}))
            .patch(json!({"linux": {"uidMappings": maps, "gidMappings": maps, "resources": null}}))
            .edit(|config| {
                for mount in config["mounts"].as_array_mut().unwrap() {
                    if mount["destination"] == "/sys" {
                        *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                            "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
                    } else if let Some(options) = mount["options"].as_array_mut() {
                        options.retain(|option| option != "gid=5");
                    }
                }
            })
    }

    /// Writes a file in the root file system.
    pub fn file(self, path: &str, content: &str) -> Bundle {
        let path = self.rootfs().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Makes a directory in the root file system.
    pub fn directory(self, path: &str) -> Bundle {
        fs::create_dir_all(self.rootfs().join(path.trim_start_matches('/'))).unwrap();
        self
    }

    /// Makes a symbolic link in the root file system.
    pub fn link(self, target: &str, path: &str) -> Bundle {
        symlink(target, self.rootfs().join(path.trim_start_matches('/'))).unwrap();
        self
    }

    /// The bundle directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The root file system.
    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// The configuration.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The runtime it is run with.
    pub fn coracle(&self) -> &Coracle {
        &self.coracle
    }

    /// Writes config.json.
    pub fn save(&self) -> &Bundle {
        fs::write(self.path.join("config.json"), serde_json::to_vec_pretty(&self.config).unwrap()).unwrap();
        self
    }

    /// A container id nobody else uses.
    pub fn id(&self) -> String {
        let (prefix, count) = &self.ids;
        count.set(count.get() + 1);
        format!("{prefix}-{}", count.get())
    }

    /// `run` in the foreground, to the end.
    #[track_caller]
    pub fn run(&self) -> Output {
        self.run_with(&[])
    }

    /// `run` in the foreground with further options.
    #[track_caller]
    pub fn run_with(&self, options: &[&str]) -> Output {
        self.save();
        let container = Container::named(&self.coracle, &self.id());
        self.coracle.call(["run"]).args(options).arg("--bundle").arg(&self.path).arg(container.id()).run()
    }

    /// `run` in the foreground of another program than the configuration's.
    #[track_caller]
    pub fn run_args(&self, args: &[&str]) -> Output {
        self.again().args(args).run()
    }

    /// The same directory, to be run with another configuration after this one.
    pub fn again(&self) -> Bundle {
        let config = self.config.clone();
        Bundle { path: self.path.clone(), config, coracle: self.coracle.clone(), ids: self.ids.clone() }
    }

    /// Runs the probe, which must succeed, and returns its report.
    #[track_caller]
    pub fn facts(&self) -> Facts {
        self.run().facts()
    }

    /// `create`, which must succeed.
    #[track_caller]
    pub fn create(&self) -> Container {
        self.create_with(&[])
    }

    /// `create` with further options, which must succeed.
    #[track_caller]
    pub fn create_with(&self, options: &[&str]) -> Container {
        let (container, output) = self.try_create(options);
        output.ok();
        container
    }

    /// `create` with further options, and what it said.
    #[track_caller]
    pub fn try_create(&self, options: &[&str]) -> (Container, Output) {
        self.detached("create", options)
    }

    /// `run --detach`, which must succeed.
    #[track_caller]
    pub fn start(&self) -> Container {
        self.start_with(&[])
    }

    /// `run --detach` with further options, which must succeed.
    #[track_caller]
    pub fn start_with(&self, options: &[&str]) -> Container {
        let (container, output) = self.detached("run", &[&["--detach"], options].concat());
        output.ok();
        container
    }

    #[track_caller]
    fn detached(&self, verb: &str, options: &[&str]) -> (Container, Output) {
        self.save();
        let mut container = Container::named(&self.coracle, &self.id());
        let call = self.coracle.call([verb]).args(options).arg("--bundle").arg(&self.path).arg(container.id());
        let output = container.attach(call.spawn());
        (container, output)
    }
}
