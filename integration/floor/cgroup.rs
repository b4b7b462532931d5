//! The container's cgroup: one directory in v2, one in each hierarchy of v1.

use core::ffi::CStr;

use crate::call;
use crate::device;
use crate::sys::{CLOEXEC, DIRECTORY, get, must, nr, put};
use crate::text::Text;

const MOUNT: &CStr = c"/sys/fs/cgroup/";

/// Controllers that have a hierarchy of their own, and what it is called in the options of a mount.
pub const HIERARCHIES: [(&CStr, &CStr); 12] = [
    (c"blkio", c"blkio"),
    (c"cpu", c"cpu"),
    (c"cpuacct", c"cpuacct"),
    (c"cpuset", c"cpuset"),
    (c"devices", c"devices"),
    (c"freezer", c"freezer"),
    (c"hugetlb", c"hugetlb"),
    (c"memory", c"memory"),
    (c"net_cls", c"net_cls"),
    (c"perf_event", c"perf_event"),
    (c"pids", c"pids"),
    (c"systemd", c"none,name=systemd"),
];

/// What the machine has.
pub struct Cgroup {
    /// The directory of the v2 tree, if there is one.
    pub dir: Option<usize>,
    pub v2: bool,
}

fn below(hierarchy: &CStr, id: &CStr, file: &CStr) -> Text {
    Text::of(&[MOUNT, hierarchy, c"/", id, file])
}

/// Whether /sys/fs/cgroup is the v2 tree, which takes one call to know.
fn is_v2() -> bool {
    call!(nr::OPEN, c"/sys/fs/cgroup/cgroup.procs", CLOEXEC).is_ok_and(|fd| call!(nr::CLOSE, fd).is_ok())
}

/// Makes it, with the list of devices.
pub fn make(id: &CStr) -> Cgroup {
    if is_v2() {
        let path = Text::of(&[MOUNT, id]);
        must(call!(nr::MKDIR, path.c(), 0o755), c"make the cgroup");
        let cgroup = open(id);
        if let Some(dir) = cgroup.dir {
            device::attach(dir);
        }
        return cgroup;
    }
    for (name, _) in HIERARCHIES {
        if call!(nr::MKDIR, below(name, id, c"").c(), 0o755).is_err() {
            continue;
        }
        match name.to_bytes() {
            b"devices" => {
                let file = |file| below(name, id, file);
                device::list(file(c"/devices.deny").c(), file(c"/devices.allow").c());
            }
            b"cpuset" => inherit(id),
            _ => {}
        }
    }
    Cgroup { dir: None, v2: false }
}

/// A cpuset of v1 takes no process before it has processors and memory.
fn inherit(id: &CStr) {
    for file in [c"/cpuset.cpus", c"/cpuset.mems"] {
        let mut bytes = [0u8; 256];
        if let Ok(value) = get(Text::of(&[MOUNT, c"cpuset", file]).c(), &mut bytes) {
            must(put(below(c"cpuset", id, file).c(), 1, value), c"fill the cpuset");
        }
    }
}

/// Finds that of a container that is there.
pub fn open(id: &CStr) -> Cgroup {
    match call!(nr::OPEN, Text::of(&[MOUNT, id]).c(), DIRECTORY | CLOEXEC) {
        Ok(dir) => Cgroup { dir: Some(dir), v2: true },
        Err(_) => Cgroup { dir: None, v2: false },
    }
}

/// Puts the calling process into those of v1.
pub fn join(id: &CStr) {
    for (name, _) in HIERARCHIES {
        if let Ok(fd) = call!(nr::OPEN, below(name, id, c"/cgroup.procs").c(), 1 | CLOEXEC) {
            must(call!(nr::WRITE, fd, c"0", 1), c"join a cgroup");
            let _ = call!(nr::CLOSE, fd);
        }
    }
}

pub fn remove(id: &CStr) {
    if call!(nr::RMDIR, Text::of(&[MOUNT, id]).c()).is_ok() {
        return;
    }
    for (name, _) in HIERARCHIES {
        let _ = call!(nr::RMDIR, below(name, id, c"").c());
    }
}
