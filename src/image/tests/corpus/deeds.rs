//! What a store has to survive, and what others make of the same images. Each is a function that panics when it fails.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use coracle_image::destination::pull;
use coracle_image::platform::Platform;
use coracle_image::progress::silent;
use coracle_image::reference::Reference;
use coracle_image::registry::Access;
use coracle_image::source::Source;
use coracle_image::store::Store;
use coracle_image::tar::{Limits, Reader};
use nix::mount::{MsFlags, mount, umount};

use crate::archive::{Archive, Header, checksummed, octal};
use crate::cases::{Layer, gzip};
use crate::peers::layout;
use crate::tree::Tree;
use crate::way::{World, sources};

/// Why a deed was not done.
pub type Done = Result<(), String>;

pub type Deed = (&'static str, fn(&World) -> Done);

pub const DEEDS: &[Deed] = &[
    ("mutations: the reader neither panics nor runs on", mutations),
    ("kill: at any moment the store stays usable", killed),
    ("full: a full disk is an error, and room cures it", full_disk),
    ("two: processes at once unpack the same image", two_processes),
    ("limit: few open files are enough", few_files),
    ("others: umoci, skopeo with tar and ordinary users make the same trees", crate::peers::others),
    ("documents: what leads astray or nowhere is refused", crate::documents::documents),
    ("docker diff: changes and the layer made of them", crate::changes::round_trip),
    ("rootless: every case, with a range of ids and with one", crate::user::cases),
];

/// An image in which everything occurs: links, whiteouts, a layer that needs its base, large and small files.
pub fn image() -> Vec<Layer> {
    let mut base = Archive::new().dir("./").dir("usr").dir("usr/lib").symlink("lib", "usr/lib");
    for i in 0..300 {
        base = base.dir(format!("d{i}")).file(format!("d{i}/file"), vec![i as u8; 100 + i * 37]);
    }
    base = base.hardlink("d0/link", "d1/file").mode("suid", b'0', 0o4755);
    base = base.pax(&[("SCHILY.xattr.user.a", b"b"), ("mtime", b"1234567890.123456789")]).file("xattr", "x");
    let owned = Header { uid: octal(1000, 8), gid: octal(50, 8), ..Header::new("owned", b'0') };
    base = base.entry(owned, b"content").file("large", noise(3 << 20));
    let second = Archive::new().whiteout(".wh.d1").dir("d2").whiteout("d2/.wh..wh..opq").file("d2/new", "x").dir("e");
    let third = Archive::new().file("lib/through", "x").file("e/implicit", "x").hardlink("linked", "d3/file");
    let fourth = Archive::new().file("d4/file", "replaced").file("large", noise(1 << 20)).mode("p", b'6', 0o600);
    [base, second, third, fourth].into_iter().map(|archive| gzip(archive.end())).collect()
}

/// Bytes that do not compress well.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    })
    .take(size)
    .collect()
}

/// The image, made once.
fn made() -> &'static [Layer] {
    static MADE: OnceLock<Vec<Layer>> = OnceLock::new();
    MADE.get_or_init(image)
}

/// What the image is called in a store.
const NAME: &str = "localhost/image:latest";

/// The other half of a test, in a process of its own: pulls the image from the layout beside the place.
pub fn child(place: &Path) {
    let pulled = || {
        let store = Store::open(&place.join("store"))?;
        let layout = Reference::Layout { dir: place.with_file_name("image"), name: None };
        let source = Source::open(&layout, &Platform::host(), &store, &Access::default())?;
        pull(&source, &NAME.parse()?, &store, &silent)
    };
    if let Err(error) = pulled() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Puts the image where [`child`] looks for it.
pub fn prepare(place: &Path) {
    layout(&place.with_file_name("image"), made());
}

fn unpack(place: &Path, layers: &[Layer]) {
    let store = Store::open(&place.join("store")).unwrap();
    sources(layers, |sources| store.unpack(sources, &store.options(), &silent)).unwrap();
}

fn start(place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap()).arg("--unpack").arg(place).stderr(Stdio::piped()).spawn().unwrap()
}

/// The image as it is in the store, which must be complete; then the store is emptied.
pub fn mounted(place: &Path) -> Tree {
    unpack(place, made());
    let store = Store::open(&place.join("store")).unwrap();
    let diff_ids: Vec<_> = made().iter().map(|layer| layer.diff_id.clone()).collect();
    let chain = store.chain(&diff_ids).unwrap().expect("the image is unpacked");
    let target = place.join("mounted");
    std::fs::create_dir_all(&target).unwrap();
    chain.mount_read_only(&target).unwrap();
    let tree = Tree::read(&target);
    coracle_image::overlay::unmount(&target).unwrap();
    tree
}

fn emptied(place: &Path) {
    let path = place.join("store");
    let store = Store::open(&path).unwrap();
    store.remove_reference(NAME).unwrap();
    store.gc().unwrap();
    let left: Vec<PathBuf> = ["blobs/sha256", "layers/sha256", "chains/sha256", "temporary", "trash"]
        .iter()
        .flat_map(|directory| std::fs::read_dir(path.join(directory)).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(left.is_empty(), "garbage collection leaves {left:?}");
}

/// A file system of so many bytes.
fn disk(world: &World, name: &str, size: u64) -> PathBuf {
    let place = world.place(name);
    let options = format!("size={size}");
    mount(None::<&str>, &place, Some("tmpfs"), MsFlags::empty(), Some(options.as_str())).unwrap();
    place
}

/// Archives with some bytes changed, cut out or doubled: whatever they are, reading ends, and says no more data than there is.
fn mutations(_: &World) -> Done {
    let sample = Archive::new()
        .dir("d")
        .pax(&[("path", b"d/long"), ("SCHILY.xattr.user.a", b"b"), ("mtime", b"1.5"), ("size", b"700")])
        .raw(&Header::new("f", b'0'), &[7; 700])
        .long(b'L', &b"n".repeat(150))
        .file("n", "content")
        .pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"12")])
        .file("s", [b"2\n2\n5\n9\n3\n".to_vec(), vec![0; 502], b"hello123".to_vec()].concat())
        .hardlink("h", "d/long")
        .end();
    read_all(&sample).unwrap();
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut archive = sample.clone();
        for _ in 0..=random(3) {
            let at = random(archive.len() - 600);
            match random(5) {
                0 => archive[at] ^= 1 << random(8),
                1 => archive[at] = random(256) as u8,
                2 => drop(archive.drain(at..at + random(600))),
                3 => archive.extend_from_within(at..at + random(600)),
                _ => {
                    // A header that is changed, and right again.
                    let block = at / 512 * 512;
                    archive[block + random(512)] = b"0123456789LKxgS7\0 -"[random(19)];
                    let fixed = checksummed(archive[block..block + 512].try_into().unwrap());
                    archive[block..block + 512].copy_from_slice(&fixed);
                }
            }
        }
        accepted += usize::from(read_all(&archive).is_ok());
    }
    assert!((1_000..19_000).contains(&accepted), "{accepted} of 20000 are well-formed");
    Ok(())
}

fn read_all(archive: &[u8]) -> coracle_image::Result<()> {
    let mut reader = Reader::new(archive, Limits::default());
    let mut total = 0;
    while reader.entry()?.is_some() {
        loop {
            let n = reader.data()?.len();
            if n == 0 {
                break;
            }
            reader.consume(n);
            total += n;
        }
        assert!(total <= archive.len() && reader.position() <= archive.len() as u64);
    }
    Ok(())
}

/// How many are killed: KILLS, or so many.
const KILLS: u32 = 200;

fn killed(world: &World) -> Done {
    let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let place = disk(world, "killed", 256 << 20);
    prepare(&place);
    let expected = mounted(&place);
    emptied(&place);
    let begin = Instant::now();
    assert!(start(&place).wait().unwrap().success());
    let once = begin.elapsed();
    emptied(&place);
    let diff_ids: Vec<_> = made().iter().map(|layer| layer.diff_id.clone()).collect();
    let mut state = 42_u64;
    for round in 1..=kills {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut child = start(&place);
        std::thread::sleep(Duration::from_micros((state >> 20) % (once.as_micros() as u64 * 6 / 5)));
        child.kill().unwrap();
        child.wait().unwrap();
        // A name leads to all of the image.
        let store = Store::open(&place.join("store")).unwrap();
        if let Some(reference) = store.references().unwrap().get(NAME) {
            assert!(store.has_blob(&reference.digest).unwrap());
            assert!(store.chain(&diff_ids).unwrap().is_some(), "after {round} kills");
        }
        drop(store);
        // Mostly the next one goes on with what this one has left.
        match round % 20 {
            0 => assert_eq!(mounted(&place).difference(&expected), None, "after {round} kills"),
            10 => {}
            _ => continue,
        }
        emptied(&place);
    }
    umount(&place).unwrap();
    std::fs::remove_dir(&place).unwrap();
    Ok(())
}

/// More than enough.
const FILES: u64 = 1 << 20;

fn full_disk(world: &World) -> Done {
    let place = disk(world, "full", 256 << 20);
    prepare(&place);
    let expected = mounted(&place);
    emptied(&place);
    assert!(start(&place).wait().unwrap().success());
    let disk = rustix::fs::statvfs(&place).unwrap();
    let (bytes, inodes) = ((disk.f_blocks - disk.f_bfree) * disk.f_frsize, disk.f_files - disk.f_ffree);
    emptied(&place);
    let mut refused = 0;
    let sizes = (1 << 20..13 << 20).step_by(3 << 19).chain([bytes * 95 / 100]).map(|size| (size, FILES));
    let counts = [10, 50, 95].map(|percent| (256 << 20, inodes * percent / 100));
    for (size, count) in sizes.chain(counts) {
        let resize = |size: u64, count: u64| {
            let options = format!("size={size},nr_inodes={count}");
            mount(None::<&str>, &place, None::<&str>, MsFlags::MS_REMOUNT, Some(options.as_str())).unwrap();
        };
        resize(size, count);
        let output = start(&place).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            refused += 1;
            assert!(said.contains("ENOSPC"), "{size}: {said}");
        }
        resize(256 << 20, FILES);
        assert_eq!(mounted(&place).difference(&expected), None, "after a full disk of {size} bytes, {count} files");
        emptied(&place);
    }
    assert!(refused > 5, "only {refused} sizes were too small");
    read_only_disk(&place);
    umount(&place).unwrap();
    std::fs::remove_dir(&place).unwrap();
    Ok(())
}

/// What is there stays, and nothing can be added.
fn read_only_disk(place: &Path) {
    let remount = |flags: MsFlags| {
        let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
        mount(None::<&str>, place, None::<&str>, flags, None::<&str>)
    };
    remount(MsFlags::MS_RDONLY).unwrap();
    let output = start(place).wait_with_output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("EROFS"));
    remount(MsFlags::empty()).unwrap();
    assert!(start(place).wait().unwrap().success());
}

fn two_processes(world: &World) -> Done {
    let place = world.place("two");
    prepare(&place);
    let mut children: Vec<_> = (0..4).map(|_| start(&place)).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let expected = mounted(&place);
    emptied(&place);
    assert_eq!(mounted(&place).difference(&expected), None);
    std::fs::remove_dir_all(&place).unwrap();
    Ok(())
}

fn few_files(world: &World) -> Done {
    let place = world.place("few");
    prepare(&place);
    let program = std::env::current_exe().unwrap();
    let script = "ulimit -n $2 && exec \"$0\" --unpack \"$1\"";
    let limited = |count: &str| {
        Command::new("/bin/sh").args(["-c", script]).arg(&program).arg(&place).arg(count).output().unwrap()
    };
    // Too few are an error, and more cure it.
    let said = limited("14");
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("EMFILE"), "{said:?}");
    let said = limited("40");
    assert!(said.status.success(), "{said:?}");
    std::fs::remove_dir_all(&place).unwrap();
    Ok(())
}
