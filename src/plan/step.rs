//! Everything a container's first process can do between clone and exec.
//!
//! One step is one kernel-visible effect and carries all it needs, in the form the kernel takes it. Its `Display`
//! is at once the debug log, the golden test and the error message: when the kernel refuses step 17, the parent
//! prints step 17 and the errno.

use std::ffi::{CStr, CString};
use std::fmt;

use coracle_sys::exec::CArray;
use coracle_sys::sched::SchedAttr;

use crate::device::{Device, Link};
pub use crate::filesystem::{FsMount, OldMount, Remount};
use crate::namespaces::Kind;
use crate::source::{Propagation, Slot, Tree};
pub use crate::target::{MountPoint, OnProc, Place, Target};

/// A place where the child stops until the parent has done its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The process exists: id maps are written, it is in its cgroup.
    Mapped,
    /// It is in all its namespaces.
    Joined,
    /// Mounts are in place, the root is not yet changed: hooks of the create phase.
    Mounted,
    /// The seccomp filter's listener is there for the parent to fetch. The child does not wait.
    Listening,
    /// Nothing is left but to execute the program: limits are set, the state is recorded.
    Ready,
}

/// A step of the child.
#[derive(Debug)]
pub enum Step {
    /// Report that the point is reached and wait for the parent's answer.
    Sync(Point),

    /// Join the namespaces `flags` (`CLONE_NEW*`) of the process in the slot.
    JoinAll {
        slot: Slot,
        flags: i32,
    },
    Join {
        slot: Slot,
        kind: Kind,
    },
    Unshare(Kind),
    /// Write the offsets of the time namespace this process's children will be in.
    TimeOffsets {
        proc: Slot,
        text: CString,
    },
    /// Become uid and gid 0 of the new user namespace.
    BecomeRoot,

    Hostname(CString),
    Domainname(CString),
    LoopbackUp,
    /// Join the session keyring of the name, and let those who may search it (keyrings(7), as a permission mask) do so.
    Keyring {
        name: CString,
        search: u32,
    },
    Personality(u32),
    MemoryPolicy {
        mode: i32,
        nodes: Vec<u64>,
    },
    Scheduler(SchedAttr),
    IoPriority {
        class: u16,
        level: u16,
    },

    /// Set the propagation of the mount at an absolute path.
    Propagation {
        path: CString,
        change: Propagation,
    },
    /// Attach the root filesystem at its own path, where hooks expect it.
    AttachRootfs {
        slot: Slot,
        at: CString,
    },
    /// Take the directory in the slot for the root, as it is: there is no mount namespace to attach it in.
    UseRootfs(Slot),
    /// Copy a mount as it is seen here and now, where the parent could not have before the clone.
    OpenTree {
        slot: Slot,
        tree: Box<Tree>,
    },
    /// Attach a detached tree in the container.
    AttachTree {
        slot: Slot,
        target: Target,
        /// Where it is on the host, for the message.
        from: CString,
        /// A symbolic link in the slot is made anew at the target.
        copy_link: bool,
    },
    MountFs(Box<FsMount>),
    MountOld(Box<OldMount>),
    Remount(Box<Remount>),
    /// Take away what is mounted at the target, with all below it.
    Unmount(Target),
    /// Make the mount in the slot read-only now that everything in it is made.
    MakeReadonly {
        slot: Slot,
        target: Target,
    },
    Mknod(Device),
    Symlink(Link),
    /// Take a mount of the host's out of sight.
    HideMount(CString),
    Pivot,
    MoveRoot,
    Chroot,

    /// Set a kernel parameter, by its path below /proc/sys.
    Sysctl {
        proc: Slot,
        key: CString,
        value: CString,
    },
    Readonly(CString),
    Mask(CString),
    RootPropagation(Propagation),
    RootReadonly,

    Setsid,
    /// Open a pseudo-terminal of the container's devpts, of the given rows and columns.
    OpenPty {
        size: Option<(u16, u16)>,
    },
    /// Send the terminal's controlling side to the socket in the slot, or to the parent.
    SendPty(Option<Slot>),
    /// Bind the terminal over /dev/console.
    Console,
    /// Make the terminal standard input, output and error, and the session's terminal.
    Stdio,
    /// Hand this process's pidfd to the socket in the slot.
    SendPidfd {
        slot: Slot,
        name: CString,
    },

    MakeCwd(CString),
    /// Enter the working directory while still root; a refusal is left to `Chdir`.
    ChdirEarly(CString),
    /// Enter the working directory with the user's rights, unless that is done.
    Chdir(CString),
    Umask(u32),
    Groups(Vec<u32>),
    SetGid(u32),
    SetUid(u32),
    KeepCaps,
    /// Drop capabilities from the bounding set, so that `keep` is left.
    Bounding {
        keep: u64,
        drop: u64,
    },
    Capabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
    },
    Ambient(u64),
    NoNewPrivs,
    /// Write a label to an attribute of this process, below a procfs.
    Label {
        proc: Slot,
        attribute: CString,
        label: CString,
    },
    Seccomp(Slot),
    /// Load the filter in the slot and leave its listener to the parent.
    SeccompListening(Slot),
    VerifyCwd,

    /// Close every descriptor from 3 + `keep` up but the way to the parent and the gate.
    CloseFds {
        keep: u32,
        gate: Option<Slot>,
    },
    /// Look up the home directory of `uid` in /etc/passwd for `Exec`.
    FindHome {
        uid: u32,
    },
    /// Lower a limit of this process (setrlimit(2)).
    Rlimit {
        name: String,
        resource: u32,
        soft: u64,
        hard: u64,
    },
    /// No signal blocked, and none ignored: of these, bit n - 1 being signal n, it is known that they are.
    Signals {
        ignored: u64,
    },
    /// Run on every processor of the cgroup, or on those of the mask.
    Affinity(Option<Vec<u64>>),
    /// Put the container's /dev/null where standard input, output or error are the host's.
    NullStdio,
    /// Give standard input, output and error to the user.
    StdioOwner {
        uid: u32,
    },
    /// Which of the candidates is executable; the index goes to `Exec`.
    FindExecutable {
        name: CString,
        candidates: Vec<CString>,
    },
    /// Wait for `start`.
    Gate(Slot),
    Exec {
        name: CString,
        argv: CArray,
        envp: CArray,
        /// The place of HOME in `envp`, if it is that of `FindHome`.
        home: Option<usize>,
    },
}

/// A C string for people.
pub(crate) fn show(text: &CStr) -> std::borrow::Cow<'_, str> {
    text.to_string_lossy()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Sync(point) => write!(f, "-- {point:?} --"),
            Step::JoinAll { slot, flags } => {
                f.write_str("join the container's namespaces")?;
                for kind in Kind::ALL.iter().filter(|kind| flags & kind.flag() != 0) {
                    write!(f, " {}", kind.file())?;
                }
                write!(f, " ({slot})")
            }
            Step::Join { slot, kind } => write!(f, "join {kind} namespace ({slot})"),
            Step::Unshare(kind) => write!(f, "unshare {kind} namespace"),
            Step::TimeOffsets { text, .. } => {
                write!(f, "set time offsets {}", show(text).trim_end().replace('\n', ", "))
            }
            Step::BecomeRoot => f.write_str("become root of the user namespace"),
            Step::Hostname(name) => write!(f, "set hostname {}", show(name)),
            Step::Domainname(name) => write!(f, "set domainname {}", show(name)),
            Step::LoopbackUp => f.write_str("bring up lo"),
            Step::Keyring { name, .. } => write!(f, "join session keyring {}", show(name)),
            Step::Personality(persona) => write!(f, "set personality {persona:#x}"),
            Step::MemoryPolicy { mode, nodes } => write!(f, "set memory policy {mode:#x} nodes {nodes:x?}"),
            Step::Scheduler(attr) => write!(f, "set scheduler policy {} nice {}", attr.policy, attr.nice),
            Step::IoPriority { class, level } => write!(f, "set io priority class {class} level {level}"),
            Step::Propagation { path, change } => write!(f, "make {} {change}", show(path)),
            Step::AttachRootfs { slot, at } => write!(f, "attach rootfs ({slot}) at {}", show(at)),
            Step::UseRootfs(slot) => write!(f, "take {slot} for the root"),
            Step::OpenTree { slot, tree } => write!(f, "{tree} ({slot})"),
            Step::AttachTree { slot, target, from, .. } => write!(f, "bind {} on {target} ({slot})", show(from)),
            Step::MountFs(mount) => mount.fmt(f),
            Step::MountOld(mount) => mount.fmt(f),
            Step::Remount(mount) => mount.fmt(f),
            Step::Unmount(target) => write!(f, "unmount {target}"),
            Step::MakeReadonly { target, .. } => write!(f, "make {target} read-only"),
            Step::Mknod(device) => write!(f, "create device {device}"),
            Step::Symlink(link) => link.fmt(f),
            Step::HideMount(path) => write!(f, "take the host's {} out of sight", show(path)),
            Step::Pivot => f.write_str("pivot into the rootfs"),
            Step::MoveRoot => f.write_str("move the rootfs over /"),
            Step::Chroot => f.write_str("change root into the rootfs"),
            Step::Sysctl { key, value, .. } => write!(f, "set sysctl {} to {}", show(key), show(value)),
            Step::Readonly(path) => write!(f, "make {} read-only", show(path)),
            Step::Mask(path) => write!(f, "mask {}", show(path)),
            Step::RootPropagation(change) => write!(f, "make / {change}"),
            Step::RootReadonly => f.write_str("make / read-only"),
            Step::Setsid => f.write_str("start a session"),
            Step::OpenPty { size: None } => f.write_str("open a terminal"),
            Step::OpenPty { size: Some((rows, columns)) } => write!(f, "open a terminal of {rows}x{columns}"),
            Step::SendPty(None) => f.write_str("send the terminal to the caller"),
            Step::SendPty(Some(slot)) => write!(f, "send the terminal to the console socket ({slot})"),
            Step::Console => f.write_str("bind the terminal on /dev/console"),
            Step::Stdio => f.write_str("make the terminal stdin, stdout and stderr"),
            Step::SendPidfd { slot, .. } => write!(f, "send the pidfd to the pidfd socket ({slot})"),
            Step::MakeCwd(path) => write!(f, "create working directory {}", show(path)),
            Step::ChdirEarly(path) => write!(f, "try to change directory to {}", show(path)),
            Step::Chdir(path) => write!(f, "change directory to {}", show(path)),
            Step::Umask(mask) => write!(f, "set umask {mask:04o}"),
            Step::Groups(groups) => write!(f, "set groups {groups:?}"),
            Step::SetGid(gid) => write!(f, "set gid {gid}"),
            Step::SetUid(uid) => write!(f, "set uid {uid}"),
            Step::KeepCaps => f.write_str("keep capabilities across the change of uid"),
            Step::Bounding { keep, .. } => write!(f, "drop bounding capabilities outside {keep:#x}"),
            Step::Capabilities { effective, permitted, inheritable } => {
                write!(f, "set capabilities e={effective:#x} p={permitted:#x} i={inheritable:#x}")
            }
            Step::Ambient(set) => write!(f, "set ambient capabilities {set:#x}"),
            Step::NoNewPrivs => f.write_str("set no_new_privs"),
            Step::Label { attribute, label, .. } if label.as_c_str() == c"\n" => write!(f, "reset {}", show(attribute)),
            Step::Label { attribute, label, .. } => write!(f, "set {} to {}", show(attribute), show(label)),
            Step::SeccompListening(slot) => write!(f, "load seccomp filter ({slot}) with a listener"),
            Step::Seccomp(slot) => write!(f, "load seccomp filter ({slot})"),
            Step::VerifyCwd => f.write_str("verify that the working directory is inside the container"),
            Step::CloseFds { keep, .. } => write!(f, "close descriptors from {}", 3 + keep),
            Step::FindHome { uid } => write!(f, "look up the home directory of uid {uid}"),
            Step::Rlimit { name, soft, hard, .. } => write!(f, "set {name} {soft}:{hard}"),
            Step::Signals { .. } => f.write_str("reset signals"),
            Step::Affinity(None) => f.write_str("run on every processor"),
            Step::Affinity(Some(mask)) => write!(f, "run on processors {mask:x?}"),
            Step::NullStdio => f.write_str("put the container's /dev/null on stdin, stdout and stderr"),
            Step::StdioOwner { uid } => write!(f, "give stdin, stdout and stderr to uid {uid}"),
            Step::FindExecutable { name, .. } => write!(f, "find executable {}", show(name)),
            Step::Gate(_) => f.write_str("-- wait for start --"),
            Step::Exec { name, .. } => write!(f, "execute {}", show(name)),
        }
    }
}
