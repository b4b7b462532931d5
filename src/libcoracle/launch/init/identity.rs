//! Namespaces and what names the container.

use std::ffi::CStr;

use coracle_plan::namespaces::Kind;
use coracle_plan::source::Slot;
use coracle_sys::{creds, keyring as keys};
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns, unshare as unshare_flags};
use nix::sys::stat::Mode;
use nix::unistd::{sethostname, setsid as new_session};

use super::{Init, Result};

impl Init<'_> {
    pub fn join(&self, slot: Slot, kind: Kind) -> Result<()> {
        // Before the first namespace that others live in: they must not see into this process (CVE-2016-9962).
        creds::set_dumpable(false)?;
        Ok(setns(self.slot(slot)?, CloneFlags::from_bits_retain(kind.flag()))?)
    }
}

impl Init<'_> {
    pub fn join_all(&mut self, slot: Slot, flags: i32) -> Result<()> {
        creds::set_dumpable(false)?;
        if flags != 0 {
            setns(self.slot(slot)?, CloneFlags::from_bits_retain(flags))?;
        }
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        self.root = Some(open(c"/", how, Mode::empty())?);
        Ok(())
    }
}

pub fn unshare(kind: Kind) -> Result<()> {
    Ok(unshare_flags(CloneFlags::from_bits_retain(kind.flag()))?)
}

pub fn become_root() -> Result<()> {
    creds::set_gid(0)?;
    creds::set_uid(0)?;
    // The maps are written: from here on processes of the namespace must not see into this one (CVE-2016-9962).
    Ok(creds::set_dumpable(false)?)
}

pub fn hostname(name: &CStr) -> Result<()> {
    Ok(sethostname(std::ffi::OsStr::new(name.to_str().unwrap_or_default()))?)
}

pub fn domainname(name: &CStr) -> Result<()> {
    Ok(coracle_sys::set_domainname(name)?)
}

pub fn setsid() -> Result<()> {
    new_session()?;
    Ok(())
}

/// A session keyring of the container's own; without the kernel's support there is none to keep apart.
pub fn keyring(name: &CStr, search: u32) -> Result<()> {
    let id = match keys::join_session(name) {
        Err(coracle_sys::Errno::ENOSYS) => return Ok(()),
        other => other?,
    };
    let mut buf = [0; 512];
    let len = keys::describe(id, &mut buf)?;
    // type;uid;gid;permissions;name
    let permissions = buf[..len].split(|byte| *byte == b';').nth(3).and_then(|field| str::from_utf8(field).ok());
    let permissions = permissions.and_then(|field| u32::from_str_radix(field, 16).ok());
    let permissions = permissions.ok_or(coracle_sys::Errno::EBADMSG)?;
    match permissions | search {
        same if same == permissions => Ok(()),
        more => Ok(keys::set_permissions(id, more)?),
    }
}
