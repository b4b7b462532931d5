//! The child's half: everything between clone and exec, in one loop.
//!
//! From the clone on nothing is allocated, logged or decided: the steps were all made before. What the child learns
//! on the way it keeps in fixed places of `Init`.

mod console;
mod copy;
mod creds;
mod device;
mod home;
mod identity;
mod link;
mod mount;
mod path;
mod proc;

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use coracle_plan::source::Slot;
use coracle_plan::step::Step;
use coracle_sys::clone::exit_now;
use coracle_sys::{Errno, exec, fds, guard};
use nix::fcntl::AT_FDCWD;

use super::packet::{self, Process, TEXT};
use super::watch::Watch;
use crate::prepare::Filled;

/// Why a step failed: the errno, and the kernel's own words where it has any.
pub struct Failure {
    errno: Errno,
    text: [u8; TEXT],
    len: usize,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, text: [0; TEXT], len: 0 }
    }
}

impl Failure {
    /// A failure whose reason the error number does not tell.
    fn said(errno: Errno, words: &str) -> Failure {
        let mut failure = Failure::from(errno);
        failure.len = words.len().min(TEXT);
        failure.text[..failure.len].copy_from_slice(&words.as_bytes()[..failure.len]);
        failure
    }
}

type Result<T> = std::result::Result<T, Failure>;

/// What the child knows.
pub(super) struct Init<'a> {
    process: Process,
    watch: Watch<'a>,
    /// The channel to the parent, later to `start`.
    pub(super) socket: OwnedFd,
    pub(super) slots: Vec<Filled>,
    /// The root filesystem, once it is attached.
    root: Option<OwnedFd>,
    /// A /dev/null, checked once, and the mount that hides directories.
    null: Option<OwnedFd>,
    empty: Option<OwnedFd>,
    /// The directory of the last device or link.
    directory: Option<(&'a [u8], OwnedFd)>,
    pty: Option<(OwnedFd, OwnedFd)>,
    cwd_done: bool,
    home: home::Home,
    executable: Option<&'a CStr>,
}

/// Carries out `steps`; does not return.
pub fn run(steps: &[Step], slots: Vec<Filled>, socket: OwnedFd, watch: Watch<'_>) -> ! {
    guard::forbid_allocation();
    Init::new(Process::Init, slots, socket, watch).carry_out(steps);
    exit_now(255)
}

impl<'a> Init<'a> {
    pub(super) fn new(process: Process, slots: Vec<Filled>, socket: OwnedFd, watch: Watch<'a>) -> Init<'a> {
        let (null, empty, directory, root, pty, executable) = (None, None, None, None, None, None);
        let home = home::Home::NONE;
        Init { process, watch, socket, slots, root, null, empty, directory, pty, cwd_done: false, home, executable }
    }

    /// Does one step after the other; does not return when one fails.
    pub(super) fn carry_out(&mut self, steps: &'a [Step]) {
        for (index, step) in steps.iter().enumerate() {
            self.watch.at(self.socket.as_fd(), self.process, index, step);
            if let Err(failure) = self.execute(index, step) {
                let text = &failure.text[..failure.len];
                packet::failed(self.socket.as_fd(), self.process, index, failure.errno, text);
                exit_now(1);
            }
        }
    }

    fn execute(&mut self, index: usize, step: &'a Step) -> Result<()> {
        match step {
            Step::Sync(_) => Ok(packet::reached(self.socket.as_fd(), self.process, index)?),

            Step::JoinAll { slot, flags } => self.join_all(*slot, *flags),
            Step::Join { slot, kind } => self.join(*slot, *kind),
            Step::Unshare(kind) => identity::unshare(*kind),
            Step::TimeOffsets { proc, text } => self.time_offsets(*proc, text),
            Step::BecomeRoot => identity::become_root(),
            Step::Hostname(name) => identity::hostname(name),
            Step::Domainname(name) => identity::domainname(name),
            Step::LoopbackUp => Ok(coracle_sys::net::loopback_up()?),
            Step::Keyring { name, search } => identity::keyring(name, *search),
            Step::Personality(persona) => Ok(coracle_sys::sched::set_personality(*persona)?),
            Step::MemoryPolicy { mode, nodes } => Ok(coracle_sys::sched::set_memory_policy(*mode, nodes)?),
            Step::Scheduler(attr) => Ok(coracle_sys::sched::set_scheduler(attr)?),
            Step::IoPriority { class, level } => Ok(coracle_sys::sched::set_io_priority(*class, *level)?),

            Step::Propagation { path, change } => mount::propagation(path, *change),
            Step::AttachRootfs { slot, at } => self.attach_rootfs(*slot, at),
            Step::UseRootfs(slot) => self.use_rootfs(*slot),
            Step::OpenTree { slot, tree } => self.open_tree(*slot, tree),
            Step::AttachTree { slot, target, copy_link, .. } => self.attach_tree(*slot, target, *copy_link),
            Step::MountFs(mount) => self.mount_fs(mount),
            Step::MountOld(mount) => self.mount_old(mount),
            Step::Remount(remount) => self.remount(remount),
            Step::Unmount(target) => self.unmount(target),
            Step::MakeReadonly { slot, .. } => self.make_readonly(*slot),
            Step::Mknod(device) => self.mknod(device),
            Step::Symlink(link) => self.symlink(link),
            Step::HideMount(path) => mount::hide(path),
            Step::Pivot => self.pivot(),
            Step::MoveRoot => self.move_root(),
            Step::Chroot => self.chroot(),
            Step::Sysctl { proc, key, value } => self.sysctl(*proc, key, value),
            Step::Readonly(path) => self.readonly(path),
            Step::Mask(path) => self.mask(path),
            Step::RootPropagation(change) => mount::propagation(c"/", *change),
            Step::RootReadonly => self.root_readonly(),

            Step::Setsid => identity::setsid(),
            Step::OpenPty { size } => self.open_pty(*size),
            Step::SendPty(slot) => self.send_pty(*slot),
            Step::Console => self.console(),
            Step::Stdio => self.stdio(),
            Step::SendPidfd { slot, name } => self.send_pidfd(*slot, name),

            Step::MakeCwd(path) => self.make_cwd(path),
            Step::ChdirEarly(path) => self.chdir_early(path),
            Step::Chdir(path) => self.chdir(path),
            Step::VerifyCwd => creds::verify_cwd(),
            Step::Umask(mask) => creds::umask(*mask),
            Step::Groups(groups) => Ok(coracle_sys::creds::set_groups(groups)?),
            Step::SetGid(gid) => Ok(coracle_sys::creds::set_gid(*gid)?),
            Step::SetUid(uid) => Ok(coracle_sys::creds::set_uid(*uid)?),
            Step::KeepCaps => Ok(coracle_sys::creds::set_keep_caps(true)?),
            Step::Bounding { drop, .. } => creds::bounding(*drop),
            Step::Capabilities { effective, permitted, inheritable } => {
                creds::capabilities(*effective, *permitted, *inheritable)
            }
            Step::Ambient(set) => creds::ambient(*set),
            Step::NoNewPrivs => Ok(coracle_sys::creds::set_no_new_privs()?),
            Step::Label { proc, attribute, label } => self.label(*proc, attribute, label),
            Step::Seccomp(slot) => self.seccomp(*slot).map(drop),
            Step::SeccompListening(slot) => self.seccomp_listening(*slot),

            Step::CloseFds { keep, gate } => self.close_fds(3 + keep, *gate),
            Step::FindHome { uid } => self.find_home(*uid),
            Step::Rlimit { resource, soft, hard, .. } => Ok(coracle_sys::rlimit::set_own(*resource, *soft, *hard)?),
            Step::Signals { ignored } => Ok(coracle_sys::signal::reset(*ignored)?),
            Step::Affinity(mask) => creds::affinity(mask.as_deref()),
            Step::NullStdio => self.null_stdio(),
            Step::StdioOwner { uid } => console::stdio_owner(*uid),
            Step::FindExecutable { candidates, .. } => self.find_executable(candidates),
            Step::Gate(slot) => self.gate(*slot),
            Step::Exec { argv, envp, home, .. } => self.exec(argv, envp, *home),
        }
    }

    fn slot(&self, Slot(i): Slot) -> Result<BorrowedFd<'_>> {
        match self.slots.get(i) {
            Some(Filled::Fd(fd)) => Ok(fd.as_fd()),
            _ => Err(Errno::EBADF.into()),
        }
    }

    fn root(&self) -> Result<BorrowedFd<'_>> {
        Ok(self.root.as_ref().ok_or(Errno::EBADF)?.as_fd())
    }

    fn gate(&mut self, slot: Slot) -> Result<()> {
        let connection = fds::accept(self.slot(slot)?)?;
        self.socket = connection;
        Ok(packet::wait(self.socket.as_fd())?)
    }

    fn find_executable(&mut self, candidates: &'a [std::ffi::CString]) -> Result<()> {
        let found = match candidates {
            [only] => executable(only).map(|()| only)?,
            several => several.iter().find(|candidate| executable(candidate).is_ok()).ok_or(Errno::ENOENT)?,
        };
        self.executable = Some(found.as_c_str());
        Ok(())
    }

    fn exec(&self, argv: &exec::CArray, envp: &exec::CArray, home: Option<usize>) -> Result<()> {
        let path = self.executable.ok_or(Errno::ENOENT)?;
        let home = home.and_then(|index| Some((index, self.home.entry()?)));
        match exec::execve(path, argv, envp, home)? {}
    }
}

/// Whether `path` is a regular file this process may execute.
fn executable(path: &CStr) -> coracle_sys::Result<()> {
    let stat = nix::sys::stat::stat(path)?;
    match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Err(Errno::EISDIR),
        libc::S_IFREG => {
            nix::unistd::faccessat(AT_FDCWD, path, nix::unistd::AccessFlags::X_OK, nix::fcntl::AtFlags::AT_EACCESS)
        }
        _ => Err(Errno::EACCES),
    }
}
