//! The container's side: namespaces, mounts, devices, all of which `runc spec` and Docker have in common but for little.

use core::ffi::CStr;

use crate::call;
use crate::cgroup::{self, Cgroup, HIERARCHIES};
use crate::process::{self, Payload};
use crate::sys::{CLOEXEC, must, nr, put};
use crate::text::Text;

/// Which configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// That of `runc spec`, with a cgroup namespace.
    Spec,
    /// That of `docker run` without options.
    Docker,
}

impl Kind {
    pub fn of(word: &CStr) -> Kind {
        if word.to_bytes() == b"docker" { Kind::Docker } else { Kind::Spec }
    }

    pub fn capabilities(self) -> u64 {
        match self {
            Kind::Spec => 1 << 5 | 1 << 10 | 1 << 29,
            Kind::Docker => 0xa804_25fb,
        }
    }
}

pub const NEW_CGROUP: usize = 0x0200_0000;
/// Mount, UTS, IPC, process and network namespace.
pub const NEW: usize = 0x0002_0000 | 0x0400_0000 | 0x0800_0000 | 0x2000_0000 | 0x4000_0000;

const RDONLY: usize = 1;
const NOSUID: usize = 2;
const NODEV: usize = 4;
const NOEXEC: usize = 8;
const REMOUNT: usize = 32;
const BIND: usize = 4096;
const REC: usize = 16384;
const SLAVE: usize = 1 << 19;
const STRICTATIME: usize = 1 << 24;
const SAFE: usize = NOSUID | NODEV | NOEXEC;

const MASKED_FILES: [&CStr; 6] =
    [c"proc/kcore", c"proc/keys", c"proc/latency_stats", c"proc/timer_list", c"proc/timer_stats", c"proc/sched_debug"];
const MASKED_DIRECTORIES: [&CStr; 4] = [c"proc/asound", c"proc/acpi", c"proc/scsi", c"sys/firmware"];
const READ_ONLY: [&CStr; 5] = [c"proc/bus", c"proc/fs", c"proc/irq", c"proc/sys", c"proc/sysrq-trigger"];
const DEVICES: [(&CStr, usize); 6] = [
    (c"dev/null", 0x103),
    (c"dev/zero", 0x105),
    (c"dev/full", 0x107),
    (c"dev/random", 0x108),
    (c"dev/urandom", 0x109),
    (c"dev/tty", 0x500),
];
const LINKS: [(&CStr, &CStr); 6] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"/proc/kcore", c"dev/core"),
    (c"pts/ptmx", c"dev/ptmx"),
];

/// The clone in the cgroup; 0 in the child.
pub fn clone(cgroup: &Cgroup, flags: usize) -> usize {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    const SIGCHLD: u64 = 17;
    let into = cgroup.dir.map_or(0, |_| INTO_CGROUP);
    let words = [flags as u64 | into, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup.dir.unwrap_or(0) as u64];
    must(call!(nr::CLONE3, words.as_ptr(), 88usize), c"clone")
}

/// All that is done before the process is confined; `filter` is the opened one.
pub fn enter(kind: Kind, dir: &CStr, id: &CStr, cgroup: &Cgroup) {
    if !cgroup.v2 {
        cgroup::join(id);
        must(call!(nr::UNSHARE, NEW_CGROUP), c"unshare the cgroup namespace");
    }
    must(call!(nr::SETSID), c"begin a session");
    must(call!(nr::KEYCTL, 1, Text::of(&[c"_ses.", id]).c()), c"join a keyring");
    must(call!(nr::MOUNT, 0, c"/", 0, REC | SLAVE), c"make the mounts slaves");
    let rootfs = Text::of(&[dir, c"/rootfs"]);
    must(call!(nr::MOUNT, rootfs.c(), rootfs.c(), 0, BIND | REC), c"bind the root");
    let binds = if kind == Kind::Docker { Some(open_binds(dir)) } else { None };
    must(call!(nr::CHDIR, rootfs.c()), c"change to the root");
    must(call!(nr::UMASK, 0), c"set the umask");
    filesystems(cgroup);
    devices();
    binds.into_iter().flatten().for_each(|(tree, to)| attach(tree, to));
    pivot();
    if kind == Kind::Docker {
        must(put(c"/proc/sys/net/ipv4/ip_unprivileged_port_start", 1, b"0"), c"set a sysctl");
        must(put(c"/proc/sys/net/ipv4/ping_group_range", 1, b"0 2147483647"), c"set a sysctl");
        must(put(c"/proc/self/oom_score_adj", 1, b"0"), c"set the OOM score");
    }
    paths();
    if kind == Kind::Spec {
        must(call!(nr::MOUNT, 0, c"/", 0, REMOUNT | BIND | RDONLY), c"make the root read-only");
    }
    must(call!(nr::SETHOSTNAME, c"floor", 5), c"set the host name");
    loopback();
    must(call!(nr::UMASK, 0o022), c"set the umask");
    must(call!(nr::CHDIR, c"/"), c"change the directory");
}

fn mount(kind: &CStr, to: &CStr, flags: usize, data: Option<&CStr>) {
    let data = data.map_or(0, |data| data.as_ptr() as usize);
    must(call!(nr::MOUNT, kind, to, kind, flags, data), to);
}

fn filesystems(cgroup: &Cgroup) {
    mount(c"proc", c"proc", SAFE, None);
    mount(c"tmpfs", c"dev", NOSUID | STRICTATIME, Some(c"mode=755,size=65536k"));
    for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
        must(call!(nr::MKDIR, directory, 0o755), directory);
    }
    mount(c"devpts", c"dev/pts", NOSUID | NOEXEC, Some(c"newinstance,ptmxmode=0666,mode=0620,gid=5"));
    mount(c"tmpfs", c"dev/shm", SAFE, Some(c"mode=1777,size=65536k"));
    mount(c"mqueue", c"dev/mqueue", SAFE, None);
    mount(c"sysfs", c"sys", SAFE | RDONLY, None);
    if cgroup.v2 {
        return mount(c"cgroup2", c"sys/fs/cgroup", SAFE | RDONLY, None);
    }
    mount(c"tmpfs", c"sys/fs/cgroup", SAFE, Some(c"mode=755"));
    for (name, option) in HIERARCHIES {
        let to = Text::of(&[c"sys/fs/cgroup/", name]);
        must(call!(nr::MKDIR, to.c(), 0o755), to.c());
        let _ = call!(nr::MOUNT, c"cgroup", to.c(), c"cgroup", SAFE | RDONLY, option);
    }
    must(call!(nr::MOUNT, 0, c"sys/fs/cgroup", 0, REMOUNT | BIND | RDONLY | SAFE), c"make the cgroups read-only");
}

fn devices() {
    const CHARACTER: usize = 0o020_000;
    for (path, number) in DEVICES {
        must(call!(nr::MKNOD, path, CHARACTER | 0o666, number), path);
    }
    for (target, path) in LINKS {
        must(call!(nr::SYMLINK, target, path), path);
    }
}

const OPEN_TREE_CLONE: usize = 1;
const FROM_DESCRIPTOR: usize = 4;
const HERE: usize = usize::MAX - 99;

fn tree(path: &CStr) -> Result<usize, usize> {
    call!(nr::OPEN_TREE, HERE, path, OPEN_TREE_CLONE | CLOEXEC)
}

fn attach(tree: usize, to: &CStr) {
    must(call!(nr::MOVE_MOUNT, tree, c"", HERE, to, FROM_DESCRIPTOR), to);
    let _ = call!(nr::CLOSE, tree);
}

fn open_binds(dir: &CStr) -> [(usize, &'static CStr); 3] {
    [c"etc/resolv.conf", c"etc/hostname", c"etc/hosts"].map(|to| {
        let name = to.to_bytes_with_nul().get(3..).and_then(|name| CStr::from_bytes_with_nul(name).ok());
        let from = Text::of(&[dir, name.unwrap_or(c"")]);
        (must(tree(from.c()), to), to)
    })
}

fn pivot() {
    const DETACH: usize = 2;
    must(call!(nr::PIVOT_ROOT, c".", c"."), c"change the root");
    must(call!(nr::UMOUNT, c".", DETACH), c"unmount the old root");
}

fn paths() {
    for path in READ_ONLY {
        if call!(nr::MOUNT, path, path, 0, BIND | REC).is_ok() {
            must(call!(nr::MOUNT, 0, path, 0, REMOUNT | BIND | RDONLY | SAFE), path);
        }
    }
    for path in MASKED_FILES {
        let _ = call!(nr::MOUNT, c"dev/null", path, 0, BIND);
    }
    for path in MASKED_DIRECTORIES {
        let _ = call!(nr::MOUNT, c"tmpfs", path, c"tmpfs", RDONLY, c"nr_blocks=1,nr_inodes=1");
    }
}

/// struct ifreq, of which the name and the flags matter.
fn loopback() {
    const SET_FLAGS: usize = 0x8914;
    let mut request = [0u8; 40];
    request.iter_mut().zip(b"lo").for_each(|(place, byte)| *place = *byte);
    request[16] = 1;
    let socket = must(call!(nr::SOCKET, 2, 2, 0), c"open a socket");
    must(call!(nr::IOCTL, socket, SET_FLAGS, request.as_ptr()), c"set the loopback interface up");
    let _ = call!(nr::CLOSE, socket);
}

/// What is left once the container is there.
pub fn finish(kind: Kind, filter: Option<usize>) -> ! {
    process::confine(kind, filter);
    process::become_payload(Payload::True)
}
