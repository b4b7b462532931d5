//! What is to be known of the machine and of its service manager.

use std::path::{Path, PathBuf};

use crate::device::Kind;
use crate::location::clean;

/// Whether the caller's units are those of a service manager of its own. Root of a user namespace is a user too, unless
/// the namespace has a system of its own.
pub(super) fn is_for_user() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = nix::unistd::geteuid().is_root();
    let owned = || std::fs::symlink_metadata("/run/systemd/private").is_ok_and(|socket| socket.uid() == 0);
    !root || crate::layout::lacks_privilege() && !owned()
}

/// The cgroup of the system's service manager: that of process 1, or the one above it. Not the root where the whole
/// system is in a container without a cgroup namespace.
pub(super) fn top_of_system() -> PathBuf {
    let text = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let own = paths.into_iter().find_map(|path| path.strip_suffix("/init.scope")).unwrap_or_default();
    clean(Path::new(own))
}

/// The first number in a version such as `v257.9-1`.
pub(super) fn number_in(version: &str) -> u32 {
    let digits = version.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// The name of a driver in the content of /proc/devices.
pub(super) fn driver(devices: &str, kind: Kind, major: u32) -> Option<String> {
    let title = if kind == Kind::Block { "Block devices:" } else { "Character devices:" };
    let lines = devices.lines().skip_while(|line| *line != title).skip(1).take_while(|line| !line.is_empty());
    let mut pairs = lines.filter_map(|line| line.trim().split_once(' '));
    pairs.find(|(number, _)| number.parse() == Ok(major)).map(|(_, name)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, want) in [("257.9-1~deb13u1", 257), ("v245.4-1.fc32", 245), ("252", 252), ("", 0)] {
            assert_eq!(number_in(text), want, "{text}");
        }
    }

    #[test]
    fn drivers_by_number() {
        let text = "Character devices:\n  4 tty\n136 pts\n\nBlock devices:\n  4 other\n  8 sd\n";
        assert_eq!(driver(text, Kind::Char, 136).as_deref(), Some("pts"));
        assert_eq!(driver(text, Kind::Block, 4).as_deref(), Some("other"));
        assert_eq!(driver(text, Kind::Block, 136), None);
        assert_eq!(driver("", Kind::Char, 4), None);
    }
}
