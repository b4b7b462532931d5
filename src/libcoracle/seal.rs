//! A program that enters a container must not be the host's file: a process in there that reaches /proc/PID/exe could
//! open it and, once it is no longer busy, write to it (CVE-2019-5736).
//!
//! Only what others in the container can see needs this: `exec`, and a container whose pid namespace is not its own.
//! Everything else is the first process of a pid namespace in which there is nobody yet.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::copy;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use coracle_sys::Errno;
use coracle_sys::exec::{CArray, fexecve};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::{Context, Error, Result};

/// Nothing may be written to the copy, ever.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SEAL.union(SealFlag::F_SEAL_SHRINK).union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE);

/// Linux 6.3: the file may be executed whatever vm.memfd_noexec says, short of 2.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

/// Makes sure that this process runs from a sealed copy in memory: if it does not, it starts again from one, with the
/// same arguments and environment. To be called before anything is changed.
///
/// # Errors
/// The copy cannot be made or executed, with vm.memfd_noexec=2 for one.
pub fn ensure() -> Result<()> {
    let own = File::open("/proc/self/exe").context(|| "open own program")?;
    if sealed(&own) {
        return Ok(());
    }
    match restart(own) {
        Ok(never) => match never {},
        Err(error) => Err(error.within("protect the host's program from the container")),
    }
}

fn sealed(file: &File) -> bool {
    let seals = fcntl(file, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain);
    seals.is_ok_and(|seals| seals.contains(SEALS))
}

fn restart(mut own: File) -> Result<Infallible> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = match memfd_create("coracle", flags | MFD_EXEC) {
        Err(Errno::EINVAL) => memfd_create("coracle", flags),
        other => other,
    };
    let mut memory = File::from(memory.context(|| "create a memory file")?);
    copy(&mut own, &mut memory).context(|| "copy own program")?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SEALS)).context(|| "seal the copy")?;
    let args = c_strings(std::env::args_os());
    let env = c_strings(std::env::vars_os().map(|(mut name, value)| {
        name.push("=");
        name.push(value);
        name
    }));
    fexecve(memory.as_fd(), &CArray::new(args), &CArray::new(env))
        .map_err(|errno| Error::system("execute the copy", errno))
}

/// What came in as C strings has no NUL byte inside.
fn c_strings(from: impl Iterator<Item = OsString>) -> Vec<CString> {
    from.filter_map(|text| CString::new(text.into_vec()).ok()).collect()
}
