//! Opens what the plan names, before the clone: everything that can fail on the host has failed by then.

mod namespace;
pub mod seccomp;
mod socket;
pub mod tree;
mod userns;

pub use socket::{connect, datagrams, knock};

use std::os::fd::OwnedFd;
use std::path::Path;

use coracle_plan::source::{Source, Tree};
use coracle_sys::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use crate::error::{Context, Error, Kind, Result};
use crate::store::process::Process;
use crate::timings;

/// What fills a slot.
pub enum Filled {
    Empty,
    Fd(OwnedFd),
    /// A compiled seccomp program and the flags to load it with.
    Program(Vec<u8>, u64),
}

/// Fills every slot. `gate` is where the start socket is to be.
///
/// # Errors
/// The first source that cannot be opened, by name.
pub fn prepare(sources: &[Source], gate: &Path) -> Result<Vec<Filled>> {
    let mut mappings = userns::Mappings::default();
    let _span = timings::span(|| "prepare sources".to_owned());
    let timed = |source: &Source| {
        let _span = timings::span(|| source.to_string());
        fill(source, gate, &mut mappings)
    };
    sources.iter().map(timed).collect()
}

/// Opens `source` as far as that leaves no trace: no socket is made or called, and no user namespace is made for an id
/// mapping.
///
/// # Errors
/// Those of [`prepare`].
pub fn try_out(source: &Source) -> Result<()> {
    let plain = match source {
        Source::Gate | Source::Connect(_) | Source::Process { .. } | Source::ByChild => return Ok(()),
        Source::Tree(tree) => &Source::Tree(Tree { idmap: None, ..tree.clone() }),
        other => other,
    };
    fill(plain, Path::new(""), &mut userns::Mappings::default()).map(drop)
}

fn fill(source: &Source, gate: &Path, mappings: &mut userns::Mappings) -> Result<Filled> {
    Ok(match source {
        Source::Tree(tree) => Filled::Fd(tree::open_mapped(tree, mappings)?),
        Source::Directory(path) => {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
            Filled::Fd(openat2(AT_FDCWD, path.as_c_str(), how).context(|| source.to_string())?)
        }
        Source::Namespace { kind, path, pointer, not_ours } => {
            Filled::Fd(namespace::open_as(*kind, path, pointer, not_ours.as_deref())?)
        }
        Source::Process { pid, start_time } => {
            let gone = || Error::new(Kind::InvalidState, "container not running");
            Filled::Fd(Process { pid: *pid, start_time: *start_time }.alive()?.ok_or_else(gone)?)
        }
        Source::SeccompProgram(program) => Filled::Program(program.clone(), 0),
        Source::Seccomp(filter) => Filled::Program(seccomp::compile(filter)?, filter.flags),
        Source::Connect(path) => Filled::Fd(socket::connect(path)?),
        Source::Proc => Filled::Fd(proc()?),
        Source::Gate => Filled::Fd(socket::gate(gate)?),
        Source::ByChild => Filled::Empty,
    })
}

/// The host's procfs; anything mounted over it would take what is written to it.
fn proc() -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let fd = open("/proc", flags, Mode::empty()).context(|| "open /proc")?;
    let kind = nix::sys::statfs::fstatfs(&fd).context(|| "look at /proc")?.filesystem_type();
    if kind != nix::sys::statfs::PROC_SUPER_MAGIC {
        return Err(Error::new(Kind::Unsupported, "open /proc: it is not a procfs"));
    }
    let root = nix::sys::stat::fstat(&fd).map_err(|e: Errno| Error::system("look at /proc", e))?;
    if root.st_ino != 1 {
        return Err(Error::new(Kind::Unsupported, "open /proc: it is not the root of a procfs"));
    }
    Ok(fd)
}
