//! What an engine sets for the runtime, in each of the types it may send.

use std::path::{Path, PathBuf};

use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{CodedInputStream, Message, UnknownValueRef};
use containerd_shim_protos::shim::oci;
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};

/// Where a container's options are kept in its bundle, for the clean-up after a shim that is gone.
const FILE: &str = "shim.json";
/// The field of `containerd.runc.v1.Options` that containerd 2 no longer names.
const CRIU_PATH: u32 = 8;

/// The options of containerd's own shim (`containerd.runc.v1.Options`), which a configuration may give by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Options {
    /// The program to run. Default: `coracle`.
    pub binary_name: String,
    /// Where the runtime keeps its state, in a directory for each of containerd's namespaces.
    pub root: String,
    pub systemd_cgroup: bool,
    pub no_pivot_root: bool,
    pub no_new_keyring: bool,
    /// The owner of the container's standard input, output and error, where these are pipes.
    pub io_uid: u32,
    pub io_gid: u32,
    /// The cgroup to put the shim into.
    pub shim_cgroup: String,
    pub criu_path: String,
    pub criu_work_path: String,
}

impl Options {
    /// Reads the options of a request; the defaults if there are none.
    ///
    /// # Errors
    /// A type or a content that is not understood: what was asked for would not be done.
    pub fn from_any(any: Option<&Any>) -> Result<Options> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty()) else { return Ok(Options::default()) };
        match any.type_url.rsplit('/').next().unwrap_or_default() {
            "containerd.runc.v1.Options" => Options::from_runc(&any.value),
            "runtimeoptions.v1.Options" => Options::from_runtime(&any.value),
            "containerd.linux.runc.CreateOptions" => Options::from_create(&any.value),
            other => Err(Error::invalid(format!("read runtime options: unknown type {other}"))),
        }
    }

    fn from_runc(bytes: &[u8]) -> Result<Options> {
        let sent = oci::Options::parse_from_bytes(bytes).map_err(malformed)?;
        let criu = match sent.special_fields.unknown_fields().get(CRIU_PATH) {
            Some(UnknownValueRef::LengthDelimited(path)) => String::from_utf8_lossy(path).into_owned(),
            _ => String::new(),
        };
        Ok(Options {
            binary_name: sent.binary_name,
            root: sent.root,
            systemd_cgroup: sent.systemd_cgroup,
            no_pivot_root: sent.no_pivot_root,
            no_new_keyring: sent.no_new_keyring,
            io_uid: sent.io_uid,
            io_gid: sent.io_gid,
            shim_cgroup: sent.shim_cgroup,
            criu_path: criu,
            criu_work_path: sent.criu_work_path,
        })
    }

    /// `containerd.linux.runc.CreateOptions`, which `ctr` sends with a user namespace: `no_pivot_root` (1),
    /// `no_new_keyring` (8), `shim_cgroup` (9), `io_uid` (10), `io_gid` (11). The others are about checkpoints.
    fn from_create(bytes: &[u8]) -> Result<Options> {
        let mut options = Options::default();
        let mut stream = CodedInputStream::from_bytes(bytes);
        while let Some(tag) = stream.read_raw_tag_or_eof().map_err(malformed)? {
            match tag >> 3 {
                1 => options.no_pivot_root = stream.read_bool().map_err(malformed)?,
                8 => options.no_new_keyring = stream.read_bool().map_err(malformed)?,
                9 => options.shim_cgroup = stream.read_string().map_err(malformed)?,
                10 => options.io_uid = stream.read_uint32().map_err(malformed)?,
                11 => options.io_gid = stream.read_uint32().map_err(malformed)?,
                6 | 7 => drop(stream.read_bytes().map_err(malformed)?),
                _ => drop(stream.read_bool().map_err(malformed)?),
            }
        }
        Ok(options)
    }

    /// `runtimeoptions.v1.Options`, which the CRI plugin sends for runtimes it does not know: `type_url` (1), the path
    /// of a TOML file (2), or the TOML itself (3).
    fn from_runtime(bytes: &[u8]) -> Result<Options> {
        let mut stream = CodedInputStream::from_bytes(bytes);
        let (mut path, mut body) = (String::new(), Vec::new());
        while let Some(tag) = stream.read_raw_tag_or_eof().map_err(malformed)? {
            let field = stream.read_bytes().map_err(malformed)?;
            match tag >> 3 {
                2 => path = String::from_utf8(field).map_err(malformed)?,
                3 => body = field,
                _ => {}
            }
        }
        if body.is_empty() && !path.is_empty() {
            body = std::fs::read(&path).doing(|| format!("read runtime options {path}"))?;
        }
        let text = String::from_utf8(body).map_err(malformed)?;
        toml::from_str(&text).map_err(malformed)
    }

    /// Where the runtime keeps the state of the containers of containerd's `namespace`.
    pub fn state_root(&self, namespace: &str) -> PathBuf {
        let root = if self.root.is_empty() { "/run/containerd/coracle" } else { &self.root };
        Path::new(root).join(namespace)
    }

    /// Keeps the options beside the container's configuration.
    pub fn save(&self, bundle: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|error| Error::new(format!("encode options: {error}")))?;
        std::fs::write(bundle.join(FILE), text).doing(|| format!("write {}", bundle.join(FILE).display()))
    }

    /// The options a shim kept here; `None` if none did, or if it was killed at that, when there is no container yet.
    ///
    /// # Errors
    /// That they cannot be read, which does not mean that there are none: the container would not be found.
    pub fn load(bundle: &Path) -> Result<Option<Options>> {
        let file = bundle.join(FILE);
        match std::fs::read(&file) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("read {}", file.display())),
        }
    }
}

fn malformed(error: impl std::fmt::Display) -> Error {
    Error::invalid(format!("read runtime options: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any { type_url: type_url.into(), value, ..Any::default() }
    }

    #[test]
    fn of_containerds_own_shim() {
        let mut sent = oci::Options { binary_name: "/bin/x".into(), systemd_cgroup: true, ..oci::Options::default() };
        sent.special_fields.mut_unknown_fields().add_length_delimited(CRIU_PATH, b"/bin/criu".to_vec());
        let read = Options::from_any(Some(&any("containerd.runc.v1.Options", sent.write_to_bytes().unwrap()))).unwrap();
        let wanted = Options {
            binary_name: "/bin/x".into(),
            systemd_cgroup: true,
            criu_path: "/bin/criu".into(),
            ..Options::default()
        };
        assert_eq!(read, wanted);
    }

    #[test]
    fn of_the_cri_plugin() {
        let toml = b"BinaryName = \"/bin/x\"\nSystemdCgroup = false\nRoot = \"/r\"\n";
        let mut sent = vec![0x1a, toml.len() as u8];
        sent.extend(toml);
        let read = Options::from_any(Some(&any("types.containerd.io/runtimeoptions.v1.Options", sent))).unwrap();
        assert_eq!((read.binary_name.as_str(), read.root.as_str()), ("/bin/x", "/r"));
        assert_eq!(read.state_root("k8s.io"), Path::new("/r/k8s.io"));
    }

    #[test]
    fn of_ctr_with_a_user_namespace() {
        let sent = vec![0x28, 1, 0x40, 1, 0x50, 0xa0, 0x8d, 6];
        let read = Options::from_any(Some(&any("containerd.linux.runc.CreateOptions", sent))).unwrap();
        assert_eq!(read, Options { no_new_keyring: true, io_uid: 100_000, ..Options::default() });
    }

    #[test]
    fn none_and_unknown() {
        assert_eq!(Options::from_any(None).unwrap(), Options::default());
        assert_eq!(Options::from_any(Some(&Any::default())).unwrap(), Options::default());
        assert!(Options::from_any(Some(&any("io.example.Options", Vec::new()))).is_err());
        assert!(Options::from_any(Some(&any("runtimeoptions.v1.Options", vec![0x1a, 2, b'=']))).is_err());
    }
}
