//! The runtime's own program, which a container must not be able to change (CVE-2019-5736), and what else of a process
//! that enters a container shows from within (CVE-2016-9962).

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use integration::{Bundle, Container, Context, Test, need, requires, test, trace};
use nix::fcntl::OFlag;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use serde_json::json;
use syscalls::Sysno;

const ALL: [&str; 5] = ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETPCAP"];

/// A container that may do more than one should.
fn strong(bundle: Bundle) -> Bundle {
    let sets = json!({"bounding": ALL, "permitted": ALL, "effective": ALL});
    bundle.patch(json!({"process": {"capabilities": sets, "noNewPrivileges": false}, "root": {"readonly": false}}))
}

/// A place to write to, whoever root is.
fn tmp() -> serde_json::Value {
    json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]})
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

/// What a container says that has looked for programs which are not its own: how many it saw, and how many of those it
/// could open for writing.
#[track_caller]
fn grabbed(container: &mut Container) -> [u32; 2] {
    let said = container.line();
    println!("{said}");
    let words: Vec<&str> = said.split(' ').collect();
    assert_eq!((words[0], words[2]), ("seen", "written"));
    [1, 3].map(|at| words[at].parse().unwrap())
}

/// The commands, as options.tsv has them, each with as many operands as it takes to be read; none is there.
fn commands() -> Vec<(&'static str, &'static [&'static str])> {
    let lines = include_str!("../data/options.tsv").lines().filter(|line| !line.starts_with('#'));
    let mut names: Vec<&str> = lines.filter_map(|line| line.split('\t').next()).filter(|n| *n != "coracle").collect();
    names.sort_unstable();
    names.dedup();
    let operands = |name: &&'static str| -> &'static [&'static str] {
        match *name {
            "features" | "list" | "help" => &[],
            "spec" => &["--bundle", "/nosuchbundle"],
            "exec" => &["nosuchthing", "/guest"],
            "mounts" => &["add", "nosuchthing", "/nosuchfile"],
            _ => &["nosuchthing"],
        }
    };
    names.iter().map(|name| (*name, operands(name))).collect()
}

/// When a call has executed itself again from where it cannot be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sealed {
    /// With its very first system calls, before the C library has started.
    First,
    /// When the command line was read, before any process was cloned.
    Later,
    Never,
}

fn sealed(t: &Context, words: &[&str]) -> Sealed {
    const FIRST: [Sysno; 4] = [Sysno::readlink, Sysno::open_tree, Sysno::mount_setattr, Sysno::execveat];
    let trace = trace(&t.coracle().bare().args(words), &t.path(""), None, None);
    let calls: Vec<Sysno> = trace.calls.iter().filter(|called| called.process == 0).map(|called| called.call).collect();
    let Some(at) = calls.iter().position(|call| *call == Sysno::execveat) else { return Sealed::Never };
    let clones = [Sysno::clone, Sysno::clone3, Sysno::fork, Sysno::vfork];
    assert!(!calls[..at].iter().any(|call| clones.contains(call)), "{words:?} clones before: {calls:?}");
    if calls.starts_with(&FIRST) { Sealed::First } else { Sealed::Later }
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
        for _ in 0..200 {
            container.exec(["/guest", "print", "x"]).ok();
        }
        // It may be killed before it is done: the container ends as soon as the file is there.
        let _ = container.exec(["/guest", "write", "/tmp/stop"]).code;
        let [seen, written] = grabbed(&mut container);
        assert!(seen > 0, "the container saw no other program");
        assert_eq!(written, 0, "the container opened one for writing");
        assert!(fs::read(&host).unwrap() == before, "the host's program has changed");
    }),
    test("CVE-2019-5736: a program of the host's that enters as it is can be written to", &[], |t| {
        requires!(need::program("/usr/bin/nsenter"));
        let (own, bundle) = (t.path("own"), strong(t.bundle()).args(&["/guest", "grab", "/stop", "/seen"]));
        fs::copy(t.guest(), &own).unwrap();
        let mut container = bundle.start();
        assert_eq!(container.line(), "looking");
        // Into the container's processes and nothing else, until it was seen there.
        let (pid, seen) = (container.pid().to_string(), bundle.rootfs().join("seen"));
        let enter = t.tool("/usr/bin/nsenter", &["--target", &pid, "--pid"]);
        enter.arg(&own).arg("wait-file").arg(seen).run().ok();
        fs::write(bundle.rootfs().join("stop"), "").unwrap();
        let [seen, written] = grabbed(&mut container);
        assert!(seen > 0 && written > 0, "seen {seen}, written {written}: the test above could not fail");
    }),
    test("CVE-2019-5736: the words that are looked at first are the commands that are sealed", &[], |t| {
        requires!(need::coracle(t));
        let (root, timings) = (t.root().display().to_string(), t.path("timings").display().to_string());
        let joined = format!("--root={root}");
        fs::create_dir_all(&root).unwrap();
        let spellings: [&[&str]; 3] =
            [&["--root", &root], &["--debug", &joined], &["-log-format", "json", "-root", &root]];
        for (command, operands) in commands() {
            let said = |before: &[&str]| sealed(t, &[before, &[command], operands].concat());
            // It is the command line as it is read in the end that decides. What is timed is left to that alone.
            let (clones, in_the_end) =
                (["create", "exec", "mounts", "restore", "run"], said(&["--timings", &timings, "--root", &root]));
            let wanted = if clones.contains(&command) { Sealed::Later } else { Sealed::Never };
            assert_eq!(in_the_end, wanted, "{command}");
            let first = match in_the_end {
                Sealed::Later if command != "mounts" => Sealed::First,
                other => other,
            };
            for before in spellings {
                assert_eq!(said(before), first, "{before:?} {command}");
            }
        }
        // Such a word may be something else: no harm is done, and the command is what it is.
        assert_eq!(sealed(t, &["--root", &root, "state", "run"]), Sealed::First);
        t.coracle().call(["state", "run"]).run().fails().stderr("container does not exist");
        // What comes as one argument is no such word, so that the end decides.
        assert_eq!(
            sealed(t, &["--root", &root, "--log-format=text", "mounts", "add", "running", "created"]),
            Sealed::Later
        );
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
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let users = t.bundle().namespace(json!({"type": "user"}));
        let users = strong(users.patch(json!({"linux": {"uidMappings": map, "gidMappings": map}})));
        for bundle in [t.bundle(), users] {
            let mut container = bundle.args(&["/guest", "peek", "/tmp/stop"]).mount(tmp()).start();
            assert_eq!(container.line(), "looking");
            for _ in 0..100 {
                container.exec(["/guest", "print", "x"]).ok();
            }
            // It may be killed before it is done: the container ends as soon as the file is there.
            let _ = container.exec(["/guest", "write", "/tmp/stop"]).code;
            let said = container.line();
            assert!(said.ends_with(" 0"), "descriptors beyond the standard three were seen: {said}");
        }
    }),
    test("CVE-2016-9962: descriptors of a program that is nobody's secret are seen", &[], |t| {
        let (bundle, file) = (t.bundle(), t.path("open"));
        fs::write(&file, "x").unwrap();
        fs::hard_link(t.guest(), bundle.rootfs().join("other")).unwrap();
        let bundle = bundle.with(t.coracle().launched(format!("open=3:{}", file.display()))).args(&["/other", "trap"]);
        let mut container = bundle.start_with(&["--preserve-fds", "1"]);
        assert_eq!(container.line(), "ready");
        let said = container.exec(["/guest", "peek", "/guest"]);
        said.ok().stdout("seen 1");
    }),
    test("CVE-2019-5736: without privilege the program that runs is in sealed memory", &[], |t| {
        let user = json!([{"containerID": 0, "hostID": 65534, "size": 1}]);
        let own = t.path("own");
        fs::copy(t.coracle().program(), &own).unwrap();
        std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
        let before = fs::read(&own).unwrap();
        let bundle = crate::rootless::bundle_of(t, 65534, &user).args(&["/guest", "trap"]);
        let bundle = bundle.with(t.peer(own.to_str().unwrap()).launched("user=65534"));
        let mut container = bundle.create();
        let handle = program(container.pid());
        assert!(!is_host_file(&handle, &own), "the user's own file runs");
        let overwritten = |when: &str| {
            use std::io::Write;
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handle));
            let written = fs::OpenOptions::new().write(true).open(path).and_then(|mut file| file.write_all(b"#!"));
            assert!(written.is_err(), "written to {when}");
        };
        overwritten("while it runs");
        container.kill("KILL").ok();
        container.wait();
        overwritten("after it has ended");
        assert!(fs::read(&own).unwrap() == before, "the user's program has changed");
    }),
    test("CVE-2019-5736: where files in memory may not be executed", &[], |t| {
        requires!(need::path("/proc/sys/vm/memfd_noexec"));
        requires!(need::program("/usr/bin/unshare"));
        let bundle = t.bundle().args(&["/guest", "print", "ran"]);
        bundle.save();
        // A setting of the pid namespace, which is one for this alone.
        let script = "echo 2 >/proc/sys/vm/memfd_noexec && exec \"$@\"";
        let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).command();
        let words = std::iter::once(call.get_program()).chain(call.get_args()).map(|word| word.to_str().unwrap());
        let unshare = ["--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh"];
        t.tool("/usr/bin/unshare", &unshare).args(words).run().ok().says("ran");
    }),
];
