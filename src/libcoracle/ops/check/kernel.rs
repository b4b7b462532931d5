//! The kernel: whether it is new enough, and has what is built into it by choice.

use std::path::Path;

use nix::sys::utsname::uname;

use super::finding::Findings;

/// The oldest one whose system calls suffice (mount_setattr(2) of 5.12, and what 5.14 has mended of it).
const OLDEST: (u32, u32) = (5, 14);

/// An error if the kernel is too old for any container.
pub fn check(findings: &mut Findings) {
    let release = release();
    if version(&release).is_some_and(|version| version < OLDEST) {
        findings.error("kernel", format!("Linux {release}: coracle needs 5.14 or newer"));
    }
}

/// Such as `6.1.0-13-amd64`.
pub fn release() -> String {
    uname().map(|names| names.release().to_string_lossy().into_owned()).unwrap_or_default()
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What is known of a type of filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filesystem {
    There,
    /// There is a module of it, which the kernel may load when it is mounted.
    Module,
    Missing,
}

/// Looks for the filesystem `name` (proc_filesystems(5), modprobe(8)).
pub fn filesystem(name: &str) -> Filesystem {
    let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    // A subtype such as fuse.sshfs is the type before the dot to the kernel.
    let main = name.split('.').next().unwrap_or(name);
    if list.lines().filter_map(|line| line.split_whitespace().last()).any(|known| known == name || known == main) {
        return Filesystem::There;
    }
    let aliases = Path::new("/lib/modules").join(release()).join("modules.alias");
    let alias = format!("alias fs-{main} ");
    let module = std::fs::read_to_string(aliases).is_ok_and(|text| text.lines().any(|line| line.starts_with(&alias)));
    if module { Filesystem::Module } else { Filesystem::Missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (release, wanted) in [("6.1.0-13-amd64", (6, 1)), ("5.14.21+", (5, 14)), ("6.18-rc1", (6, 18))] {
            assert_eq!(version(release), Some(wanted), "{release}");
        }
        assert_eq!(version("mine"), None);
    }

    #[test]
    fn filesystems() {
        assert_eq!(filesystem("proc"), Filesystem::There);
        assert_eq!(filesystem("nosuchfs"), Filesystem::Missing);
    }
}
