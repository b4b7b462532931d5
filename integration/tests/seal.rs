//! The runtime's own program, which a container must not be able to change (CVE-2019-5736), and what else of a process
//! that enters a container shows from within (CVE-2016-9962).

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use integration::{Bundle, Container, Test, need, requires, test};
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use serde_json::json;

const ALL: [&str; 5] = ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETPCAP"];

/// A container that may do more than one should.
fn strong(bundle: Bundle) -> Bundle {
    let sets = json!({"bounding": ALL, "permitted": ALL, "effective": ALL});
    bundle.patch(json!({"process": {"capabilities": sets, "noNewPrivileges": false}, "root": {"readonly": false}}))
}

/// What the program of `pid` is, as a handle nothing was read from.
fn program(pid: i32) -> fs::File {
    let path = format!("/proc/{pid}/exe");
    fs::OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path).unwrap()
}

fn writable(handle: &fs::File) -> bool {
    use std::os::fd::AsRawFd;
    fs::OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", handle.as_raw_fd())).is_ok()
}

fn is_host_file(handle: &fs::File, host: &Path) -> bool {
    let (here, there) = (handle.metadata().unwrap(), fs::metadata(host).unwrap());
    let same = (here.dev(), here.ino()) == (there.dev(), there.ino());
    same && !fstatvfs(handle).unwrap().flags().contains(FsFlags::ST_RDONLY)
}

pub const TESTS: &[Test] = &[
    test("CVE-2019-5736: a handle on the first process's program cannot be written to", &[], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        let handle = program(container.pid());
        assert!(!is_host_file(&handle, t.coracle().program()), "the host's own file runs");
        assert!(!writable(&handle), "while it runs");
        container.kill("KILL").ok();
        container.wait();
        assert!(!writable(&handle), "after it has ended");
        assert_eq!(container.exec(["/guest"]).code, 255);
    }),
    test("CVE-2019-5736: the name of the process stays the program's", &[], |t| {
        let container = t.bundle().args(&["/guest", "trap"]).create();
        let name = fs::read_to_string(format!("/proc/{}/comm", container.pid())).unwrap();
        let file = t.coracle().program().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name.trim_end(), file);
    })
    .known(&[("runc", "is called 6 or runc:[2:INIT]")]),
    test("CVE-2019-5736: processes that enter, seen from within", &[], |t| {
        requires!(need::verb(t, "exec"));
        let host = t.coracle().program().to_owned();
        let before = fs::read(&host).unwrap();
        let bundle = strong(t.bundle()).args(&["/guest", "grab", "/tmp/stop"]);
        let mut container: Container = bundle.start();
        assert_eq!(container.line(), "looking");
        for _ in 0..100 {
            container.exec(["/guest", "print", "x"]).ok();
        }
        // It may be killed before it is done: the container ends as soon as the file is there.
        let _ = container.exec(["/guest", "write", "/tmp/stop"]).code;
        let said = container.line();
        println!("{said}");
        let words: Vec<&str> = said.split(' ').collect();
        assert!(words[1] != "0", "the container saw no other program: {said}");
        assert_eq!(words[3], "0", "the container opened one for writing: {said}");
        assert!(fs::read(&host).unwrap() == before, "the host's program has changed");
    }),
    test("CVE-2019-5736: an image that names /proc/self/exe", &[], |t| {
        let host = t.coracle().program().to_owned();
        let before = fs::read(&host).unwrap();
        let bundle = t.bundle().args(&["/proc/self/exe", "--version"]);
        let output = bundle.run();
        println!("{}", output.stdout);
        assert!(fs::read(&host).unwrap() == before, "the host's program has changed");
    }),
    test("CVE-2016-9962: descriptors of a process that enters cannot be reached", &[], |t| {
        let writable = json!({"root": {"readonly": false}});
        let bundle = t.bundle().patch(writable).args(&["/guest", "peek", "/tmp/stop"]);
        let mut container = bundle.start();
        assert_eq!(container.line(), "looking");
        for _ in 0..100 {
            container.exec(["/guest", "print", "x"]).ok();
        }
        // It may be killed before it is done: the container ends as soon as the file is there.
        let _ = container.exec(["/guest", "write", "/tmp/stop"]).code;
        let said = container.line();
        assert!(said.ends_with(" 0"), "descriptors beyond the standard three were seen: {said}");
    }),
];
