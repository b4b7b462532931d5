//! What annotations ask of systemd.

use std::collections::HashMap;
use std::path::PathBuf;

use super::text;
use super::value::Value;
use crate::error::Invalid;
use crate::location::clean;

/// A unit's properties that the bundle gives itself: `org.systemd.property.TimeoutStopUSec` and the like.
const PROPERTY: &str = "org.systemd.property.";
/// The name of a cgroup inside the unit's for the container.
const SUBGROUP: &str = "run.oci.systemd.subgroup";
/// What crun does and this runtime does not; who asks for it relies on it.
const UNSUPPORTED: [&str; 2] = ["run.oci.delegate-cgroup", "run.oci.systemd.force_cgroup_v1"];

/// How a container's unit is to be, beside its limits.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// By name, in the order of the names.
    pub(crate) properties: Vec<(String, Value)>,
    /// Below the unit's cgroup; empty for that one itself.
    pub(crate) subgroup: PathBuf,
}

impl Options {
    /// Reads the container's `annotations`.
    ///
    /// # Errors
    /// Names that no property has, values that are not GVariant text, names of cgroups that lead elsewhere, and what is
    /// not supported.
    pub fn parse(annotations: &HashMap<String, String>) -> Result<Options, Invalid> {
        if let Some(key) = UNSUPPORTED.into_iter().find(|key| annotations.contains_key(*key)) {
            return Err(Invalid::annotation(key, "is not supported"));
        }
        let mut properties = Vec::new();
        for (key, value) in annotations {
            if let Some(name) = key.strip_prefix(PROPERTY) {
                let property = property(name, value);
                properties.push(property.map_err(|problem| Invalid::annotation(key, problem))?);
            }
        }
        properties.sort_by(|(a, _), (b, _)| a.cmp(b));
        let subgroup = annotations.get(SUBGROUP).map(String::as_str).unwrap_or_default();
        let path = clean(subgroup.as_ref());
        if path.as_os_str() != subgroup {
            return Err(Invalid::annotation(SUBGROUP, format!("{subgroup:?} is not the name of a cgroup")));
        }
        Ok(Options { properties, subgroup: path })
    }
}

fn property(name: &str, value: &str) -> Result<(String, Value), String> {
    if name.len() < 3 || !name.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Err(format!("{name:?} is not the name of a property"));
    }
    let value = text::parse(value)?;
    // Times go by microseconds on the bus, and by seconds in unit files.
    match name.strip_suffix("Sec") {
        Some(stem) if stem.ends_with(|c: char| c.is_ascii_lowercase()) => {
            Ok((format!("{stem}USec"), microseconds(&value).ok_or("is not a number of seconds")?))
        }
        _ => Ok((name.to_owned(), value)),
    }
}

fn microseconds(seconds: &Value) -> Option<Value> {
    const MICROSECONDS: u64 = 1_000_000;
    let whole = match seconds {
        Value::Byte(n) => Some(u64::from(*n)),
        Value::I16(n) => u64::try_from(*n).ok(),
        Value::U16(n) => Some(u64::from(*n)),
        Value::I32(n) => u64::try_from(*n).ok(),
        Value::U32(n) => Some(u64::from(*n)),
        Value::I64(n) => u64::try_from(*n).ok(),
        Value::U64(n) => Some(*n),
        Value::F64(n) if *n >= 0.0 => return Some(Value::U64((n * MICROSECONDS as f64).round() as u64)),
        _ => None,
    };
    whole?.checked_mul(MICROSECONDS).map(Value::U64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Result<Options, Invalid> {
        Options::parse(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn table() {
        let cases = [
            ("TimeoutStopUSec", "uint64 7", "TimeoutStopUSec", Value::U64(7)),
            ("TimeoutStopSec", "uint64 7", "TimeoutStopUSec", Value::U64(7_000_000)),
            ("TimeoutStopSec", "0.5", "TimeoutStopUSec", Value::U64(500_000)),
            ("TimeoutStopSec", "3", "TimeoutStopUSec", Value::U64(3_000_000)),
            ("CollectMode", "'inactive-or-failed'", "CollectMode", Value::str("inactive-or-failed")),
            ("After", "['a.service']", "After", Value::Array("s".into(), vec![Value::str("a.service")])),
            ("USEC", "1", "USEC", Value::I32(1)),
        ];
        for (name, text, want, value) in cases {
            let got = options(&[(&format!("{PROPERTY}{name}"), text), ("other", "x")]).unwrap();
            assert_eq!(got.properties, [(want.to_owned(), value)], "{name}={text}");
        }
    }

    #[test]
    fn refused() {
        for (name, text) in [
            ("Ab", "1"),
            ("A.b", "1"),
            ("After", "a.service"),
            ("TimeoutStopSec", "'7'"),
            ("TimeoutStopSec", "-7"),
            ("TimeoutStopSec", "uint64 18446744073709551615"),
        ] {
            let key = format!("{PROPERTY}{name}");
            assert_eq!(options(&[(&key, text)]).unwrap_err().pointer, format!("/annotations/{key}"), "{text}");
        }
        for name in ["/a", "..", "a/..", "a//b", "./a"] {
            assert!(options(&[(SUBGROUP, name)]).is_err(), "{name}");
        }
        for key in UNSUPPORTED {
            assert!(options(&[(key, "a")]).is_err(), "{key}");
        }
        assert_eq!(options(&[(SUBGROUP, "a/b")]).unwrap().subgroup, PathBuf::from("a/b"));
    }
}
