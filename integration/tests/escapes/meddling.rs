//! A hook stands for the racing neighbour: it makes the change that one would make, at the moment that suits it best. One
//! leaves a neighbour behind that makes it at every moment.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use integration::{Bundle, ConsoleSocket, Container, Context, Test, need, reap_orphans, requires, test};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};

use super::{bare_dev, tmpfs};

const KEY: &str = "net/ipv4/ip_unprivileged_port_start";

/// A bundle in whose root file system, `$ROOT`, the script is run before it is entered: in the container's mount namespace.
fn meddled(bundle: Bundle, script: &str) -> Bundle {
    let root = bundle.rootfs();
    let script = format!("set -e; ROOT='{}'; {script}", root.display());
    let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]});
    bundle.patch(json!({"hooks": {"createContainer": [hook]}}))
}

/// The container's kernel parameter, read from outside, where nothing of the container is in the way.
fn parameter(t: &Context, container: &Container) -> String {
    let pid = container.pid().to_string();
    let file = format!("/proc/sys/{KEY}");
    t.tool("/usr/bin/nsenter", &["--target", &pid, "--net", "cat", &file]).run().ok().stdout.trim().to_owned()
}

/// A bundle in whose mount namespace a neighbour redirects the parameter, or all of /proc, over and over, to files of its
/// root file system: from before it is entered until there is `stop` in it.
fn raced(t: &Context) -> Bundle {
    let sysctl =
        json!({"linux": {"sysctl": {KEY.replace('/', "."): "77"}, "readonlyPaths": null, "maskedPaths": null}});
    let bundle = t.bundle().patch(sysctl).patch(json!({"root": {"readonly": false}}));
    let bundle = bundle.file("/fake", "fake").file(&format!("/fakes/sys/{KEY}"), "fake").args(&["/guest", "trap"]);
    let redirect = format!("'{}' redirect \"$ROOT\" 'sys/{KEY}' </dev/null >/dev/null 2>&1", t.guest().display());
    meddled(bundle, &format!("{redirect} & while ! [ -e \"$ROOT/racing\" ]; do kill -0 $!; sleep 0.01; done"))
}

/// Ends the neighbour; how often it has redirected something.
fn exchanges(bundle: &Bundle) -> u64 {
    let root = bundle.rootfs();
    fs::write(root.join("stop"), "").unwrap();
    if let Ok(racing) = fs::File::open(root.join("racing")) {
        Flock::lock(racing, FlockArg::LockExclusive).unwrap();
    }
    reap_orphans(0);
    let said = fs::read_to_string(root.join("raced")).unwrap_or_default();
    ["stop", "racing", "raced"].iter().for_each(|name| drop(fs::remove_file(root.join(name))));
    said.parse().unwrap_or(0)
}

/// A terminal over a socket for the bundle, which hangs up with the socket; the container if it could be created.
fn with_terminal(t: &Context, bundle: Bundle) -> Option<(Container, ConsoleSocket)> {
    let socket = ConsoleSocket::listen(t);
    let bundle = bundle.patch(json!({"process": {"terminal": true}})).args(&["/guest", "trap"]);
    let (container, output) = bundle.try_create(&["--console-socket", socket.path()]);
    if output.code == 0 {
        return Some((container, socket));
    }
    output.fails();
    None
}

/// Mount points of the container.
fn points(container: &Container) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    text.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect()
}

fn devpts() -> Value {
    json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts",
        "options": ["newinstance", "ptmxmode=0666", "mode=0620"]})
}

pub const TESTS: &[Test] = &[
    test("escapes: CVE-2025-52881, a kernel parameter is written to the kernel", &[], |t| {
        requires!(need::program("/usr/bin/nsenter"));
        let fake = t.path("fake");
        let file = format!("\"$ROOT/proc/sys/{KEY}\"");
        let scripts = [
            format!("mount --bind '{}' {file}", fake.display()),
            format!(
                "mount -t tmpfs fake \"$ROOT/proc/sys\"; mkdir -p \"$ROOT/proc/sys/net/ipv4\"; printf fake >{file}"
            ),
            format!(
                "mount -t tmpfs fake \"$ROOT/proc\"; mkdir -p \"$ROOT/proc/sys/net/ipv4\"; mount --bind '{}' {file}",
                fake.display()
            ),
        ];
        for script in scripts {
            fs::write(&fake, "fake").unwrap();
            let sysctl = json!({"linux": {"sysctl": {KEY.replace('/', "."): "77"}, "readonlyPaths": null}});
            let bundle = meddled(t.bundle().patch(sysctl), &script).args(&["/guest", "trap"]);
            let (container, output) = bundle.try_create(&[]);
            if output.code == 0 {
                assert_eq!(parameter(t, &container), "77", "{script}");
                let seen = container.exec(["/guest", "read", &format!("/proc/sys/{KEY}")]);
                assert_ne!(seen.stdout.trim(), "77", "the value went to the fake: {script}");
            }
            assert_eq!(fs::read_to_string(&fake).unwrap(), "fake", "{script}");
        }
    })
    .known(&[("runc 1.1", "writes to whatever is there")]),
    test("escapes: CVE-2025-52881, a companion redirects what is written to the kernel", &[], |t| {
        requires!(need::program("/usr/bin/nsenter"));
        let races = super::companion::races(50);
        let bundle = raced(t);
        let fakes = ["fake".to_owned(), format!("fakes/sys/{KEY}")];
        let (mut made, mut redirected) = (0, 0);
        for _ in 0..races {
            let (container, output) = bundle.try_create(&[]);
            let beside = exchanges(&bundle);
            if output.code == 0 {
                assert_eq!(parameter(t, &container), "77");
                made += 1;
                redirected += beside;
            }
            for fake in &fakes {
                let text = fs::read_to_string(bundle.rootfs().join(fake)).unwrap();
                assert_eq!(text, "fake", "the value went to {fake} of the image");
            }
        }
        println!("{made} of {races} containers were made beside {redirected} redirections");
        assert!(made > 0 && redirected > 2 * made, "{made} of {races} beside {redirected} race with nobody");
    })
    .limit(Duration::from_secs(1800))
    .known(&[("runc 1.1", "writes to whatever is there")]),
    test("escapes: CVE-2025-31133, a mount over /dev/null does not become a mask", &[], |t| {
        let fake = t.path("fake");
        fs::write(&fake, "fake").unwrap();
        let bundle = t.bundle().patch(json!({"linux": {"maskedPaths": ["/etc/passwd"]}}));
        let bundle = meddled(bundle, &format!("mount --bind '{}' \"$ROOT/dev/null\"", fake.display()));
        let output = bundle.args(&["/guest", "read", "/etc/passwd"]).run();
        assert_eq!(output.stdout, "", "the mask is the fake");
    }),
    test("escapes: CVE-2025-52565, /dev/console of an image is a link", &[], |t| {
        for target in ["/target", "/proc/sys/kernel/core_pattern"] {
            let bundle = bare_dev(t).mount(devpts()).file("/target", "x").link(target, "/dev/console");
            if let Some((container, _socket)) = with_terminal(t, bundle) {
                assert!(!points(&container).contains(&target.to_owned()), "the terminal is on {target}");
            }
        }
    })
    .known(&[
        ("runc 1.1", "mounts the terminal where the link leads"),
        ("crun 1.8", "mounts the terminal where the link leads"),
    ]),
    test("escapes: CVE-2025-52565, /dev/console is exchanged for a link", &[], |t| {
        for target in ["/target", "/proc/sys/kernel/core_pattern"] {
            let bundle = t.bundle().file("/target", "x");
            let bundle = meddled(bundle, &format!("ln -sf '{target}' \"$ROOT/dev/console\""));
            if let Some((container, _socket)) = with_terminal(t, bundle) {
                assert!(!points(&container).contains(&target.to_owned()), "the terminal is on {target}");
            }
        }
    })
    .known(&[
        ("runc 1.1", "mounts the terminal where the link leads"),
        ("crun 1.8", "mounts the terminal where the link leads"),
    ]),
    test("escapes: CVE-2025-52565, /dev/pts of an image is none", &[], |t| {
        let fakes: [fn(&std::path::Path); 3] = [
            |pts| fs::write(pts.join("ptmx"), "").unwrap(),
            |pts| symlink("/dev/ptmx", pts.join("ptmx")).unwrap(),
            |pts| symlink("/proc/self/fd/0", pts.join("ptmx")).unwrap(),
        ];
        for fake in fakes {
            let bundle = bare_dev(t).directory("/dev/pts");
            let pts = bundle.rootfs().join("dev/pts");
            fake(&pts);
            // By its path it is opened.
            t.helper(&["open", pts.join("ptmx").to_str().unwrap(), "r"]).run().ok();
            assert!(with_terminal(t, bundle).is_none(), "a terminal of the image's making");
        }
        let real = bare_dev(t).directory("/dev/pts").mount(devpts());
        assert!(with_terminal(t, real).is_some(), "nor one of a devpts: this test could not fail");
    }),
    test("escapes: CVE-2025-52565, /dev/pts is exchanged for files", &[], |t| {
        let fake = "umount \"$ROOT/dev/pts\"; : >\"$ROOT/dev/pts/ptmx\"; ln -s /etc/passwd \"$ROOT/dev/pts/0\"";
        assert!(with_terminal(t, meddled(t.bundle(), fake)).is_none(), "a terminal of somebody else's making");
        let node =
            "umount \"$ROOT/dev/pts\"; mknod \"$ROOT/dev/pts/ptmx\" c 5 2; ln -s /etc/passwd \"$ROOT/dev/pts/0\"";
        assert!(with_terminal(t, meddled(t.bundle(), node)).is_none(), "a terminal of somebody else's making");
        let real = "umount \"$ROOT/dev/pts\"; mount -t devpts -o newinstance,ptmxmode=0666 devpts \"$ROOT/dev/pts\"";
        assert!(with_terminal(t, meddled(t.bundle(), real)).is_some(), "nor one of a devpts: this test could not fail");
    }),
    test("escapes: CVE-2024-45310, what the program needs is made inside though its place was exchanged", &[], |t| {
        let canary = super::Canary::new(t);
        let bundle = t.bundle().directory("/a/b").patch(json!({"process": {"cwd": "/a/b/c/d"}}));
        let bundle = bundle.patch(
            json!({"root": {"readonly": false}, "linux": {"maskedPaths": ["/a/b/bird"], "readonlyPaths": ["/a/b/e"]}}),
        );
        let outside = canary.0.display();
        for link in [format!("{outside}"), format!("../../../../../../../../../../../..{outside}")] {
            let script = format!("mkdir -p \"$ROOT/a\"; rm -rf \"$ROOT/a/b\"; ln -s '{link}' \"$ROOT/a/b\"");
            let _ = meddled(bundle.again(), &script).run().code;
            canary.lives();
        }
        let inside = meddled(t.bundle().mount(tmpfs("/mnt")), "test -d \"$ROOT/mnt\"");
        inside.run().ok();
    }),
];
