//! A bundle: the directory, its config.json as it was read, and what it says.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde_json::Value;

use crate::error::{Context, Error, Kind, Result};

/// An opened bundle.
pub struct Bundle {
    path: PathBuf,
    config: Vec<u8>,
    spec: Spec,
    warnings: Vec<String>,
}

impl Bundle {
    /// Reads the bundle in `dir`, with the configuration in `config` if that is given.
    ///
    /// # Errors
    /// [`Kind::NotFound`] without a configuration; [`Kind::InvalidConfig`] with line and column of malformed JSON,
    /// or the JSON pointer of a value of the wrong type.
    pub fn open(dir: &Path, config: Option<&Path>) -> Result<Bundle> {
        let path = std::fs::read_link("/proc/self/cwd").context(|| "find the working directory")?.join(dir);
        let file = config.map_or_else(|| path.join("config.json"), Path::to_path_buf);
        let bytes = std::fs::read(&file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(Kind::NotFound, format!("JSON specification file {} not found", file.display()))
            }
            _ => Error::system(
                format!("read {}", file.display()),
                coracle_sys::Errno::from_raw(error.raw_os_error().unwrap_or_default()),
            ),
        })?;
        let mut warnings = Vec::new();
        let spec = parse(&bytes, &mut warnings).context(|| file.display().to_string())?;
        Ok(Bundle { path, config: bytes, spec, warnings })
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// config.json as it was read.
    pub fn config(&self) -> &[u8] {
        &self.config
    }

    /// What was passed over in it.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The root filesystem, absolute and checked to be a directory that is not reached by symbolic links.
    pub fn rootfs(&self) -> Result<PathBuf> {
        let root = self.spec.root().as_ref();
        let root = root.ok_or_else(|| Error::new(Kind::InvalidConfig, "config.json /root: root must be specified"))?;
        let path: PathBuf = self.path.join(root.path()).components().collect();
        let meta = std::fs::symlink_metadata(&path)
            .context(|| format!("config.json /root/path: invalid rootfs {}", path.display()))?;
        if !meta.is_dir() {
            let problem = "not a directory, or a symlink";
            let text = format!("config.json /root/path: invalid rootfs {}: {problem}", path.display());
            return Err(Error::new(Kind::InvalidConfig, text));
        }
        Ok(path)
    }
}

fn parse(bytes: &[u8], warnings: &mut Vec<String>) -> Result<Spec> {
    let invalid = |text: String| Error::new(Kind::InvalidConfig, text);
    let mut value: Value = serde_json::from_slice(bytes).map_err(|e| invalid(e.to_string()))?;
    if value.is_null() {
        return Err(invalid("config cannot be null".to_owned()));
    }
    drop_unknown_capabilities(&mut value, warnings);
    serde_path_to_error::deserialize(value).map_err(|e| {
        let pointer: String = e.path().iter().map(|part| format!("/{part}")).collect();
        invalid(format!("{pointer}: {}", e.inner()))
    })
}

/// A capability the kernel or the caller does not know is logged, not refused (config.md, capabilities).
fn drop_unknown_capabilities(config: &mut Value, warnings: &mut Vec<String>) {
    let Some(sets) = config.pointer_mut("/process/capabilities").and_then(Value::as_object_mut) else { return };
    for list in sets.values_mut().filter_map(Value::as_array_mut) {
        list.retain(|name| {
            let known = serde_json::from_value::<oci_spec::runtime::Capability>(name.clone()).is_ok();
            if let (false, Some(name)) = (known, name.as_str()) {
                let text = format!("ignoring unknown or unavailable capabilities: [{name}]");
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            }
            known || !name.is_string()
        });
    }
}
