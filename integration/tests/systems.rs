//! Whole systems as root filesystems, and configurations others have written.

use std::path::Path;

use integration::{Bundle, Container, Context, Pty, Running, Test, need, requires, skip, test};
use serde_json::{Value, json};

/// What engines give a container's root.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Builds two packages and takes them through their life; the output of each step only matters when it fails.
const PACKAGES: &str = r#"
set -e
export DEBIAN_FRONTEND=noninteractive
quiet() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; echo "failed: $*"; exit 1; }; }
package() {
    mkdir -p "/tmp/$1/DEBIAN" "/tmp/$1/opt"
    echo "of $1" >"/tmp/$1/opt/$1"
    chown games:games "/tmp/$1/opt/$1"
    printf 'Package: %s\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a test\n' "$1" >"/tmp/$1/DEBIAN/control"
    printf '#!/bin/sh\nid -u >/opt/%s.configured\n' "$1" >"/tmp/$1/DEBIAN/postinst"
    chmod 755 "/tmp/$1/DEBIAN/postinst"
    quiet dpkg-deb --build "/tmp/$1" "/tmp/$1.deb"
}
quiet dpkg --configure -a
package first
package second
quiet dpkg -i /tmp/first.deb
quiet apt-get install -y /tmp/second.deb
cat /opt/first /opt/second /opt/first.configured /opt/second.configured
stat -c %U /opt/first
quiet apt-get purge -y first second
ls /opt
"#;

/// Accounts, other users, pipes, perl and the terminal's absence.
const ACCOUNTS: &str = r#"
set -e
useradd --create-home someone
su someone -c 'id -un; echo $HOME; touch $HOME/file'
stat -c %U /home/someone/file
seq 1000 | sort -rn | head -1
perl -e 'print 6 * 7, "\n"'
userdel --remove someone
test -t 0 || echo no terminal
"#;

fn rights(config: &mut Value) {
    config["root"]["readonly"] = json!(false);
    let sets = ["bounding", "effective", "permitted"].map(|set| (set.to_owned(), json!(CAPABILITIES)));
    config["process"]["capabilities"] = Value::Object(sets.into_iter().collect());
    config["process"]["noNewPrivileges"] = json!(false);
}

/// A Debian system of its own, with what engines allow.
fn debian(t: &Context, args: &[&str]) -> Bundle {
    let Some(archive) = std::env::var_os("DEBIAN_ARCHIVE") else {
        skip("needs DEBIAN_ARCHIVE, a root filesystem made by hack/debian")
    };
    let root = t.path("debian");
    std::fs::create_dir(&root).unwrap();
    let (root, archive) = (root.to_str().unwrap(), archive.to_str().unwrap());
    t.tool("/bin/tar", &["-C", root, "-xpf", archive]).run().ok();
    t.bundle().args(args).edit(|config| {
        config["root"]["path"] = json!(root);
        rights(config);
    })
}

/// A root filesystem of programs of the host, or of all that busybox is.
fn made(t: &Context, words: &str) -> String {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hack/lib.sh");
    let script = format!(". {}; make_rootfs \"$1\" {words}", library.display());
    let root = t.path(&t.unique()).to_str().unwrap().to_owned();
    t.tool("/bin/bash", &["-ec", &script, "bash", &root]).run().ok();
    root
}

fn on(bundle: &Bundle, pty: &Pty) -> (Running, Container) {
    let container = Container::named(bundle.coracle(), &bundle.id());
    let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(container.id());
    (call.launched(format!("tty={}", pty.path().display())).spawn(), container)
}

/// Has another runtime write the configuration, and runs it as it is: a shell on a terminal.
fn default_of(t: &Context, program: &str) {
    requires!(need::program(program));
    let bundle = t.bundle();
    std::fs::remove_dir_all(bundle.rootfs()).unwrap();
    std::fs::rename(made(t, "sh"), bundle.rootfs()).unwrap();
    t.tool(program, &["spec"]).cwd(bundle.path()).run().ok();
    let mut pty = Pty::open(24, 80);
    let (mut running, _container) = on(&bundle, &pty);
    pty.expect("#");
    pty.write("echo $((6*7)) $$; exit 3\n");
    pty.expect("42 1");
    running.wait().code(3);
}

pub const TESTS: &[Test] = &[
    test("systems: programs of the host with their libraries", &[], |t| {
        let bundle = t.bundle().args(&["/bin/sh", "-c", "id; ls /etc; cat /etc/passwd | grep nobody; env | sort"]);
        let bundle = bundle.patch(json!({"root": {"path": made(t, "sh ls cat id grep env sort")}}));
        bundle.run().ok().stdout("uid=0(root) gid=0(root)").stdout("os-release").stdout("nobody:x:65534");
    }),
    test("systems: busybox", &[], |t| {
        requires!(need::program("/bin/busybox"));
        let bundle = t.bundle().args(&["/bin/busybox", "sh", "-c", "busybox ps | busybox wc -l; busybox id -u"]);
        let bundle = bundle.patch(json!({"root": {"path": made(t, "busybox")}, "process": {"env": ["PATH=/bin"]}}));
        // The header, the shell, ps and wc.
        bundle.run().ok().says("4\n0");
    }),
    test("systems: Debian installs and removes packages", &[], |t| {
        let run = debian(t, &["/bin/sh", "-c", PACKAGES]).run();
        run.ok().says("of first\nof second\n0\n0\ngames\nfirst.configured\nsecond.configured");
    }),
    test("systems: Debian has users, pipes and perl", &[], |t| {
        let run = debian(t, &["/bin/bash", "-c", ACCOUNTS]).run();
        run.ok().says("someone\n/home/someone\nsomeone\n1000\n42\nno terminal");
    }),
    test("systems: Debian on a terminal", &[], |t| {
        let bundle = debian(t, &["/bin/bash", "--norc", "-i"]);
        // The prompt is the number of the command.
        let bundle = bundle.patch(json!({"process": {"terminal": true, "env": ["PATH=/bin", "PS1=<\\#>"]}}));
        bundle.save();
        let mut pty = Pty::open(24, 80);
        let (mut running, _container) = on(&bundle, &pty);
        pty.expect("<1>");
        // The job says itself that it is in the foreground; before that the key would be the shell's.
        pty.write("stty size; tty; sh -c 'echo g\"\"o; exec sleep 100'\n");
        pty.expect("/dev/pts/0");
        pty.expect("go\r\n");
        pty.write("\x03");
        pty.expect("<2>");
        pty.write("jobs; exit $((6*7))\n");
        running.wait().code(42);
    }),
    test("systems: the configuration runc writes", &[], |t| default_of(t, "/usr/sbin/runc")),
    test("systems: the configuration crun writes", &[], |t| default_of(t, "/usr/bin/crun")),
];
