//! A program that is in a container, or becomes one's, must not be the host's file: whoever reaches /proc/PID/exe there
//! could keep a handle on it and, once it is no longer busy, write to it (CVE-2019-5736). A container reaches the
//! process that enters it, the first one while it waits for `start`, and as `/proc/self/exe` any that an image names as
//! its program or interpreter. So everything that clones a process of a container runs from something that cannot be
//! written to:
//!
//! * with privilege, the file itself on a read-only mount of its own, which is attached nowhere and falls apart when its
//!   descriptor is closed by the execve: nobody can name it, copy it or change its flags any more (the kernel asks all
//!   of open_tree, mount and mount_setattr for a mount that is part of a namespace), and it stays read-only whatever
//!   becomes of the host's mounts. This costs an execve of a file that is in memory already;
//! * without, a copy in sealed memory.
//!
//! The first is tried before the C library starts (`coracle_sys::early`), for speed. This here is what counts.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::copy;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;

use coracle_sys::Errno;
use coracle_sys::exec::{CArray, fexecve};
use coracle_sys::mount::{MountAttr, OPEN_TREE_CLONE, attr, mount_setattr, open_tree};
use nix::fcntl::{AT_FDCWD, FcntlArg, OFlag, SealFlag, fcntl, open, readlink};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::geteuid;

use crate::error::{Context, Result};
use crate::timings;

/// Nothing may be written to the copy, ever.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE);

/// Linux 6.3: the file may be executed whatever vm.memfd_noexec says, short of 2.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

/// Makes sure that this process runs from what cannot be written to: if it does not, it starts again from there, with
/// the same arguments and environment. To be called before anything is changed.
///
/// # Errors
/// Neither a mount nor a copy can be made or executed.
pub fn ensure() -> Result<()> {
    if sealed().context(|| "look at own program")? {
        // The kernel takes the name of the process from that of the file, which is none.
        let _ = prctl::set_name(c"coracle");
        return Ok(());
    }
    let (args, env) = (CArray::new(args()), CArray::new(env()));
    let Err(refused) = from_mount(&args, &env);
    if refused == Errno::EPERM && out_of_reach().context(|| "look at own program")? {
        return Ok(());
    }
    let Err(error) = from_memory(&args, &env);
    Err(error.within("protect the host's program from the container"))
}

fn sealed() -> coracle_sys::Result<bool> {
    let link = readlink(OWN)?;
    if link == "/" {
        // A file that is the root of its mount, and the mount in no namespace: else it would have a path.
        let own = open(OWN, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        return Ok(fstatvfs(&own)?.flags().contains(FsFlags::ST_RDONLY));
    }
    if link.as_encoded_bytes().starts_with(b"/memfd:") {
        let own = open(OWN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        return Ok(SealFlag::from_bits_retain(fcntl(&own, FcntlArg::F_GET_SEALS)?).contains(SEALS));
    }
    Ok(false)
}

const OWN: &str = "/proc/self/exe";

/// Whether this user, and so everything in a container of theirs, is somebody else to the file and may not write to it.
fn out_of_reach() -> std::io::Result<bool> {
    let file = std::fs::metadata(OWN)?;
    let euid = geteuid().as_raw();
    Ok(euid != 0 && file.uid() != euid && file.mode() & 0o022 == 0)
}

fn from_mount(args: &CArray, env: &CArray) -> coracle_sys::Result<Infallible> {
    let tree = open_tree(AT_FDCWD, c"/proc/self/exe", OPEN_TREE_CLONE)?;
    let change = MountAttr { set: attr::RDONLY, clear: 0, propagation: libc::MS_PRIVATE };
    mount_setattr(tree.as_fd(), false, change, None)?;
    fexecve(tree.as_fd(), args, env)
}

fn from_memory(args: &CArray, env: &CArray) -> Result<Infallible> {
    let memory = copy_to_memory()?;
    fexecve(memory.as_fd(), args, env).context(|| "execute the copy")
}

fn copy_to_memory() -> Result<OwnedFd> {
    let mut own = File::open(OWN).context(|| "open own program")?;
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = match memfd_create("coracle", flags | MFD_EXEC) {
        Err(Errno::EINVAL) => memfd_create("coracle", flags),
        other => other,
    };
    let mut memory = File::from(memory.context(|| "create a memory file")?);
    copy(&mut own, &mut memory).context(|| "copy own program")?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS)).context(|| "seal the copy")?;
    Ok(memory.into())
}

fn args() -> Vec<CString> {
    c_strings(std::env::args_os())
}

fn env() -> Vec<CString> {
    let began = timings::began().map(|began| (timings::BEGAN.into(), began.to_string().into()));
    c_strings(std::env::vars_os().chain(began).map(|(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        name
    }))
}

/// What came in as C strings has no NUL byte inside.
fn c_strings(from: impl Iterator<Item = OsString>) -> Vec<CString> {
    from.filter_map(|text| CString::new(text.into_vec()).ok()).collect()
}
