//! What a runtime is called for. The state of a container is a file with the number of its process.

use core::ffi::CStr;

use crate::call;
use crate::cgroup::{self, Cgroup};
use crate::container::{self, Kind, NEW, NEW_CGROUP};
use crate::process::{self, Payload, confine, open_filter, recorded};
use crate::sys::{WRITE_NEW, must, nr, put};
use crate::text::Text;

fn record(dir: &CStr, id: &CStr) -> Text {
    Text::of(&[dir, c"/", id])
}

/// struct sockaddr_un of the socket a created container waits at.
fn address(dir: &CStr, id: &CStr) -> [u8; 110] {
    let (path, mut address) = (Text::of(&[dir, c"/", id, c".s"]), [0u8; 110]);
    address[0] = 1;
    address.iter_mut().skip(2).take(107).zip(path.bytes()).for_each(|(place, byte)| *place = *byte);
    address
}

fn socket() -> usize {
    const STREAM: usize = 0o2_000_001;
    must(call!(nr::SOCKET, 1, STREAM), c"open a socket")
}

/// Makes the container's cgroup and process; 0 in the process.
fn clone(cgroup: &Cgroup) -> usize {
    container::clone(cgroup, if cgroup.v2 { NEW | NEW_CGROUP } else { NEW })
}

fn note(dir: &CStr, id: &CStr, pid: usize) {
    must(put(record(dir, id).c(), WRITE_NEW, Text::new().number(pid).bytes()), c"write the state");
}

fn forget(dir: &CStr, id: &CStr) {
    cgroup::remove(id);
    must(call!(nr::UNLINK, record(dir, id).c()), c"remove the state");
}

pub fn run(kind: Kind, dir: &CStr, id: &CStr) -> i32 {
    let (cgroup, filter) = (cgroup::make(id), open_filter(kind, dir));
    let pid = clone(&cgroup);
    if pid == 0 {
        container::enter(kind, dir, id, &cgroup);
        container::finish(kind, filter);
    }
    note(dir, id, pid);
    let mut status = 0i32;
    must(call!(nr::WAIT4, pid, &raw mut status), c"wait");
    forget(dir, id);
    status >> 8
}

pub fn create(kind: Kind, dir: &CStr, id: &CStr) -> i32 {
    let (cgroup, filter, door) = (cgroup::make(id), open_filter(kind, dir), socket());
    let address = address(dir, id);
    must(call!(nr::BIND, door, address.as_ptr(), address.len()), c"bind the socket");
    let mut ready = [0i32; 2];
    must(call!(nr::SOCKETPAIR, 1, 1, 0, ready.as_mut_ptr()), c"make a pair of sockets");
    let [ours, theirs] = ready;
    let pid = clone(&cgroup);
    if pid == 0 {
        let _ = call!(nr::CLOSE, ours);
        container::enter(kind, dir, id, &cgroup);
        confine(kind, filter);
        must(call!(nr::LISTEN, door, 1), c"listen");
        must(call!(nr::WRITE, theirs, c"", 1), c"tell of being ready");
        let _ = call!(nr::CLOSE, theirs);
        must(call!(nr::ACCEPT, door, 0, 0), c"wait for start");
        process::become_payload(Payload::Pause);
    }
    let _ = call!(nr::CLOSE, theirs);
    let mut byte = [0u8; 1];
    let told = must(call!(nr::READ, ours, byte.as_mut_ptr(), 1), c"wait for the container");
    note(dir, id, pid);
    i32::from(told != 1)
}

pub fn start(dir: &CStr, id: &CStr) -> i32 {
    let (address, door, mut byte) = (address(dir, id), socket(), [0u8; 1]);
    must(call!(nr::CONNECT, door, address.as_ptr(), address.len()), c"connect");
    // The other end is closed by the execve.
    let _ = call!(nr::READ, door, byte.as_mut_ptr(), 1);
    must(call!(nr::UNLINK, Text::of(&[dir, c"/", id, c".s"]).c()), c"remove the socket");
    0
}

pub fn exec(kind: Kind, dir: &CStr, id: &CStr) -> i32 {
    let (pid, filter, cgroup) = (recorded(&record(dir, id)), open_filter(kind, dir), cgroup::open(id));
    if !cgroup.v2 {
        cgroup::join(id);
    }
    let target = must(call!(nr::PIDFD_OPEN, pid, 0), c"open the process");
    must(call!(nr::SETNS, target, NEW | NEW_CGROUP), c"join the namespaces");
    let child = container::clone(&cgroup, 0);
    if child == 0 {
        must(call!(nr::SETSID), c"begin a session");
        container::finish(kind, filter);
    }
    let mut status = 0i32;
    must(call!(nr::WAIT4, child, &raw mut status), c"wait");
    status >> 8
}

/// The process of the container, by descriptor, if it is there.
fn target(dir: &CStr, id: &CStr) -> (usize, Result<usize, usize>) {
    let pid = recorded(&record(dir, id));
    (pid, call!(nr::PIDFD_OPEN, pid, 0))
}

pub fn state(dir: &CStr, id: &CStr) -> i32 {
    let (pid, process) = target(dir, id);
    let status: &[u8] = if process.is_ok() { b"running " } else { b"stopped " };
    let text = Text::new().and(status).number(pid).and(b"\n");
    must(call!(nr::WRITE, 1, text.bytes().as_ptr(), text.bytes().len()), c"write the status");
    0
}

pub fn kill(dir: &CStr, id: &CStr) -> i32 {
    const KILL: usize = 9;
    let process = must(target(dir, id).1, c"open the process");
    must(call!(nr::PIDFD_SEND_SIGNAL, process, KILL, 0, 0), c"send a signal");
    0
}

pub fn delete(dir: &CStr, id: &CStr) -> i32 {
    let _ = target(dir, id);
    forget(dir, id);
    0
}
