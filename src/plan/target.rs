//! Where in the container something is mounted.

use std::ffi::CString;
use std::fmt;

use crate::step::show;

/// What a mount point has to be, and is made as when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountPoint {
    Directory,
    File,
}

/// Whether a mount may land on `/proc`, where a fake one would swallow what is written to it (CVE-2019-16884).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnProc {
    Never,
    /// If what is mounted is a procfs.
    IfProcfs,
    /// It is a procfs.
    Always,
}

/// A path below the container's root, resolved so that no symbolic link leads out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Relative to the root, without `.` and `..`.
    pub path: CString,
    pub kind: MountPoint,
    /// Refuse symbolic links on the way (proc and sysfs: CVE-2019-19921).
    pub no_symlinks: bool,
    /// The last component as it is, a symbolic link too. It must be there.
    pub itself: bool,
    pub on_proc: OnProc,
}

/// What may be mounted upon below `/proc`: files that programs such as lxcfs replace.
const BELOW_PROC: [&[u8]; 10] = [
    b"cpuinfo",
    b"diskstats",
    b"loadavg",
    b"meminfo",
    b"slabinfo",
    b"stat",
    b"swaps",
    b"sys/crypto/fips_enabled",
    b"sys/kernel/ns_last_pid",
    b"uptime",
];

/// What `path`, relative to the root and free of symbolic links, is to a mount upon it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Ordinary,
    /// `/proc` itself.
    Proc,
    /// Below `/proc`, and not among the files that may be replaced.
    Forbidden,
}

impl Place {
    /// Judges a path; allocates nothing, as links can show only in the child where it leads.
    pub fn of(path: &[u8]) -> Place {
        match path.strip_prefix(b"proc") {
            Some(b"") => Place::Proc,
            Some([b'/', below @ ..]) if !BELOW_PROC.contains(&below) => Place::Forbidden,
            _ => Place::Ordinary,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", show(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let cases = [
            ("proc", Place::Proc),
            ("proc/sys", Place::Forbidden),
            ("proc/self/attr", Place::Forbidden),
            ("proc/cpuinfo", Place::Ordinary),
            ("proc/sys/kernel/ns_last_pid", Place::Ordinary),
            ("process", Place::Ordinary),
            ("mnt/proc/sys", Place::Ordinary),
        ];
        for (path, place) in cases {
            assert_eq!(Place::of(path.as_bytes()), place, "{path}");
        }
    }
}
