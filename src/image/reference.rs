//! Where an image is: one syntax for every place it can come from or go to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::name::Name;

/// A place of an image, as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `oci:DIR[:REF]`: a directory in the OCI image layout.
    Layout { dir: PathBuf, name: Option<String> },
    /// `oci-archive:FILE[:REF]`: the same in a tar archive.
    OciArchive { file: PathBuf, name: Option<String> },
    /// `docker-archive:FILE[:NAME]`: what `docker save` and `podman save` write.
    DockerArchive { file: PathBuf, name: Option<String> },
    /// `docker://[HOST/]NAME[:TAG|@DIGEST]`: a registry.
    Registry(Name),
    /// `docker-daemon:NAME`: Docker's own store, by way of `docker save`.
    DockerDaemon(String),
    /// `-`: an archive of either kind on standard input or output.
    Stream,
    /// A file that is an archive of either kind; no text stands for it.
    Archive { file: PathBuf },
    /// Anything else: a name or an id in the local store.
    Stored(String),
}

impl Reference {
    /// The name an image of this place gets in the local store when the caller gives none.
    pub fn default_name(&self) -> Option<Name> {
        let local = |path: &PathBuf, name: &Option<String>| -> Option<Name> {
            if let Some(full) = name.as_deref().filter(|name| name.contains('/')) {
                return full.parse().ok();
            }
            if let Some(name) = name.as_deref().filter(|name| name.contains(':')) {
                return format!("localhost/{name}").parse().ok();
            }
            let stem = path.file_name()?.to_str()?;
            let stem = stem.strip_suffix(".tar").unwrap_or(stem).to_ascii_lowercase();
            format!("localhost/{stem}:{}", name.as_deref().unwrap_or("latest")).parse().ok()
        };
        match self {
            Reference::Layout { dir, name } => local(dir, name),
            Reference::OciArchive { file, name } => local(file, name),
            // Such archives carry full names.
            Reference::DockerArchive { name, .. } => name.as_deref()?.parse().ok(),
            Reference::DockerDaemon(name) => name.parse().ok(),
            Reference::Registry(name) => Some(name.clone()),
            Reference::Archive { file } => local(file, &None),
            Reference::Stream => None,
            Reference::Stored(name) => name.parse().ok(),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Reference> {
        let invalid = |problem: &str| Error::invalid(format!("invalid image {text:?}: {problem}"));
        if text == "-" {
            return Ok(Reference::Stream);
        }
        if let Some(name) = text.strip_prefix("docker://") {
            return name.parse::<Name>().map(Name::tagged).map(Reference::Registry);
        }
        let Some((transport, rest)) = text.split_once(':') else { return stored(text) };
        // A path ends at its first colon, as for skopeo and podman.
        let place = || match rest.split_once(':') {
            _ if rest.is_empty() || rest.starts_with(':') => Err(invalid("there is no path after the colon")),
            Some((_, "")) => Err(invalid("there is no name after the last colon")),
            Some((path, name)) => Ok((PathBuf::from(path), Some(name.to_owned()))),
            None => Ok((PathBuf::from(rest), None)),
        };
        match transport {
            "oci" => place().map(|(dir, name)| Reference::Layout { dir, name }),
            "oci-archive" => place().map(|(file, name)| Reference::OciArchive { file, name }),
            "docker-archive" => place().map(|(file, name)| Reference::DockerArchive { file, name }),
            // It becomes an argument of a program.
            "docker-daemon" if rest.is_empty() || rest.starts_with('-') => Err(invalid("there is no image name")),
            "docker-daemon" => Ok(Reference::DockerDaemon(rest.into())),
            "dir" | "containers-storage" | "ostree" | "sif" | "tarball" | "docker" => {
                Err(invalid("this kind of place is not supported"))
            }
            _ => stored(text),
        }
    }
}

fn stored(text: &str) -> Result<Reference> {
    text.parse::<Name>().map(|_| Reference::Stored(text.into()))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = |f: &mut fmt::Formatter<'_>, kind: &str, path: &PathBuf, name: &Option<String>| {
            write!(f, "{kind}:{}", path.display())?;
            name.as_ref().map_or(Ok(()), |name| write!(f, ":{name}"))
        };
        match self {
            Reference::Layout { dir, name } => place(f, "oci", dir, name),
            Reference::OciArchive { file, name } => place(f, "oci-archive", file, name),
            Reference::DockerArchive { file, name } => place(f, "docker-archive", file, name),
            Reference::Registry(name) => write!(f, "docker://{name}"),
            Reference::DockerDaemon(name) => write!(f, "docker-daemon:{name}"),
            Reference::Stream => f.write_str("-"),
            Reference::Archive { file } => write!(f, "{}", file.display()),
            Reference::Stored(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let layout =
            |dir: &str, name: Option<&str>| Reference::Layout { dir: dir.into(), name: name.map(str::to_owned) };
        let cases = [
            ("oci:d", layout("d", None)),
            ("oci:/a/b:v1", layout("/a/b", Some("v1"))),
            ("oci:d:docker.io/library/debian:12", layout("d", Some("docker.io/library/debian:12"))),
            ("oci-archive:x.tar:v", Reference::OciArchive { file: "x.tar".into(), name: Some("v".into()) }),
            ("docker-archive:x.tar", Reference::DockerArchive { file: "x.tar".into(), name: None }),
            ("docker-daemon:debian:12", Reference::DockerDaemon("debian:12".into())),
            ("-", Reference::Stream),
            ("debian", Reference::Stored("debian".into())),
            ("localhost:5000/debian:12", Reference::Stored("localhost:5000/debian:12".into())),
            ("docker://127.0.0.1:5000/a/b:1", Reference::Registry("127.0.0.1:5000/a/b:1".parse().unwrap())),
            ("docker://debian", Reference::Registry("docker.io/library/debian:latest".parse().unwrap())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Reference>().unwrap(), expected, "{text}");
        }
        for text in
            ["", "oci:", "oci::x", "oci:d:", "docker-daemon:", "docker-daemon:--help", "dir:x", "docker://", "A b"]
        {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_in_the_store() {
        let name = |text: &str| text.parse::<Reference>().unwrap().default_name().map(|name| name.to_string());
        let cases = [
            ("oci:/x/Hello", Some("localhost/hello:latest")),
            ("oci:hello:v1", Some("localhost/hello:v1")),
            ("oci:hello:web:v1", Some("localhost/web:v1")),
            ("oci-archive:a/web.tar:v1", Some("localhost/web:v1")),
            ("oci:d:docker.io/library/debian:12", Some("docker.io/library/debian:12")),
            ("docker-archive:x.tar", None),
            ("docker://debian:12", Some("docker.io/library/debian:12")),
            ("-", None),
            ("oci:/", None),
        ];
        for (text, expected) in cases {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
    }
}
