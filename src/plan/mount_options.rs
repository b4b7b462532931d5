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
    /// Sets or clears one of the access-time flags, which together are one setting: `MS_NOATIME`, `MS_STRICTATIME`,
    /// `MS_RELATIME`.
    Time(u64, bool),
    /// Sets or clears a flag of the superblock, as mount(2) numbers it.
    Super(u64, bool),
    /// The same, for everything below as well; mounts of others keep theirs, whose superblocks are not the container's.
    SuperAll(u64, bool),
    Propagate(u64, bool),
    CopyUp,
    /// What becomes of a symbolic link at the source, or at the destination.
    Link(Link),
    /// Give the mount an id mapping; with true everything below as well.
    IdMap(bool),
}

/// A symbolic link that a mount meets, where it is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// That at the source is made anew in the container.
    Copy,
    /// That at the source is what is mounted.
    Source,
    /// That at the destination is what is mounted upon.
    Destination,
}

use Effect::{
    Bind, Clear, ClearAll, CopyUp, IdMap, None as Nothing, Propagate, Remount, Set, SetAll, Super, SuperAll, Time,
};

/// Every option that is not handed to the filesystem, sorted: those of config.md, Linux mount options, and those that
/// other runtimes have beyond them.
pub const TABLE: &[(&str, Effect)] = &[
    ("async", Super(libc::MS_SYNCHRONOUS, false)),
    ("atime", Time(libc::MS_NOATIME, false)),
    ("bind", Bind(false)),
    ("copy-symlink", Effect::Link(Link::Copy)),
    ("defaults", Nothing),
    ("dest-nofollow", Effect::Link(Link::Destination)),
    ("dev", Clear(attr::NODEV)),
    ("diratime", Clear(attr::NODIRATIME)),
    ("dirsync", Super(libc::MS_DIRSYNC, true)),
    ("exec", Clear(attr::NOEXEC)),
    ("idmap", IdMap(false)),
    ("iversion", Super(libc::MS_I_VERSION, true)),
    ("lazytime", Super(libc::MS_LAZYTIME, true)),
    ("loud", Super(libc::MS_SILENT, false)),
    ("mand", Super(libc::MS_MANDLOCK, true)),
    ("noatime", Time(libc::MS_NOATIME, true)),
    ("nodev", Set(attr::NODEV)),
    ("nodiratime", Set(attr::NODIRATIME)),
    ("noexec", Set(attr::NOEXEC)),
    ("noiversion", Super(libc::MS_I_VERSION, false)),
    ("nolazytime", Super(libc::MS_LAZYTIME, false)),
    ("nomand", Super(libc::MS_MANDLOCK, false)),
    ("norelatime", Time(libc::MS_RELATIME, false)),
    ("nostrictatime", Time(libc::MS_STRICTATIME, false)),
    ("nosuid", Set(attr::NOSUID)),
    ("nosymfollow", Set(attr::NOSYMFOLLOW)),
    ("private", Propagate(libc::MS_PRIVATE, false)),
    ("rasync", SuperAll(libc::MS_SYNCHRONOUS, false)),
    ("ratime", ClearAll(attr::NOATIME)),
    ("rbind", Bind(true)),
    ("rdev", ClearAll(attr::NODEV)),
    ("rdiratime", ClearAll(attr::NODIRATIME)),
    ("rdirsync", SuperAll(libc::MS_DIRSYNC, true)),
    ("relatime", Time(libc::MS_RELATIME, true)),
    ("remount", Remount),
    ("rexec", ClearAll(attr::NOEXEC)),
    ("ridmap", IdMap(true)),
    ("rmand", SuperAll(libc::MS_MANDLOCK, true)),
    ("rnoatime", SetAll(attr::NOATIME)),
    ("rnodev", SetAll(attr::NODEV)),
    ("rnodiratime", SetAll(attr::NODIRATIME)),
    ("rnoexec", SetAll(attr::NOEXEC)),
    ("rnomand", SuperAll(libc::MS_MANDLOCK, false)),
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
    ("rsync", SuperAll(libc::MS_SYNCHRONOUS, true)),
    ("runbindable", Propagate(libc::MS_UNBINDABLE, true)),
    ("rw", Clear(attr::RDONLY)),
    ("shared", Propagate(libc::MS_SHARED, false)),
    ("silent", Super(libc::MS_SILENT, true)),
    ("slave", Propagate(libc::MS_SLAVE, false)),
    ("src-nofollow", Effect::Link(Link::Source)),
    ("strictatime", Time(libc::MS_STRICTATIME, true)),
    ("suid", Clear(attr::NOSUID)),
    ("symfollow", Clear(attr::NOSYMFOLLOW)),
    ("sync", Super(libc::MS_SYNCHRONOUS, true)),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(libc::MS_UNBINDABLE, false)),
];

/// Those of the table that the specification does not have.
pub const OWN: [&str; 8] =
    ["copy-symlink", "dest-nofollow", "rasync", "rdirsync", "rmand", "rnomand", "rsync", "src-nofollow"];

/// The options of one mount, sorted out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Bind; with true everything below as well.
    pub bind: Option<bool>,
    pub remount: bool,
    /// What was named, without the access time.
    attributes: Attributes,
    /// The access-time flags that are on, and whether any was named.
    time: u64,
    time_named: bool,
    /// Flags of the superblock that are on (`MS_*`), and those that were named.
    pub super_set: u64,
    pub super_named: u64,
    /// Whether any attribute or flag of the mount itself was named.
    any_flag: bool,
    pub propagation: Vec<Propagation>,
    pub copy_up: bool,
    /// Id mapping; with true of everything below as well.
    pub idmap: Option<bool>,
    /// That mapping written out, where it is neither the mount's own nor the container's.
    pub idmap_text: Option<String>,
    pub copy_link: bool,
    pub source_link: bool,
    pub destination_link: bool,
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
                Err(_) if option.starts_with("idmap=") || option.starts_with("ridmap=") => parsed.map_ids(option),
                Err(_) => parsed.data.extend(option.split(',').map(str::to_owned)),
            }
        }
        parsed
    }

    fn map_ids(&mut self, option: &str) {
        let (name, text) = option.split_once('=').unwrap_or_default();
        self.idmap = Some(name == "ridmap");
        self.idmap_text = Some(text.to_owned());
    }

    fn apply(&mut self, effect: Effect) {
        self.any_flag |= matches!(effect, Set(_) | Clear(_) | Time(..) | Super(..));
        let a = &mut self.attributes;
        match effect {
            Nothing => {}
            Bind(recursive) => self.bind = Some(recursive),
            Remount => self.remount = true,
            Set(bit) => assign(bit, &mut a.set, &mut a.clear, true),
            Clear(bit) => assign(bit, &mut a.set, &mut a.clear, false),
            SetAll(bit) => assign(bit, &mut a.recursive_set, &mut a.recursive_clear, true),
            ClearAll(bit) => assign(bit, &mut a.recursive_set, &mut a.recursive_clear, false),
            Time(flag, on) => {
                self.time = if on { self.time | flag } else { self.time & !flag };
                self.time_named = true;
            }
            Super(flag, on) | SuperAll(flag, on) => {
                self.super_set = if on { self.super_set | flag } else { self.super_set & !flag };
                self.super_named |= flag;
            }
            Propagate(flag, recursive) => self.propagation.push(Propagation { flag, recursive }),
            CopyUp => self.copy_up = true,
            Effect::Link(Link::Copy) => self.copy_link = true,
            Effect::Link(Link::Source) => self.source_link = true,
            Effect::Link(Link::Destination) => self.destination_link = true,
            IdMap(recursive) => self.idmap = Some(recursive),
        }
    }

    /// Whether the mount is to be read-only.
    pub fn read_only(&self) -> bool {
        self.attributes.set & attr::RDONLY != 0
    }

    /// The access time as mount(2) makes one setting of its flags: strict wins over none, and both over relative.
    fn access_time(&self) -> u64 {
        match self.time {
            time if time & libc::MS_STRICTATIME != 0 => attr::STRICTATIME,
            time if time & libc::MS_NOATIME != 0 => attr::NOATIME,
            _ => attr::RELATIME,
        }
    }

    /// The attributes of a new mount: what is not named is off.
    pub fn of_new(&self) -> Attributes {
        let set = self.attributes.set | self.access_time();
        Attributes { set, clear: 0, ..self.attributes }
    }

    /// The attributes of a bind mount. Without any flag it keeps those of its source. With one, mount(2) sets exactly
    /// the flags it is given: what the source has beyond them goes, but for the access time, which goes only when
    /// some access-time flag is named.
    pub fn of_bind(&self) -> Attributes {
        if !self.any_flag {
            return self.attributes;
        }
        let mut attributes = self.of_remount();
        attributes.implied = PLAIN & !attributes.set & !attributes.clear;
        if self.time_named && self.attributes.set & attr::NODIRATIME == 0 {
            attributes.implied |= attr::NODIRATIME;
        }
        attributes
    }

    /// The attributes of a copy that is to look like a new mount: nothing of its source stays.
    pub fn of_copy(&self) -> Attributes {
        let new = self.of_new();
        Attributes { clear: attr::ATIME, implied: (PLAIN | attr::NODIRATIME) & !new.set, ..new }
    }

    /// The change to a mount that is there: only what is named.
    pub fn of_remount(&self) -> Attributes {
        let mut attributes = self.attributes;
        // mount_setattr(2) takes a new access time only together with clearing the old one.
        if self.time_named || attributes.set & attr::NODIRATIME != 0 && self.bind.is_some() {
            attributes.set |= self.access_time();
            attributes.clear |= attr::ATIME;
        }
        attributes
    }

    /// The flags mount(2) takes for a new superblock and its mount.
    pub fn old_flags(&self) -> u64 {
        const PAIRS: [(u64, u64); 6] = [
            (attr::RDONLY, libc::MS_RDONLY),
            (attr::NOSUID, libc::MS_NOSUID),
            (attr::NODEV, libc::MS_NODEV),
            (attr::NOEXEC, libc::MS_NOEXEC),
            (attr::NODIRATIME, libc::MS_NODIRATIME),
            (attr::NOSYMFOLLOW, MS_NOSYMFOLLOW),
        ];
        let set = self.attributes.set;
        let plain = PAIRS.iter().filter(|(bit, _)| set & bit != 0).fold(0, |flags, (_, flag)| flags | flag);
        plain | self.time | self.super_set
    }
}

/// mount(2); not in `libc` for every platform.
const MS_NOSYMFOLLOW: u64 = 256;

/// The attributes a remount takes away unless it is given them.
const PLAIN: u64 = attr::RDONLY | attr::NOSUID | attr::NODEV | attr::NOEXEC | attr::NOSYMFOLLOW;

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

    fn of(text: &str) -> MountOptions {
        MountOptions::parse(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn later_options_win() {
        assert_eq!(of("ro,rw").of_new().set, 0);
        assert!(of("rw,ro").read_only());
        assert_eq!(of("size=1m,ro").data, ["size=1m"]);
        assert_eq!(of("sync,dirsync,async").super_set, libc::MS_DIRSYNC);
        let all = of("rnoatime,rrelatime,rro,rrw").of_bind();
        assert_eq!((all.recursive_set, all.recursive_clear), (0, attr::ATIME | attr::RDONLY));
    }

    #[test]
    fn access_time_is_one_setting() {
        // options, set, cleared by name, cleared by implication
        let cases = [
            ("bind", 0, 0, 0),
            ("bind,ro", attr::RDONLY, 0, PLAIN & !attr::RDONLY),
            ("bind,rw", 0, attr::RDONLY, PLAIN & !attr::RDONLY),
            ("bind,noatime", attr::NOATIME, attr::ATIME, PLAIN | attr::NODIRATIME),
            ("bind,noatime,relatime", attr::NOATIME, attr::ATIME, PLAIN | attr::NODIRATIME),
            ("bind,noatime,strictatime", attr::STRICTATIME, attr::ATIME, PLAIN | attr::NODIRATIME),
            ("bind,noatime,atime", 0, attr::ATIME, PLAIN | attr::NODIRATIME),
            ("bind,nodiratime", attr::NODIRATIME, attr::ATIME, PLAIN),
        ];
        for (text, set, clear, implied) in cases {
            let got = of(text).of_bind();
            assert_eq!((got.set, got.clear, got.implied), (set, clear, implied), "{text}");
        }
        assert_eq!(of("strictatime,nodiratime").of_new().set, attr::STRICTATIME | attr::NODIRATIME);
        assert_eq!(of("remount,ro").of_remount(), Attributes { set: attr::RDONLY, ..Attributes::default() });
    }

    #[test]
    fn options_of_other_runtimes() {
        let options = of("bind,copy-symlink,dest-nofollow,rsync,rmand,rnomand");
        assert_eq!((options.copy_link, options.source_link, options.destination_link), (true, false, true));
        assert_eq!(options.super_set, libc::MS_SYNCHRONOUS);
        assert_eq!(options.of_bind(), Attributes::default(), "what is below has superblocks of its own");
        let mapped = of("bind,ridmap=uids=0-1-2;gids=3-4-5");
        assert_eq!(mapped.idmap, Some(true));
        assert_eq!(mapped.idmap_text.as_deref(), Some("uids=0-1-2;gids=3-4-5"));
        assert!(mapped.data.is_empty());
    }

    #[test]
    fn flags_of_the_old_call() {
        let flags = of("ro,nosymfollow,noatime,sync,silent,loud").old_flags();
        assert_eq!(flags, libc::MS_RDONLY | MS_NOSYMFOLLOW | libc::MS_NOATIME | libc::MS_SYNCHRONOUS);
    }
}
