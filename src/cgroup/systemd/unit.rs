//! Names of units: what `linux.cgroupsPath` says, and where systemd puts a unit's cgroup.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The unit a container's cgroup belongs to, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// `coracle-web1.scope`.
    pub name: String,
    /// Whether it is one of the caller's own service manager, and not of the system's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub user: bool,
    /// Where its cgroup is in each hierarchy.
    pub cgroup: PathBuf,
}

/// A unit that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub name: String,
    pub slice: String,
    /// What the container is called in descriptions.
    pub container: String,
}

/// The longest name a unit may have, in bytes (systemd.unit(5)).
const MAX_NAME: usize = 255;

impl Wanted {
    /// Reads `slice:prefix:name`; without it the unit is called after the container's `id`. An empty slice is the
    /// default one, `system.slice` or for users `user.slice`.
    ///
    /// # Errors
    /// A text of another form, and names that no unit can have.
    pub fn parse(cgroups_path: Option<&Path>, id: &str, user: bool) -> Result<Wanted, String> {
        let default = if user { "user.slice" } else { "system.slice" };
        let path = cgroups_path.map(|path| path.to_string_lossy()).filter(|path| !path.is_empty());
        let Some(path) = path else {
            let name = format!("coracle-{}.scope", escaped(id));
            return Ok(Wanted { name, slice: default.into(), container: id.into() });
        };
        let parts: Vec<&str> = path.split(':').collect();
        let [slice, prefix, name] = parts.as_slice() else {
            return Err(format!(
                "cgroupsPath {path:?} is not of the form slice:prefix:name, which systemd cgroups need"
            ));
        };
        if name.is_empty() || name.ends_with(".slice") {
            return Err(format!("cgroupsPath {path:?} names no scope, and a container's processes need one"));
        }
        let dash = if prefix.is_empty() { "" } else { "-" };
        let unit = format!("{prefix}{dash}{name}.scope");
        let slice = if slice.is_empty() { default } else { slice };
        expand(slice)?;
        check(&unit)?;
        Ok(Wanted { name: unit, slice: slice.to_owned(), container: (*name).to_owned() })
    }

    /// Where its cgroup will be, below the cgroup of the service manager.
    ///
    /// # Errors
    /// A slice that cannot be.
    pub fn cgroup(&self) -> Result<PathBuf, String> {
        Ok(expand(&self.slice)?.join(&self.name))
    }
}

/// Where the cgroup of a slice is: `a-b.slice` is in `a.slice` (systemd.slice(5)).
fn expand(slice: &str) -> Result<PathBuf, String> {
    check(slice)?;
    let name = slice.strip_suffix(".slice").ok_or_else(|| format!("{slice:?} is not the name of a slice"))?;
    if name == "-" {
        return Ok(PathBuf::new());
    }
    if name.split('-').any(str::is_empty) {
        return Err(format!("{slice:?} is not the name of a slice"));
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    Ok(ends.map(|end| format!("{}.slice", &name[..end])).collect())
}

fn check(unit: &str) -> Result<(), String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    match unit.chars().find(|c| !valid(*c)) {
        Some(c) => Err(format!("{unit:?} is not the name of a unit: {c:?} is in it")),
        None if unit.len() > MAX_NAME => Err(format!("the name of unit {unit} has more than {MAX_NAME} bytes")),
        None => Ok(()),
    }
}

/// An id as part of a unit's name: the one character that is not allowed there is spelt as systemd-escape(1) does.
fn escaped(id: &str) -> String {
    id.replace('+', "\\x2b")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        // cgroupsPath, for a user → unit, its cgroup
        let cases = [
            (None, false, "coracle-we\\x2bb.scope", "system.slice/coracle-we\\x2bb.scope"),
            (Some(""), true, "coracle-we\\x2bb.scope", "user.slice/coracle-we\\x2bb.scope"),
            (Some("::c"), false, "c.scope", "system.slice/c.scope"),
            (Some("system.slice:docker:c"), false, "docker-c.scope", "system.slice/docker-c.scope"),
            (Some("a-b-c.slice:p:c"), false, "p-c.scope", "a.slice/a-b.slice/a-b-c.slice/p-c.scope"),
            (Some("-.slice:p:c"), false, "p-c.scope", "p-c.scope"),
            (Some("user.slice:libpod:c"), true, "libpod-c.scope", "user.slice/libpod-c.scope"),
        ];
        for (path, user, name, cgroup) in cases {
            let wanted = Wanted::parse(path.map(Path::new), "we+b", user).unwrap();
            assert_eq!((wanted.name.as_str(), wanted.cgroup().unwrap()), (name, cgroup.into()), "{path:?}");
        }
    }

    #[test]
    fn refused() {
        let long = format!("a.slice:p:{}", "c".repeat(300));
        for path in [
            "/a/b",
            "a",
            "a:b",
            "a.slice:b",
            "a.slice:b:c:d",
            "a:b:c",
            ".slice:b:c",
            "a--b.slice:b:c",
            "-a.slice:b:c",
            "a-.slice:b:c",
            "a/b.slice:b:c",
            "../a.slice:b:c",
            "a.slice:b:",
            "a.slice:b:../c",
            "a.slice:b:c.slice",
            "a.slice:b:c d",
            &long,
        ] {
            assert!(Wanted::parse(Some(Path::new(path)), "id", false).is_err(), "{path}");
        }
    }
}
