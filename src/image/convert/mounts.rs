//! Mounts: the defaults, the image's volumes, the caller's.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde_json::{Value, json};

use super::{Machine, Options};
use crate::configuration::Configuration;
use crate::error::{Error, Result};

/// More volumes than this no image has for a good reason: each is a directory and a mount.
const VOLUMES: usize = 256;

/// The network of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Network {
    /// The machine's own.
    Host,
    /// One of its own with nothing but lo.
    #[default]
    None,
    /// One that is there, by path.
    Namespace(PathBuf),
}

/// `--volume SOURCE:DESTINATION[:OPTIONS]`, or a destination alone for an empty directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub source: Option<PathBuf>,
    pub destination: String,
    pub options: Vec<String>,
}

/// A directory that belongs to the container: made empty, filled with what the image has at its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmptyBind {
    /// Below the bundle.
    pub source: String,
    /// Absolute, without `..`.
    pub destination: String,
}

/// Fills in the list of mounts; the answer is those the caller has to make directories for.
pub fn mounts(
    list: &mut Value,
    image: &Configuration,
    options: &Options,
    machine: Machine,
    bundle: &Path,
) -> Result<Vec<EmptyBind>> {
    let list = list.as_array_mut().ok_or_else(|| Error::invalid("the default configuration has no mounts"))?;
    for mount in list.iter_mut().filter(|mount| mount["destination"] == "/sys") {
        // A sysfs needs a network namespace of the same owner.
        if machine.rootless && options.network != Network::None {
            *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
        }
    }
    if machine.one_id {
        // The group of terminals is not there.
        let options = list.iter_mut().filter_map(|mount| mount["options"].as_array_mut());
        options.for_each(|options| options.retain(|option| option != "gid=5"));
    }
    let own = list.len();
    for name in &options.etc {
        list.push(bind(bundle.join(name), &format!("/etc/{name}"), ["bind".to_owned(), "rprivate".to_owned()]));
    }
    for text in &options.tmpfs {
        let (destination, settings) = text.split_once(':').unwrap_or((text, "nosuid,nodev,noexec"));
        let settings: Vec<_> = settings.split(',').filter(|setting| !setting.is_empty()).collect();
        let destination = inside(destination)?;
        list.push(json!({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": settings}));
    }
    let mut made = Vec::new();
    let mut anonymous = |list: &mut Vec<Value>, destination: String| {
        let source = format!("volumes/{}", made.len());
        list.push(bind(bundle.join(&source), &destination, ["bind".to_owned(), "rprivate".to_owned()]));
        made.push(EmptyBind { source, destination });
    };
    for volume in &options.volumes {
        let destination = inside(&volume.destination)?;
        match &volume.source {
            None => anonymous(list, destination),
            Some(source) => list.push(bind(source.clone(), &destination, volume.options.iter().cloned())),
        }
    }
    if image.config.volumes.len() > VOLUMES {
        return Err(Error::invalid(format!("the image has more than {VOLUMES} volumes")));
    }
    for volume in image.config.volumes.keys() {
        let destination = inside(volume)?;
        // The caller's own volume is what the image's stands for.
        if !list.iter().any(|mount| mount["destination"] == destination.as_str()) {
            anonymous(list, destination);
        }
    }
    // What is mounted above another would hide it.
    let depth = |mount: &Value| mount["destination"].as_str().map_or(0, |path| path.matches('/').count());
    list[own..].sort_by_key(depth);
    Ok(made)
}

fn bind(source: PathBuf, destination: &str, options: impl IntoIterator<Item = String>) -> Value {
    let options: Vec<_> = options.into_iter().collect();
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

/// An absolute path in the container with `..` taken literally, never above its root (CVE-2022-23648).
fn inside(path: &str) -> Result<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Error::invalid(format!("{path:?} is not an absolute path")));
    }
    let mut parts: Vec<&std::ffi::OsStr> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part),
            Component::ParentDir => drop(parts.pop()),
            _ => (),
        }
    }
    if parts.is_empty() {
        return Err(Error::invalid(format!("{path:?} would hide the whole container")));
    }
    let mut text = String::new();
    for part in parts {
        text.push('/');
        text.push_str(&part.to_string_lossy());
    }
    Ok(text)
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Network> {
        match text.split_once(':') {
            None if text == "host" => Ok(Network::Host),
            None if text == "none" => Ok(Network::None),
            Some(("ns", path)) if path.starts_with('/') => Ok(Network::Namespace(path.into())),
            _ => Err(Error::invalid(format!("network {text:?} must be host, none or ns:/PATH"))),
        }
    }
}

impl FromStr for Volume {
    type Err = Error;

    fn from_str(text: &str) -> Result<Volume> {
        let invalid = |problem: &str| Err(Error::invalid(format!("volume {text:?}: {problem}")));
        let parts: Vec<_> = text.split(':').collect();
        let (source, destination, settings) = match parts.as_slice() {
            [destination] => (None, *destination, ""),
            [source, destination] => (Some(*source), *destination, ""),
            [source, destination, settings] => (Some(*source), *destination, *settings),
            _ => return invalid("must be SOURCE:DESTINATION[:OPTIONS]"),
        };
        if !destination.starts_with('/') {
            return invalid("the destination must be an absolute path");
        }
        if source.is_some_and(|source| !source.starts_with(['/', '.'])) {
            return invalid("named volumes are not supported, give the path of a directory");
        }
        let mut options = vec!["rbind".to_owned()];
        let mut propagation = "rprivate".to_owned();
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            match setting {
                "rw" | "z" | "Z" => (),
                "ro" | "rro" | "nosuid" | "nodev" | "noexec" | "idmap" => options.push(setting.into()),
                "private" | "rprivate" | "slave" | "rslave" | "shared" | "rshared" => propagation = setting.into(),
                _ => return invalid(&format!("unknown option {setting:?}")),
            }
        }
        options.push(propagation);
        Ok(Volume { source: source.map(PathBuf::from), destination: destination.into(), options })
    }
}
