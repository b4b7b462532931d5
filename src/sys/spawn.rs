//! Programs that start inside a container's namespaces, or with descriptors and mounts of their own.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::raise;
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};

use crate::mount::move_mount;

use crate::clone::{Fork, clone3, exit_now};
use crate::{Errno, Result, check, creds, fds, rlimit};

/// Makes `command` join the namespaces `flags` (`CLONE_NEW*`) of the process behind `pidfd` before it executes
/// (setns(2) with a pidfd, Linux 5.8), and become root there when one of them is a user namespace.
///
/// A pid namespace holds for children only: then a child executes, and what was spawned waits for it and ends as it does.
pub fn join_before_exec(command: &mut Command, pidfd: OwnedFd, flags: i32) {
    let join = move || -> std::io::Result<()> {
        // What lives in there must not look into this process (CVE-2016-9962).
        creds::set_dumpable(false)?;
        // SAFETY: no pointers are passed.
        check(unsafe { libc::syscall(libc::SYS_setns, pidfd.as_raw_fd(), flags) })?;
        if flags & libc::CLONE_NEWUSER != 0 {
            match creds::set_groups(&[]) {
                Err(Errno::EPERM) | Ok(()) => {}
                Err(errno) => return Err(errno.into()),
            }
            creds::set_gid(0)?;
            creds::set_uid(0)?;
        }
        if flags & libc::CLONE_NEWPID != 0 {
            go_on_in_child()?;
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(join) };
}

/// Returns in a child. This process waits for it, and ends with its exit code, or by the signal that killed it.
fn go_on_in_child() -> Result<()> {
    let Fork::Parent { pid, .. } = clone3(0, None)? else { return Ok(()) };
    // Whoever waits for the end of a pipe must not wait for this process.
    fds::close_range(0, u32::MAX)?;
    loop {
        match waitpid(pid, None) {
            Err(Errno::EINTR) => {}
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                let _ = raise(signal);
                exit_now(128 + signal as i32)
            }
            Ok(WaitStatus::Exited(_, code)) => exit_now(code),
            _ => exit_now(1),
        }
    }
}

/// Gives `command` a soft and a hard limit of `resource` (getrlimit(2)) before it executes.
pub fn limit_before_exec(command: &mut Command, resource: u32, soft: u64, hard: u64) {
    let limit = move || Ok(rlimit::set_own(resource, soft, hard)?);
    // SAFETY: the closure makes one system call; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(limit) };
}

/// Makes `command` keep the descriptors `kept` under the numbers they have here, although they are close-on-exec.
pub fn keep_before_exec(command: &mut Command, kept: Vec<OwnedFd>) {
    let keep =
        move || -> std::io::Result<()> { kept.iter().try_for_each(|fd| Ok(fds::dup_to(fd.as_fd(), fd.as_raw_fd())?)) };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(keep) };
}

/// Makes `command` run in a mount namespace of its own, where the detached `tree` is attached at `at`. Mounts of the host
/// still reach it, its own reach nobody and end with it.
pub fn attach_before_exec(command: &mut Command, tree: OwnedFd, at: CString) {
    let attach = move || -> std::io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(NONE, c"/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)?;
        let at = open(at.as_c_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(move_mount(tree.as_fd(), at.as_fd())?)
    };
    // SAFETY: the closure makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(attach) };
}

const NONE: Option<&CStr> = None;
