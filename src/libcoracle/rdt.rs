//! Cache and memory bandwidth classes: directories of the resctrl filesystem.

pub mod stats;

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use coracle_plan::rdt::{Class, Rdt};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Kind, Result};

const AT: &str = "config.json /linux/intelRdt";

/// Where a container is, and which directories were made for it and go with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    joined: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitoring: Option<PathBuf>,
}

/// Groups that are not yet recorded: dropped, they are removed.
#[derive(Debug, Default)]
pub struct Created {
    groups: Groups,
    kept: bool,
}

impl Created {
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// From here on the record of the container knows them.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = self.groups.remove()
        {
            tracing::warn!("{error}");
        }
    }
}

impl Groups {
    /// Puts a further process of the container where the first one is.
    pub fn add(&self, pid: Pid) -> Result<()> {
        [Some(&self.joined), self.monitoring.as_ref()].into_iter().flatten().try_for_each(|group| join(group, pid))
    }

    /// Writes `lines`, such as `L3:0=f`, to the schemata of the class the container is in; the lines they replace.
    ///
    /// # Errors
    /// What the kernel refuses; the lines before it are then put back.
    pub fn change(&self, lines: &[&str]) -> Result<Vec<String>> {
        let path = self.joined.join("schemata");
        let text = std::fs::read_to_string(&path).context(|| format!("read {}", path.display()))?;
        let name = |line: &str| line.split(':').next().unwrap_or_default().trim().to_owned();
        let replaced = text.lines().filter(|old| lines.iter().any(|line| name(line) == name(old)));
        let replaced: Vec<String> = replaced.map(|line| line.trim().to_owned()).collect();
        let write = |line: &str| -> Result<()> {
            let put = || File::options().write(true).open(&path)?.write_all(format!("{line}\n").as_bytes());
            put().context(|| format!("write {line} to {}", path.display()))
        };
        match lines.iter().try_for_each(|line| write(line)) {
            Ok(()) => Ok(replaced),
            Err(error) => {
                // The first error says what is wrong.
                replaced.iter().for_each(|line| drop(write(line)));
                Err(error)
            }
        }
    }

    /// Removes what was made; what is gone already is no error.
    pub fn remove(&self) -> Result<()> {
        // The monitoring group first: it is below its class.
        for path in [&self.monitoring, &self.class].into_iter().flatten() {
            match std::fs::remove_dir(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).context(|| format!("remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Where resctrl is mounted.
///
/// # Errors
/// [`Kind::Unsupported`] if it is not.
pub fn root() -> Result<PathBuf> {
    let text = std::fs::read_to_string("/proc/self/mountinfo").context(|| "read /proc/self/mountinfo")?;
    let missing = || Error::new(Kind::Unsupported, format!("{AT}: no resctrl filesystem is mounted"));
    mount_point(&text).ok_or_else(missing)
}

/// The mount point of the first resctrl in a mountinfo (proc_pid_mountinfo(5)).
fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let resctrl = after.split(' ').next() == Some("resctrl");
        resctrl.then(|| before.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

/// Puts process `pid` into the class below `root` that `rdt` asks for, which is made if it may be.
///
/// # Errors
/// A class that is missing and has no schema, or is there with another one; a group that cannot be made.
pub fn apply(root: &Path, id: &str, pid: Pid, rdt: &Rdt) -> Result<Created> {
    let mut created = Created::default();
    let class = match &rdt.class {
        Class::Own => root.join(id),
        Class::Root => root.to_path_buf(),
        Class::Named(name) => root.join(name),
    };
    match (&rdt.class, make(&class)) {
        (Class::Own, Ok(true)) => created.groups.class = Some(class.clone()),
        (Class::Own, Ok(false)) => {
            let text = format!("{AT}: a class named as the container is there already: {}", class.display());
            return Err(Error::new(Kind::AlreadyExists, text));
        }
        (Class::Root, _) | (Class::Named(_), Ok(false)) => compare(&class, &rdt.schemata)?,
        (Class::Named(_), Ok(true)) if rdt.schemata.is_empty() => {
            // It was not asked to be made: closID alone names a class that must be there.
            std::fs::remove_dir(&class).context(|| format!("remove {}", class.display()))?;
            let text = format!("{AT}/closID: there is no class {}, and no schema to make one", class.display());
            return Err(Error::new(Kind::InvalidConfig, text));
        }
        (Class::Named(_), Ok(true)) => {}
        (_, Err(error)) => return Err(error),
    }
    let schemata = class.join("schemata");
    if created.groups.class.is_some() || matches!(rdt.class, Class::Named(_)) {
        rdt.schemata.iter().try_for_each(|text| put(&schemata, text))?;
    }
    join(&class, pid)?;
    created.groups.joined.clone_from(&class);
    if rdt.monitoring {
        let group = class.join("mon_groups").join(id);
        if !make(&group)? {
            let text = format!("{AT}/enableMonitoring: {} is there already", group.display());
            return Err(Error::new(Kind::AlreadyExists, text));
        }
        created.groups.monitoring = Some(group.clone());
        join(&group, pid)?;
    }
    Ok(created)
}

fn join(group: &Path, pid: Pid) -> Result<()> {
    put(&group.join("tasks"), &pid.to_string())
}

/// Makes the directory of a group; false if it is there.
fn make(path: &Path) -> Result<bool> {
    match DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).context(|| format!("{AT}: create {}", path.display())),
    }
}

/// In one write: the kernel reads these files so.
fn put(path: &Path, text: &str) -> Result<()> {
    let put = || File::options().write(true).create(true).truncate(true).open(path)?.write_all(text.as_bytes());
    put().context(|| format!("{AT}: write {} to {}", text.trim_end().replace('\n', ", "), path.display()))
}

/// A class that others use too is not changed: it has what is asked for, or the container is refused.
fn compare(class: &Path, wanted: &[String]) -> Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let path = class.join("schemata");
    let has = std::fs::read_to_string(&path).context(|| format!("{AT}: read {}", path.display()))?;
    // Of what is said twice the later holds.
    let mut wanted_parts: Vec<(String, String)> = Vec::new();
    for (name, value) in wanted.iter().flat_map(|text| parts(text)) {
        wanted_parts.retain(|(other, _)| *other != name);
        wanted_parts.push((name, value));
    }
    let has = parts(&has);
    match wanted_parts.iter().find(|part| !has.contains(part)) {
        None => Ok(()),
        Some((name, value)) => {
            let text = format!("{AT}: {} has another schema than {name}={value}", class.display());
            Err(Error::new(Kind::InvalidConfig, text))
        }
    }
}

/// `L3:0=0ff;1=f` as `L3:0` and `ff`, `L3:1` and `f`.
fn parts(schemata: &str) -> Vec<(String, String)> {
    let mut list = Vec::new();
    for (resource, domains) in schemata.lines().filter_map(|line| line.trim().split_once(':')) {
        for (domain, value) in domains.split(';').filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_start_matches('0').to_ascii_lowercase();
            list.push((format!("{}:{}", resource.trim(), domain.trim()), value));
        }
    }
    list
}

#[cfg(test)]
mod tests;
