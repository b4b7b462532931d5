//! The options of a mount: attribute of the mount, flag of the superblock, propagation, or our own.

use coracle_sys::mount::attr;

use crate::source::{Attributes, Propagation};

/// What an option of config.json `mounts[].options` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// Bind; with true everything below as well.
    Bind(bool),
    Remount,
    /// Sets or clears an attribute of the mount.
    Set(u64),
    Clear(u64),
    /// The same for everything below as well.
    SetAll(u64),
    ClearAll(u64),
    /// Sets or clears a flag of the superblock, by the name fsconfig(2) knows.
    Fs(&'static str),
    Propagate(u64, bool),
    CopyUp,
    /// Give the mount an id mapping; with true everything below as well.
    IdMap(bool),
}

use Effect::{Bind, Clear, ClearAll, CopyUp, Fs, IdMap, None as Nothing, Propagate, Remount, Set, SetAll};

/// Every option that is not handed to the filesystem (config.md, Linux mount options), sorted.
pub const TABLE: &[(&str, Effect)] = &[
    ("async", Fs("async")),
    ("atime", Clear(attr::NOATIME)),
    ("bind", Bind(false)),
    ("defaults", Nothing),
    ("dev", Clear(attr::NODEV)),
    ("diratime", Clear(attr::NODIRATIME)),
    ("dirsync", Fs("dirsync")),
    ("exec", Clear(attr::NOEXEC)),
    ("idmap", IdMap(false)),
    ("iversion", Fs("iversion")),
    ("lazytime", Fs("lazytime")),
    ("loud", Nothing),
    ("mand", Fs("mand")),
    ("noatime", Set(attr::NOATIME)),
    ("nodev", Set(attr::NODEV)),
    ("nodiratime", Set(attr::NODIRATIME)),
    ("noexec", Set(attr::NOEXEC)),
    ("noiversion", Fs("noiversion")),
    ("nolazytime", Fs("nolazytime")),
    ("nomand", Fs("nomand")),
    ("norelatime", Clear(attr::RELATIME)),
    ("nostrictatime", Clear(attr::STRICTATIME)),
    ("nosuid", Set(attr::NOSUID)),
    ("nosymfollow", Set(attr::NOSYMFOLLOW)),
    ("private", Propagate(libc::MS_PRIVATE, false)),
    ("ratime", ClearAll(attr::NOATIME)),
    ("rbind", Bind(true)),
    ("rdev", ClearAll(attr::NODEV)),
    ("rdiratime", ClearAll(attr::NODIRATIME)),
    ("relatime", Set(attr::RELATIME)),
    ("remount", Remount),
    ("rexec", ClearAll(attr::NOEXEC)),
    ("ridmap", IdMap(true)),
    ("rnoatime", SetAll(attr::NOATIME)),
    ("rnodev", SetAll(attr::NODEV)),
    ("rnodiratime", SetAll(attr::NODIRATIME)),
    ("rnoexec", SetAll(attr::NOEXEC)),
    ("rnorelatime", ClearAll(attr::RELATIME)),
    ("rnostrictatime", ClearAll(attr::STRICTATIME)),
    ("rnosuid", SetAll(attr::NOSUID)),
    ("rnosymfollow", SetAll(attr::NOSYMFOLLOW)),
    ("ro", Set(attr::RDONLY)),
    ("rprivate", Propagate(libc::MS_PRIVATE, true)),
    ("rrelatime", SetAll(attr::RELATIME)),
    ("rro", SetAll(attr::RDONLY)),
    ("rrw", ClearAll(attr::RDONLY)),
    ("rshared", Propagate(libc::MS_SHARED, true)),
    ("rslave", Propagate(libc::MS_SLAVE, true)),
    ("rstrictatime", SetAll(attr::STRICTATIME)),
    ("rsuid", ClearAll(attr::NOSUID)),
    ("rsymfollow", ClearAll(attr::NOSYMFOLLOW)),
    ("runbindable", Propagate(libc::MS_UNBINDABLE, true)),
    ("rw", Clear(attr::RDONLY)),
    ("shared", Propagate(libc::MS_SHARED, false)),
    ("silent", Fs("silent")),
    ("slave", Propagate(libc::MS_SLAVE, false)),
    ("strictatime", Set(attr::STRICTATIME)),
    ("suid", Clear(attr::NOSUID)),
    ("symfollow", Clear(attr::NOSYMFOLLOW)),
    ("sync", Fs("sync")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(libc::MS_UNBINDABLE, false)),
];

/// The options of one mount, sorted out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Bind; with true everything below as well.
    pub bind: Option<bool>,
    pub remount: bool,
    pub attributes: Attributes,
    /// Whether any attribute or flag was named at all.
    pub any_flag: bool,
    pub fs_flags: Vec<&'static str>,
    pub propagation: Vec<Propagation>,
    pub copy_up: bool,
    pub idmap: Option<bool>,
    /// What the table does not know: parameters of the filesystem, in order.
    pub data: Vec<String>,
}

impl MountOptions {
    /// Sorts `options` out; later ones win.
    pub fn parse(options: &[String]) -> MountOptions {
        let mut parsed = MountOptions::default();
        for option in options {
            match TABLE.binary_search_by(|(name, _)| (*name).cmp(option.as_str())) {
                Ok(i) => parsed.apply(TABLE[i].1),
                Err(_) if option.is_empty() => {}
                Err(_) => parsed.data.extend(option.split(',').map(str::to_owned)),
            }
        }
        parsed
    }

    fn apply(&mut self, effect: Effect) {
        self.any_flag |= matches!(effect, Set(_) | Clear(_) | Fs(_));
        let a = &mut self.attributes;
        match effect {
            Nothing => {}
            Bind(recursive) => self.bind = Some(recursive),
            Remount => self.remount = true,
            Set(bit) => assign(bit, &mut a.set, &mut a.clear, true),
            Clear(bit) => assign(bit, &mut a.set, &mut a.clear, false),
            SetAll(bit) => assign(bit, &mut a.recursive_set, &mut a.recursive_clear, true),
            ClearAll(bit) => assign(bit, &mut a.recursive_set, &mut a.recursive_clear, false),
            Fs(name) => self.fs_flags.push(name),
            Propagate(flag, recursive) => self.propagation.push(Propagation { flag, recursive }),
            CopyUp => self.copy_up = true,
            IdMap(recursive) => self.idmap = Some(recursive),
        }
    }
}

/// Sets or clears `bit`. The access time is one setting of several values: a new value replaces the old one, which
/// mount_setattr(2) takes only together with clearing all of it; clearing a value means going back to relatime.
fn assign(bit: u64, set: &mut u64, clear: &mut u64, on: bool) {
    if bit & attr::ATIME != 0 || bit == attr::RELATIME {
        *set = (*set & !attr::ATIME) | if on { bit } else { 0 };
        *clear |= attr::ATIME;
    } else if on {
        *set |= bit;
        *clear &= !bit;
    } else {
        *set &= !bit;
        *clear |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn later_options_win() {
        let of = |text: &str| MountOptions::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("ro,rw").attributes, Attributes { clear: attr::RDONLY, ..Attributes::default() });
        assert_eq!(of("noatime,relatime").attributes.set & attr::ATIME, 0);
        assert_eq!(of("size=1m,ro").data, ["size=1m"]);
    }
}
