//! A filesystem to mount: by fsopen(2), by mount(2) where that cannot say it, or again with other options.

use std::ffi::CString;
use std::fmt;

use crate::source::{Attributes, Propagation, Slot};
use crate::step::show;
use crate::target::Target;

/// A parameter of a filesystem; without a value it is a flag.
pub type Param = (CString, Option<CString>);

/// A new superblock and the mount of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FsMount {
    pub fstype: CString,
    /// In order.
    pub params: Vec<Param>,
    pub attributes: Attributes,
    pub propagation: Vec<Propagation>,
    pub target: Target,
    /// Take over the mode of the directory that is mounted upon, as no `mode=` was given (tmpfs).
    pub inherit_mode: bool,
    /// Copy what the directory held into the new filesystem (`tmpcopyup`).
    pub copy_up: bool,
    /// Keep the mount open in a slot: it is made read-only when everything in it is made.
    pub keep: Option<Slot>,
}

/// The same by mount(2): for values longer than the 255 bytes of fsconfig(2), such as the layers of an overlay, and
/// for the one flag of a superblock it has no name for (`MS_I_VERSION`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldMount {
    pub fstype: CString,
    pub source: CString,
    /// `MS_*`
    pub flags: u64,
    /// Joined by commas.
    pub data: CString,
    /// What applies to the mount afterwards.
    pub attributes: Attributes,
    pub propagation: Vec<Propagation>,
    pub target: Target,
}

/// A change to what is mounted (`remount`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remount {
    /// Of the superblock.
    pub params: Vec<Param>,
    /// Of the mount.
    pub attributes: Attributes,
    pub propagation: Vec<Propagation>,
    pub target: Target,
}

/// ` (a,b=c,nosuid,slave)`, or nothing.
fn options(
    f: &mut fmt::Formatter<'_>,
    params: &[Param],
    attributes: &Attributes,
    propagation: &[Propagation],
) -> fmt::Result {
    let told =
        |key: &CString| key.as_c_str() == c"source" || key.as_c_str() == c"ro" && attributes.names().any(|n| n == "ro");
    let params = params.iter().filter(|(key, _)| !told(key)).map(|(key, value)| match value {
        Some(value) => format!("{}={}", show(key), show(value)),
        None => show(key).into_owned(),
    });
    let names = attributes.names().map(str::to_owned).chain(propagation.iter().map(Propagation::to_string));
    let all: Vec<String> = params.chain(names).collect();
    if all.is_empty() { Ok(()) } else { write!(f, " ({})", all.join(",")) }
}

impl fmt::Display for FsMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mount {} on {}", show(&self.fstype), self.target)?;
        options(f, &self.params, &self.attributes, &self.propagation)?;
        if self.copy_up { f.write_str(" and copy up") } else { Ok(()) }
    }
}

impl fmt::Display for OldMount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mount {} on {} ({})", show(&self.fstype), self.target, show(&self.data))?;
        write!(f, " by mount(2) with flags {:#x}", self.flags)
    }
}

impl fmt::Display for Remount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "remount {}", self.target)?;
        options(f, &self.params, &self.attributes, &self.propagation)
    }
}
