//! Images, configurations and neighbours that want a mount or a device to land where it must not: on the host, or
//! where the runtime itself writes. Each is named after the weakness it was found as. SECURITY.md lists them all.

pub mod companion;
pub mod descriptors;
pub mod meddling;
pub mod reach;
pub mod rights;
pub mod table;

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use integration::{Bundle, Context, Facts, HostMount, Test, need, requires, test};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};

/// A directory of the host that nobody may touch: what is in it, what is mounted there.
struct Canary(PathBuf);

impl Canary {
    fn new(t: &Context) -> Canary {
        let path = t.path("canary");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("bird"), "alive").unwrap();
        Canary(path)
    }

    #[track_caller]
    fn lives(&self) {
        assert_eq!(self.harm(), None, "{}", self.0.display());
    }

    /// What has been done to it.
    fn harm(&self) -> Option<&'static str> {
        let names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if mounts.contains(self.0.to_str().unwrap()) {
            return Some("something is mounted on the host's directory");
        }
        let untouched = names == ["bird"] && fs::read_to_string(self.0.join("bird")).unwrap() == "alive";
        (!untouched).then_some("the host's directory was written to")
    }
}

fn bind(destination: &str, source: impl AsRef<Path>) -> Value {
    json!({"destination": destination, "source": source.as_ref(), "options": ["bind"]})
}

fn tmpfs(destination: &str) -> Value {
    json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"})
}

/// Exchanges two names over and over while `work` is done, for a few seconds at most.
fn while_exchanging(a: &Path, b: &Path, work: impl Fn()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).unwrap();
            }
        });
        let end = Instant::now() + Duration::from_secs(3);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while Instant::now() < end {
                work();
            }
        }));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// A volume in which `dir` and `link`, which leads to the canary, change places, mounted on /mnt.
fn volume(t: &Context, canary: &Canary) -> (HostMount, Value) {
    let volume = HostMount::tmpfs(&t.path("volume"), "mode=755");
    fs::create_dir(volume.path().join("dir")).unwrap();
    symlink(&canary.0, volume.path().join("link")).unwrap();
    let mount = bind("/mnt", volume.path());
    (volume, mount)
}

/// Bundles whose image or volume has a link to /fake where a file system of this type is to be mounted: at this path.
fn led_away(t: &Context) -> Vec<(Bundle, &'static str, &'static str)> {
    let volume = t.path("volume");
    fs::create_dir(&volume).unwrap();
    symlink("/fake", volume.join("here")).unwrap();
    let bundle = |kind, destination: &str| {
        let bundle = t.bundle().directory("/fake");
        let mount = json!({"destination": destination, "type": kind, "source": kind});
        match destination {
            "/link/here" => bundle.directory("/deep").link("/deep", "/link").link("/fake", "/deep/here").mount(mount),
            "/mnt/here" => bundle.mount(bind("/mnt", &volume)).mount(mount),
            own => {
                fs::remove_dir(bundle.rootfs().join(own.trim_start_matches('/'))).unwrap();
                bundle.link("/fake", own)
            }
        }
    };
    let places = [("proc", "/proc"), ("sysfs", "/sys")];
    let others = ["proc", "sysfs"].into_iter().flat_map(|kind| [(kind, "/link/here"), (kind, "/mnt/here")]);
    places.into_iter().chain(others).map(|(kind, at)| (bundle(kind, at), kind, at)).collect()
}

/// A bundle whose /dev is the image's own.
fn bare_dev(t: &Context) -> Bundle {
    let bundle = t.bundle().without_mounts(&["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]);
    bundle.patch(json!({"root": {"readonly": false}}))
}

/// Of the mount on top at /sys/fs/cgroup and of those below it.
#[track_caller]
fn cgroups_are_readonly(facts: &Facts) {
    let mounts = facts.at("/mounts").as_array().unwrap();
    let top = mounts.iter().rposition(|mount| mount["point"] == "/sys/fs/cgroup").unwrap();
    for mount in &mounts[top..] {
        let below = mount["point"].as_str().is_some_and(|point| point.starts_with("/sys/fs/cgroup"));
        let writable = mount["options"].as_array().unwrap().iter().any(|option| option == "rw");
        assert!(!(below && writable), "{mount}");
    }
}

pub const TESTS: &[Test] = &[
    test("escapes: CVE-2019-16884, nothing but procfs on /proc", &[], |t| {
        let source = t.path("fake");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "fake").unwrap();
        for destination in ["/proc", "/proc/", "/mnt/../proc", "proc", "/link", "/there"] {
            let image = || t.bundle().link("/proc", "/link").link("../..//./proc", "/there");
            image().mount(bind(destination, &source)).run().fails();
            image().mount(tmpfs(destination)).run().fails();
            image().without_mounts(&["/proc"]).mount(tmpfs(destination)).run().fails();
        }
        t.bundle().mount(json!({"destination": "/proc", "source": "/proc", "options": ["rbind"]})).run().ok();
        let linked = t.bundle().link("/proc", "/link");
        linked.mount(json!({"destination": "/link", "source": "/proc", "options": ["rbind"]})).run().ok();
    })
    .known(&[("crun 1.8", "lets all be mounted on /proc")]),
    test("escapes: CVE-2019-16884, nothing below /proc but files that may be replaced", &[], |t| {
        let source = t.path("fake");
        fs::create_dir(&source).unwrap();
        fs::write(source.join("file"), "fake").unwrap();
        for below in ["sys", "self/attr", "1", "sys/kernel", "../proc/sys", "sysvipc"] {
            for top in ["/proc", "/link"] {
                let destination = format!("{top}/{below}");
                t.bundle().link("/proc", "/link").mount(bind(&destination, &source)).run().fails();
                t.bundle().link("/proc", "/link").mount(tmpfs(&destination)).run().fails();
            }
        }
        for (below, top) in [("cpuinfo", "/proc"), ("uptime", "/link"), ("sys/kernel/ns_last_pid", "/proc")] {
            let destination = format!("{top}/{below}");
            let bundle = t.bundle().link("/proc", "/link").mount(bind(&destination, source.join("file")));
            bundle.args(&["/guest", "read", &format!("/proc/{below}")]).run().ok().says("fake");
        }
    })
    .known(&[("runc 1.1", "lets a tmpfs be mounted below /proc"), ("crun 1.8", "lets all be mounted below /proc")]),
    test("escapes: CVE-2019-19921 CVE-2023-27561 CVE-2023-28642, proc and sysfs on real directories only", &[], |t| {
        for (bundle, ..) in led_away(t) {
            bundle.run().fails();
        }
        // Where no link is on the way they are mounted.
        for kind in ["proc", "sysfs"] {
            let mount = json!({"destination": "/fake/here", "type": kind, "source": kind});
            t.bundle().directory("/fake/here").mount(mount).run().ok();
        }
    }),
    test(
        "escapes: CVE-2019-19921 CVE-2023-27561 CVE-2023-28642, mounted by its path it would be elsewhere",
        &[],
        |t| {
            requires!(need::program("/usr/bin/unshare"));
            for (bundle, kind, destination) in led_away(t) {
                let (root, volume) = (bundle.rootfs(), t.path("volume"));
                let script = format!(
                    "mount --bind '{1}' '{0}/mnt' && chroot '{0}' /guest mount {kind} {destination} && cat /proc/self/mountinfo",
                    root.display(),
                    volume.display()
                );
                let mounts = t.tool("/usr/bin/unshare", &["--mount", "sh", "-c", &script]).run().ok().stdout.clone();
                let fake = format!("{}/fake ", root.display());
                let there = mounts.lines().any(|line| line.contains(&fake) && line.contains(&format!(" - {kind} ")));
                assert!(
                    there,
                    "{kind} is not where {destination} leads: the test beside this one could not fail\n{mounts}"
                );
            }
        },
    ),
    test("escapes: CVE-2021-30465, a destination exchanged for a link stays inside", &[20], |t| {
        let canary = Canary::new(t);
        let (volume, shared) = volume(t, &canary);
        let (dir, link) = (volume.path().join("dir"), volume.path().join("link"));
        let bundle =
            t.bundle().mount(shared).mount(tmpfs("/mnt/dir")).mount(bind("/mnt/dir", t.guest().parent().unwrap()));
        while_exchanging(&dir, &link, || assert!(bundle.run().code >= 0));
        canary.lives();
    }),
    test("escapes: CVE-2021-30465, mounted or made by its path it would be outside", &[], |t| {
        requires!(need::program("/usr/bin/unshare"));
        let canary = Canary::new(t);
        let (volume, _) = volume(t, &canary);
        let (dir, link) = (volume.path().join("dir"), volume.path().join("link"));
        // In a mount namespace of its own, for in this one what is mounted upon cannot be exchanged.
        let script = format!("mount -t tmpfs tmpfs '{}' && cat /proc/self/mountinfo", dir.display());
        let harmed = Cell::new((false, false));
        while_exchanging(&dir, &link, || {
            let mounts = t.tool("/usr/bin/unshare", &["--mount", "sh", "-c", &script]).run().ok().stdout.clone();
            drop(fs::write(dir.join("made"), ""));
            let before = harmed.get();
            harmed.set((before.0 || mounts.contains(canary.0.to_str().unwrap()), before.1 || canary.harm().is_some()));
        });
        assert_eq!(harmed.get(), (true, true), "mounted and made outside: the tests beside this one could not fail");
    }),
    test("escapes: CVE-2024-45310, what is made for a mount is made inside", &[20], |t| {
        let canary = Canary::new(t);
        let file = t.path("file");
        fs::write(&file, "content").unwrap();
        let outside = canary.0.to_str().unwrap();
        for target in [outside, &format!("../../../../../../../../../../..{outside}"), &format!("{outside}/missing")] {
            let bundle = t.bundle().link(target, "/link");
            let bundle =
                bundle.mount(tmpfs("/link/made")).mount(bind("/link/file", &file)).mount(tmpfs("/link/a/../b"));
            bundle.args(&["/guest", "read", "/link/file"]).run().ok().says("content");
            let bundle = t.bundle().link(&format!("{target}/name"), "/link").mount(bind("/link", &file));
            bundle.args(&["/guest", "read", "/link"]).run().ok().says("content");
        }
        canary.lives();
        let (volume, shared) = volume(t, &canary);
        let (dir, link) = (volume.path().join("dir"), volume.path().join("link"));
        let bundle = t.bundle().mount(shared).mount(tmpfs("/mnt/dir/made/deep")).mount(bind("/mnt/dir/file", &file));
        while_exchanging(&dir, &link, || assert!(bundle.run().code >= 0));
        canary.lives();
    })
    .known(&[("crun 1.8", "does not make the ends of links")]),
    test("escapes: CVE-2025-31133, masks come from a real /dev/null", &[], |t| {
        let mask = json!({"linux": {"maskedPaths": ["/etc/passwd", "/etc/shadow"]}});
        let fakes: [fn(&Path); 2] =
            [|path| symlink("/proc/sys/kernel/core_pattern", path).unwrap(), |path| fs::write(path, "fake").unwrap()];
        for fake in fakes {
            let bundle = bare_dev(t).patch(mask.clone());
            fake(&bundle.rootfs().join("dev/null"));
            bundle.run().fails();
            let source = t.path(&t.unique());
            fs::create_dir(&source).unwrap();
            fake(&source.join("null"));
            bare_dev(t).patch(mask.clone()).mount(bind("/dev", &source)).run().fails();
        }
    })
    .known(&[
        ("runc 1.1", "masks with whatever is called /dev/null"),
        ("crun 1.8", "masks with the host's, and so takes such an image"),
    ]),
    test("escapes: CVE-2025-31133, a /dev/null exchanged after it was made", &[], |t| {
        let bundle = bare_dev(t).patch(json!({"linux": {"maskedPaths": ["/etc/passwd"]}}));
        let null = bundle.rootfs().join("dev/null");
        let script = format!("rm {0} && ln -s /proc/sys/kernel/core_pattern {0}", null.display());
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
        bundle.patch(json!({"hooks": {"createRuntime": [hook]}})).run().fails();
    })
    .known(&[("runc 1.1", "masks with whatever is called /dev/null")]),
    test("escapes: CVE-2026-41579, an image whose /dev leads to the host", &[], |t| {
        let canary = Canary::new(t);
        let outside = canary.0.to_str().unwrap();
        fs::write(t.path("ptmx"), "host").unwrap();
        for target in [outside, &format!("../../../../../../../../../../..{outside}"), &format!("{outside}/missing")] {
            let bundle = bare_dev(t);
            fs::remove_dir(bundle.rootfs().join("dev")).unwrap();
            let bundle = bundle.link(target, "/dev");
            // It may fail or make its devices inside; the host is what matters.
            let _ = bundle.run().code;
            canary.lives();
            assert!(fs::metadata(canary.0.join("missing")).is_err());
        }
    })
    .known(&[("runc 1.1", "makes the links of /dev by path"), ("crun 1.8", "makes devices and links by path")]),
    test("escapes: CVE-2023-25809, cgroups are read-only at every level", &[], |t| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let users = json!({"linux": {"uidMappings": map, "gidMappings": map}});
        let sys =
            json!({"destination": "/sys", "source": "/sys", "options": ["rbind", "ro", "nosuid", "nodev", "noexec"]});
        for v2 in [false, true] {
            if v2 && need::unified().is_err() {
                continue;
            }
            let bundle = t.bundle().without_namespace("cgroup").namespace(json!({"type": "user"})).patch(users.clone());
            let cgroup = bundle.config()["mounts"][6].clone();
            assert_eq!(cgroup["destination"], "/sys/fs/cgroup");
            let bundle = bundle.without_mounts(&["/sys", "/sys/fs/cgroup"]).mount(sys.clone()).mount(cgroup);
            let facts = bundle.with(if v2 { t.coracle().v2() } else { t.coracle() }).facts();
            cgroups_are_readonly(&facts);
        }
    })
    .known(&[("runc 1.1", "leaves the tmpfs of the v1 hierarchies writable")]),
    test("escapes: CVE-2021-43784, text that the kernel would cut short", &[], |t| {
        for (field, value) in [("destination", "/mnt\0x"), ("source", "/tmp\0x"), ("type", "tmpfs\0x")] {
            let mut mount = tmpfs("/mnt");
            mount[field] = json!(value);
            t.bundle().mount(mount).run().fails();
        }
        t.bundle().mount(json!({"destination": "/mnt", "type": "tmpfs", "options": ["mode=755\0x"]})).run().fails();
    })
    .known(&[("crun 1.8", "takes what is before the NUL byte")]),
    test("escapes: a device is refused where something else is", &[277], |t| {
        let device = json!({"linux": {"devices": [{"path": "/dev/odd", "type": "c", "major": 1, "minor": 3}]}});
        let wrong: [fn(&Path); 3] = [
            |path| fs::write(path, "file").unwrap(),
            |path| symlink("/dev/null", path).unwrap(),
            |path| fs::create_dir(path).unwrap(),
        ];
        for wrong in wrong {
            let bundle = bare_dev(t).patch(device.clone());
            wrong(&bundle.rootfs().join("dev/odd"));
            bundle.run().fails().stderr("/dev/odd");
        }
    })
    .known(&[("runc 1.1", "takes what is there"), ("crun 1.8", "takes what is there")]),
    test("escapes: without a mount namespace nothing is mounted on the host", &[], |t| {
        // Other tests mount at the same time: what counts is what is below this one's files.
        let here = t.path("").display().to_string();
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = || mounts().lines().filter(|line| line.contains(&here)).map(str::to_owned).collect::<Vec<_>>();
        let before = own();
        let bare = || {
            let bundle = t.bundle().without_namespace("mount").edit(|config| config["mounts"] = json!([]));
            bundle.patch(json!({"root": {"readonly": false}, "linux": {"maskedPaths": null, "readonlyPaths": null}}))
        };
        bare().args(&["/guest", "list", "/"]).run().ok().stdout("guest");
        bare().mount(tmpfs("/mnt")).run().fails().stderr("mount namespace");
        bare().patch(json!({"root": {"readonly": true}})).run().fails().stderr("mount namespace");
        bare().patch(json!({"linux": {"maskedPaths": ["/etc"]}})).run().fails().stderr("mount namespace");
        bare().patch(json!({"linux": {"readonlyPaths": ["/etc"]}})).run().fails().stderr("mount namespace");
        assert_eq!(own(), before);
    })
    .known(&[("runc 1.1", "mounts on the host, and leaves it there"), ("crun 1.8", "mounts on the host")]),
    test("escapes: links that lead nowhere yet are followed and their ends made", &[20, 205], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let bundle =
            bundle.link("/new/deep/place", "/link").link("sub/../other", "/mnt/second").link("link/more", "/chain");
        let bundle =
            bundle.mount(bind("/link", "extra")).mount(bind("/mnt/second/x", "extra/file")).mount(tmpfs("/chain"));
        let facts = bundle.args(&["/guest", "probe", "/new/deep/place/file"]).facts();
        facts.is("/paths/~1new~1deep~1place~1file/read", &json!("ok"));
        for point in ["/new/deep/place", "/mnt/other/x", "/new/deep/place/more"] {
            assert!(facts.mount(point).is_some(), "nothing is mounted on {point}");
        }
        t.bundle().link("/b", "/a").link("/a", "/b").mount(tmpfs("/a/x")).run().fails().stderr("ELOOP");
    })
    .known(&[("runc 1.1", "says it in other words"), ("crun 1.8", "does not make the ends of links")]),
    test("escapes: a source in the root file system is what earlier mounts made of it", &[16], |t| {
        let bundle = t.bundle().file("/../extra/file", "bound");
        let rootfs = bundle.rootfs();
        let bundle = bundle.mount(bind("/mnt", "extra")).mount(bind("/tmp", rootfs.join("mnt")));
        bundle.args(&["/guest", "read", "/tmp/file"]).run().ok().says("bound");
    }),
    test("escapes: options longer than fsconfig takes", &[25], |t| {
        requires!(need::filesystem("overlay"));
        let layers: Vec<String> = (0..8)
            .map(|number| {
                let path = t.path(&format!("a-layer-with-a-name-of-some-length-{number}"));
                fs::create_dir(&path).unwrap();
                fs::write(path.join(format!("file{number}")), "x").unwrap();
                path.to_str().unwrap().to_owned()
            })
            .collect();
        let lower = format!("lowerdir={}", layers.join(":"));
        assert!(lower.len() > 300);
        let mount = json!({"destination": "/mnt", "type": "overlay", "source": "overlay", "options": [lower, "nosuid", "rnodev"]});
        let facts = t.bundle().mount(mount).args(&["/guest", "probe", "/mnt/file0", "/mnt/file7"]).facts();
        facts.is("/paths/~1mnt~1file0/read", &json!("ok")).is("/paths/~1mnt~1file7/read", &json!("ok"));
        assert!(facts.mount_options("/mnt").contains(&"nosuid".to_owned()));
    }),
    test("escapes: tmpcopyup keeps owners, modes, links and kinds", &[], |t| {
        let bundle = t.bundle().file("/data/sub/file", "content").link("sub/file", "/data/link");
        let data = bundle.rootfs().join("data");
        std::os::unix::fs::chown(data.join("sub/file"), Some(7), Some(8)).unwrap();
        fs::set_permissions(data.join("sub"), std::os::unix::fs::PermissionsExt::from_mode(0o2750)).unwrap();
        nix::unistd::mkfifo(&data.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
        let mount = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]});
        let paths = ["/guest", "probe", "/data", "/data/sub", "/data/sub/file", "/data/link", "/data/pipe"];
        let facts = bundle.mount(mount).args(&paths).facts();
        let is = |path: &str, field: &str, value: Value| {
            facts.is(&format!("/paths/{}/{field}", path.replace('/', "~1")), &value);
        };
        is("/data/sub", "mode", json!("2750"));
        is("/data/sub/file", "uid", json!(7));
        is("/data/sub/file", "gid", json!(8));
        is("/data/sub/file", "size", json!(7));
        is("/data/link", "target", json!("sub/file"));
        is("/data/pipe", "kind", json!("p"));
        is("/data", "write", json!("EROFS"));
        assert_eq!(fs::metadata(data.join("sub/file")).unwrap().uid(), 7);
    })
    .known(&[("runc 1.1", "fails on a fifo, or forgets owners")]),
];
