//! The bundles, all with the same root filesystem: the floor program, and where others mount.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::Options;
use crate::runtime::Runtime;

/// The directory of this run, which its parent removes.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    floor: PathBuf,
}

impl Place {
    pub fn new(options: &Options) -> Place {
        let directory = Place::of(std::process::id());
        fs::create_dir(&directory).expect("a directory below /run");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("its mode");
        Place { directory, floor: options.floor.clone() }
    }

    /// Where the process of that id has it.
    pub fn of(process: u32) -> PathBuf {
        PathBuf::from(format!("/run/bench-{process}"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A bundle with this configuration.
    pub fn bundle(&self, name: &str, mut config: Value) -> PathBuf {
        let path = self.path(name);
        let rootfs = path.join("rootfs");
        for directory in ["proc", "sys", "dev", "etc"] {
            fs::create_dir_all(rootfs.join(directory)).expect("a directory of the root filesystem");
        }
        for file in ["resolv.conf", "hostname", "hosts"] {
            fs::write(path.join(file), "").expect("a file to mount");
            fs::write(rootfs.join("etc").join(file), "").expect("a place to mount");
        }
        fs::copy(&self.floor, rootfs.join("floor")).expect("copy the floor program");
        let program = if name.contains("pause") { "pause" } else { "true" };
        // Older runtimes refuse what is newer, although nothing newer is in it.
        config["ociVersion"] = json!("1.0.2");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/floor", program]);
        config["root"]["path"] = json!("rootfs");
        let text = config.to_string().replace("@BUNDLE@", &path.display().to_string());
        fs::write(path.join("config.json"), text).expect("write config.json");
        path
    }

    /// Has the container run the other program, `pause` or `true`.
    pub fn program(&self, bundle: &Path, word: &str) {
        let path = bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("config.json")).expect("JSON");
        config["process"]["args"] = json!(["/floor", word]);
        fs::write(path, config.to_string()).expect("write config.json");
    }

    /// Docker's filter, as a runtime compiles it, for the floor program.
    pub fn filter(&self, bundle: &Path, runtime: &Runtime) {
        let id = format!("filter-{}", std::process::id());
        self.program(bundle, "pause");
        // Without no_new_privs it is loaded at the very end.
        for verb in ["create", "start"] {
            runtime.measure(&runtime.words(verb, bundle, &id));
        }
        let pid = runtime.pid(bundle, &id).to_string();
        let output = Command::new(&self.floor).args(["filter", &pid]).output().expect("read the filter");
        runtime.measure(&runtime.words("delete-force", bundle, &id));
        Runtime::reap();
        assert!(!output.stdout.is_empty(), "no filter: {}", String::from_utf8_lossy(&output.stderr));
        fs::write(bundle.join("filter"), output.stdout).expect("keep the filter");
    }
}

/// What `runc spec` writes, with a cgroup namespace, as engines ask for on cgroup v2: without one, a new mount of the tree
/// waits some 9 ms for the kernel, whoever asks. Without ambient capabilities, which need inheritable ones.
pub fn spec() -> Value {
    serde_json::from_str(include_str!("../../config.json.example")).expect("config.json.example")
}

/// What Docker writes for `docker run` without options, in a cgroup namespace and a cgroup of the runtime's choice.
pub fn docker() -> Value {
    let mut config: Value = serde_json::from_str(include_str!("../data/docker.json")).expect("docker.json");
    if let Some(linux) = config["linux"].as_object_mut() {
        linux.remove("cgroupsPath");
    }
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": "cgroup"}));
    }
    config
}

/// [`spec`] with no namespaces but mount and, where it is another one, `kind`.
pub fn alone(kind: &str) -> Value {
    let mut config = spec();
    let both = [json!({"type": "mount"}), json!({"type": kind})];
    config["linux"]["namespaces"] = if kind == "mount" { json!(both[..1]) } else { json!(both) };
    if kind != "uts"
        && let Some(config) = config.as_object_mut()
    {
        config.remove("hostname");
    }
    if kind == "user" {
        for map in ["uidMappings", "gidMappings"] {
            config["linux"][map] = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
        }
    }
    config
}

/// [`spec`] for an ordinary user, who is root in it.
pub fn rootless(user: u32) -> Value {
    let mut config = spec();
    let linux = &mut config["linux"];
    linux["namespaces"] = json!(["user", "pid", "ipc", "uts", "mount", "network"].map(|kind| json!({"type": kind})));
    for map in ["uidMappings", "gidMappings"] {
        linux[map] = json!([{"containerID": 0, "hostID": user, "size": 1}]);
    }
    linux["resources"] = json!({});
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        for mount in mounts.iter_mut().filter(|mount| mount["destination"] == "/dev/pts") {
            mount["options"] = json!(["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
        }
    }
    config
}
