//! Names of images: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, as registries and `docker pull` read them.

use std::fmt;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::{Error, Result};

/// The registry a name without one means.
const DEFAULT_HOST: &str = "docker.io";

/// A full name of an image: what is left out of the text is filled in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Name {
    /// The registry, with its port if it has one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same with the tag `latest`, if it has neither tag nor digest.
    pub fn tagged(mut self) -> Name {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some("latest".into());
        }
        self
    }

    /// What a manifest is asked for by: the digest, else the tag.
    pub fn version(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".into(),
        }
    }

    /// The name that is given to an image here: a short one is one of this machine's.
    pub fn given(text: &str) -> Result<Name> {
        match Name::candidates(text).into_iter().next() {
            Some(name) => Ok(name),
            // Says what is wrong with it.
            None => text.parse(),
        }
    }

    /// Names a person may mean by `text` in the local store, the likeliest first.
    pub fn candidates(text: &str) -> Vec<Name> {
        let full = text.split_once('/').is_some_and(|(host, _)| is_host(host));
        let texts = if full { vec![text.to_owned()] } else { vec![format!("localhost/{text}"), text.to_owned()] };
        texts.iter().filter_map(|text| text.parse().ok()).map(Name::tagged).collect()
    }
}

/// Whether the first part of a name is a host and not a part of the path.
fn is_host(part: &str) -> bool {
    part == "localhost" || part.contains(['.', ':'])
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name> {
        let invalid = |problem: &str| Error::invalid(format!("invalid name of an image {text:?}: {problem}"));
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| invalid("it has an invalid digest"))?)),
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if is_host(host) => (host, rest),
            _ => (DEFAULT_HOST, rest),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(invalid("it has no name"));
        }
        if !valid_host(host) {
            return Err(invalid("it has an invalid host"));
        }
        if path.len() > 255 || !path.split('/').all(valid_component) {
            return Err(invalid("a repository is made of lower-case letters, digits and single separators"));
        }
        if tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(invalid("a tag is made of at most 128 letters, digits and the signs _ . -"));
        }
        let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
        let official = host == DEFAULT_HOST && !path.contains('/');
        let path = if official { format!("library/{path}") } else { path.to_owned() };
        Ok(Name { host: host.into(), path, tag: tag.map(str::to_owned), digest })
    }
}

fn valid_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') => (name, Some(port)),
        _ => (host, None),
    };
    let in_brackets = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let named = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let label = |label: &str| {
                let sound = |c: char| c.is_ascii_alphanumeric() || c == '-';
                !label.is_empty() && label.chars().all(sound) && !label.starts_with('-') && !label.ends_with('-')
            };
            name.split('.').all(label)
        }
    };
    named && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

/// Letters and digits with `.`, `_`, `__` or dashes between them.
fn valid_component(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !part.starts_with(plain) || !part.ends_with(plain) {
        return false;
    }
    part.split(plain).all(|between| matches!(between, "" | "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

fn valid_tag(tag: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    tag.len() <= 128 && tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let hex = "a".repeat(64);
        let cases = [
            ("debian", "docker.io/library/debian"),
            ("debian:12", "docker.io/library/debian:12"),
            ("index.docker.io/debian", "docker.io/library/debian"),
            ("user/app", "docker.io/user/app"),
            ("localhost/app:v1.0_x-2", "localhost/app:v1.0_x-2"),
            ("quay.io/a/b/c", "quay.io/a/b/c"),
            ("host:5000/app", "host:5000/app"),
            ("[::1]:5000/app", "[::1]:5000/app"),
            ("a__b-c---d.e", "docker.io/library/a__b-c---d.e"),
        ];
        for (text, full) in cases {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), full, "{text}");
        }
        let pinned: Name = format!("debian:12@sha256:{hex}").parse().unwrap();
        assert_eq!((pinned.version(), pinned.tag()), (format!("sha256:{hex}"), Some("12")));
    }

    #[test]
    fn what_is_no_name() {
        let long = "a".repeat(300);
        let texts = [
            "",
            ":v1",
            "Debian",
            "a b",
            "a:",
            "a:.x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a-",
            "a...b",
            "a___b",
            "a@",
            "a@sha256:12",
            "../a",
            "host.x:99999/a",
            "-x.y/a",
            "x.y:/a",
            "a:b:c",
            &long,
        ];
        for text in texts {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn short_names_are_local_first() {
        let names = |text| Name::candidates(text).iter().map(Name::to_string).collect::<Vec<_>>();
        assert_eq!(names("debian:12"), ["localhost/debian:12", "docker.io/library/debian:12"]);
        assert_eq!(names("quay.io/x"), ["quay.io/x:latest"]);
    }
}
