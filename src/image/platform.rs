//! Platforms: which of an index's images a machine can run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An operating system and a processor, in Go's words, as the image specification has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(rename = "os.version", skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    #[serde(rename = "os.features", skip_serializing_if = "Option::is_none")]
    pub os_features: Option<Vec<String>>,
}

impl Platform {
    /// The machine this runs on.
    pub fn host() -> Platform {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "x86" => ("386", None),
            "aarch64" => ("arm64", None),
            "arm" => ("arm", Some("v7".to_owned())),
            "powerpc64" if cfg!(target_endian = "little") => ("ppc64le", None),
            "powerpc64" => ("ppc64", None),
            "loongarch64" => ("loong64", None),
            other => (other, None),
        };
        Platform { architecture: architecture.into(), os: "linux".into(), variant, ..Platform::default() }
    }

    /// How well an image for `self` suits a caller who wants `wanted`: the less the better, `None` if it cannot.
    pub fn distance(&self, wanted: &Platform) -> Option<usize> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let own = self.variant.as_deref().unwrap_or_default();
        let asked = wanted.variant.as_deref().unwrap_or_default();
        // What a machine can run, the best first; no variant is the oldest of the 64-bit families.
        let order: &[&str] = match (self.architecture.as_str(), asked) {
            ("arm64", "" | "v8") => &["v8", ""],
            ("arm", "" | "v7") => &["v7", "v6", "v5", ""],
            ("arm", "v6") => &["v6", "v5", ""],
            ("amd64", "" | "v1") => &["", "v1"],
            ("amd64", "v2") => &["v2", "v1", ""],
            ("amd64", "v3") => &["v3", "v2", "v1", ""],
            ("amd64", "v4") => &["v4", "v3", "v2", "v1", ""],
            _ => return (own == asked).then_some(0),
        };
        order.iter().position(|variant| *variant == own)
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Platform> {
        let invalid = || {
            Error::invalid(format!("invalid platform {text:?}: must be OS/ARCHITECTURE[/VARIANT], like linux/arm64"))
        };
        let mut parts = text.split('/').map(str::to_owned);
        let (Some(os), Some(architecture), variant, None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        if os.is_empty() || architecture.is_empty() || variant.as_deref() == Some("") {
            return Err(invalid());
        }
        let architecture = match architecture.as_str() {
            "x86_64" => "amd64".into(),
            "aarch64" => "arm64".into(),
            _ => architecture,
        };
        Ok(Platform { architecture, os, variant, ..Platform::default() })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms() {
        for (text, shown) in
            [("linux/amd64", "linux/amd64"), ("linux/arm/v7", "linux/arm/v7"), ("linux/x86_64", "linux/amd64")]
        {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/", "linux/arm/v7/x"] {
            assert!(text.parse::<Platform>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_runs_where() {
        let distance = |image: &str, wanted: &str| {
            image.parse::<Platform>().unwrap().distance(&wanted.parse::<Platform>().unwrap())
        };
        assert_eq!(distance("linux/amd64", "linux/amd64"), Some(0));
        assert_eq!(distance("linux/arm64/v8", "linux/arm64"), Some(0));
        assert_eq!(distance("linux/arm64", "linux/arm64"), Some(1));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), Some(1));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(distance("linux/amd64/v3", "linux/amd64"), None);
        assert_eq!(distance("linux/amd64/v2", "linux/amd64/v3"), Some(1));
        assert_eq!(distance("windows/amd64", "linux/amd64"), None);
        assert_eq!(distance("linux/riscv64", "linux/riscv64"), Some(0));
    }
}
