//! User namespaces that exist only for their id mapping, which an idmapped mount takes over.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_sys::clone::{Fork, clone3, exit_now};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, pipe2, read};
use oci_spec::runtime::LinuxIdMapping;

use crate::error::{Context, Result};

/// The mappings that were needed so far, each made once.
#[derive(Default)]
pub struct Mappings(Vec<(Vec<LinuxIdMapping>, Vec<LinuxIdMapping>, OwnedFd)>);

impl Mappings {
    /// A user namespace with this mapping.
    pub fn of(&mut self, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> Result<BorrowedFd<'_>> {
        let found = self.0.iter().position(|(u, g, _)| u == uids && g == gids);
        let at = match found {
            Some(at) => at,
            None => {
                let fd = make(uids, gids).context(|| "make a user namespace for an id mapping")?;
                self.0.push((uids.to_vec(), gids.to_vec(), fd));
                self.0.len() - 1
            }
        };
        Ok(self.0[at].2.as_fd())
    }
}

/// A process in a new user namespace, which lives until the other end of its pipe is closed, this process's end
/// included; then the namespace is held by the descriptor alone.
fn make(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> std::io::Result<OwnedFd> {
    let (wait, stay) = pipe2(OFlag::O_CLOEXEC)?;
    match clone3(libc::CLONE_NEWUSER as u64, None)? {
        Fork::Child => {
            drop(stay);
            let _ = read(&wait, &mut [0; 1]);
            exit_now(0)
        }
        Fork::Parent { pid, pidfd } => {
            let opened = map_and_open(pid, uids, gids);
            drop(stay);
            waitid(Id::PIDFd(pidfd.as_fd()), WaitPidFlag::WEXITED)?;
            opened
        }
    }
}

fn map_and_open(pid: Pid, uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> std::io::Result<OwnedFd> {
    for (file, maps) in [("uid_map", uids), ("gid_map", gids)] {
        let text: String =
            maps.iter().map(|m| format!("{} {} {}\n", m.container_id(), m.host_id(), m.size())).collect();
        OpenOptions::new().write(true).open(format!("/proc/{pid}/{file}"))?.write_all(text.as_bytes())?;
    }
    let path = format!("/proc/{pid}/ns/user");
    Ok(nix::fcntl::open(path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)
}
