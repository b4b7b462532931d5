//! A hostile companion shares the root file system and the volumes of containers that are made, and exchanges their
//! directories and files for links to the host all the while. `RACES` says how many containers are made; 2,000 take some
//! minutes.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use integration::{Bundle, Context, HostMount, Test, test};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::json;

use super::{bind, tmpfs};

/// How many containers are made: so many without a word of how many.
pub fn races(otherwise: u32) -> u32 {
    std::env::var("RACES").ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Everything of the host that a link of the companion leads to, with names that the configuration mounts on.
struct Host(PathBuf);

impl Host {
    fn new(t: &Context) -> Host {
        let path = t.path("host");
        fs::create_dir_all(path.join("made/deep")).unwrap();
        fs::create_dir_all(path.join("secret")).unwrap();
        for name in ["file", "null", "secret/word", "made/deep/word"] {
            fs::write(path.join(name), format!("the host's {name}")).unwrap();
        }
        Host(path)
    }

    /// Inode, kind, mode, owner and content of everything, and every mount below it.
    fn state(&self) -> Vec<String> {
        let mut found = Vec::new();
        describe(&self.0, &mut found);
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let own = self.0.to_str().unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(own)).map(str::to_owned));
        found
    }
}

fn describe(path: &Path, found: &mut Vec<String>) {
    let meta = fs::symlink_metadata(path).unwrap();
    let content = if meta.is_file() { fs::read_to_string(path).unwrap() } else { String::new() };
    found.push(format!("{} {} {:o} {} {content}", path.display(), meta.ino(), meta.mode(), meta.uid()));
    if meta.is_dir() {
        let mut entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| describe(entry, found));
    }
}

/// Pairs of names that change places.
struct Companion {
    pairs: Vec<(PathBuf, PathBuf)>,
    done: AtomicBool,
    exchanges: AtomicU64,
}

impl Companion {
    fn exchange(&self) {
        while !self.done.load(Ordering::Relaxed) {
            for (a, b) in &self.pairs {
                renameat2(AT_FDCWD, a, AT_FDCWD, b, RenameFlags::RENAME_EXCHANGE).unwrap();
                self.exchanges.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Does `work` as it exchanges; how often it did.
    fn beside(&self, work: impl FnOnce()) -> u64 {
        std::thread::scope(|scope| {
            scope.spawn(|| self.exchange());
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            self.done.store(true, Ordering::Relaxed);
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        self.exchanges.load(Ordering::Relaxed)
    }
}

/// Directory `name` and file `name-file` below `place`, each with a link to the host as its partner.
fn pairs(place: &Path, host: &Host, name: &str) -> Vec<(PathBuf, PathBuf)> {
    let (dir, file) = (place.join(name), place.join(format!("{name}-file")));
    let (dir_link, file_link) = (place.join(format!("{name}-out")), place.join(format!("{name}-file-out")));
    fs::create_dir_all(dir.join("secret")).unwrap();
    fs::write(&file, "the container's").unwrap();
    symlink(&host.0, &dir_link).unwrap();
    symlink(host.0.join("file"), &file_link).unwrap();
    vec![(dir, dir_link), (file, file_link)]
}

/// The mounts that are looked for afterwards carry their number as source.
fn numbered(number: u32, destination: &str) -> serde_json::Value {
    let mut mount = tmpfs(destination);
    mount["source"] = json!(format!("race{number}"));
    mount
}

fn raced(t: &Context, volume: &Path) -> Bundle {
    let (source, content) = (t.path("source"), t.path("content"));
    fs::create_dir(&source).unwrap();
    fs::write(&content, "bound").unwrap();
    let mut copied = numbered(3, "/inner/copied");
    copied["options"] = json!(["tmpcopyup"]);
    let device = |path: &str| json!({"path": path, "type": "c", "major": 1, "minor": 3, "fileMode": 0o666});
    t.bundle()
        .mount(bind("/mnt", volume))
        .mount(numbered(0, "/mnt/dir"))
        .mount(numbered(1, "/mnt/deep/made/deep"))
        .mount(bind("/mnt/deep/bound", source))
        .mount(bind("/mnt/dir-file", &content))
        .mount(bind("/mnt/deep/new-file", content))
        .mount(numbered(2, "/inner/made/deep"))
        .mount(copied)
        .patch(json!({
            "root": {"readonly": false}, "process": {"cwd": "/inner/made/cwd"},
            "linux": {
                "devices": [device("/mnt/deep/null"), device("/inner/null")],
                "maskedPaths": ["/inner/secret", "/mnt/deep/file", "/inner-file"],
                "readonlyPaths": ["/mnt/deep", "/mnt/deep/secret"],
            },
        }))
        .args(&["/guest", "probe"])
}

/// Makes containers while everything they mount upon changes places; how many could be made.
fn make(bundle: &Bundle, count: u32) -> u32 {
    let mut made = 0;
    for _ in 0..count {
        let output = bundle.run();
        assert!(![101, 134, 139].contains(&output.code), "{}", output.stderr);
        if output.code != 0 {
            continue;
        }
        made += 1;
        assert!(!output.stdout.contains("the host's"), "the container sees the host");
        // What could be mounted is in the container, under whichever name it has at the moment.
        let facts = output.facts();
        let mounts = facts.at("/mounts").as_array().unwrap();
        for number in 0..4 {
            let source = format!("race{number}");
            let there = mounts.iter().filter(|mount| mount["source"] == source.as_str()).count();
            // What is made read-only is mounted once more.
            assert!(there > 0, "a mount went elsewhere than below the root: {source}");
        }
    }
    made
}

/// A directory in which `kept` is a file of root with all rights, or what `partner` makes, by turns.
fn copied_up(t: &Context, partner: fn(&Path)) -> (Bundle, Companion) {
    let bundle = t.bundle().file("/data/kept", "of root").args(&["/guest", "probe", "/data/kept"]);
    let (kept, other) = (bundle.rootfs().join("data/kept"), bundle.rootfs().join("data/other"));
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o4755)).unwrap();
    partner(&other);
    let companion =
        Companion { pairs: vec![(kept, other)], done: AtomicBool::new(false), exchanges: AtomicU64::new(0) };
    let options = ["tmpcopyup", "nosuid"];
    let mount = json!({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": options});
    (bundle.mount(mount), companion)
}

pub const TESTS: &[Test] = &[
    test("escapes: a companion exchanges files while they are copied", &[], |t| {
        let (bundle, companion) = copied_up(t, |path| {
            fs::write(path, "of somebody else").unwrap();
            std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        });
        companion.beside(|| {
            for _ in 0..50 {
                let output = bundle.run();
                if output.code == 0 {
                    let fact = output.facts().at("/paths/~1data~1kept").clone();
                    let own = (fact["uid"].as_u64(), fact["mode"].as_str(), fact["size"].as_u64());
                    let whole = [(Some(0), Some("4755"), Some(7)), (Some(1000), Some("0644"), Some(16))];
                    assert!(whole.contains(&own), "owner and mode of one file, content of another: {own:?}");
                }
            }
        });
        // Nobody writes to it: who opens it as a file would wait for ever.
        let (bundle, companion) =
            copied_up(t, |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap());
        companion.beside(|| (0..50).for_each(|_| assert!(bundle.run().code >= 0)));
    }),
    test("escapes: a companion exchanges directories for links while containers are made", &[], |t| {
        let races = races(200);
        let host = Host::new(t);
        let before = host.state();
        let volume = HostMount::tmpfs(&t.path("volume"), "mode=755");
        let bundle = raced(t, volume.path());
        let mut all = [pairs(volume.path(), &host, "dir"), pairs(volume.path(), &host, "deep")].concat();
        all.extend(pairs(&bundle.rootfs(), &host, "inner"));
        let companion = Companion { pairs: all, done: AtomicBool::new(false), exchanges: AtomicU64::new(0) };
        let mut made = 0;
        let exchanges = companion.beside(|| made = make(&bundle, races));
        println!("{made} of {races} containers were made beside {exchanges} exchanges");
        assert_eq!(host.state(), before, "the host has changed");
        assert!(
            made > 0 && exchanges > u64::from(races),
            "{made} of {races} beside {exchanges} exchanges race with nobody"
        );
    })
    .limit(Duration::from_secs(1800)),
];
