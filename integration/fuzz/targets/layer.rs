//! A layer unpacked in a directory, beside another one: whatever it holds, nothing changes there.
//!
//! The first byte says whether the layer is for itself or for a tree with links that lead out, the rest is an archive
//! whose checksums are set right. A thread of its own does it in a root of its own, so that a way out by an absolute
//! path is seen too.

#![no_main]

mod wrong;

// The modules alone: their crate has a client for registries, too, which would take longest to build.
#[path = "../../../src/image"]
#[expect(dead_code, unused_imports, reason = "what is not for unpacking")]
mod image {
    pub mod error;
    pub mod scoped;
    pub mod tar;
    pub mod unpack;
}

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};

use image::tar::Limits;
use image::unpack::{Mode, Rules};
use image::{error, scoped, tar, unpack};
use libfuzzer_sys::fuzz_target;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const BLOCK: usize = 512;

/// The archive with every header's magic and checksum as they have to be.
fn repaired(archive: &[u8]) -> Vec<u8> {
    let mut archive = archive.to_vec();
    let mut at = 0;
    while let Some(header) = archive.get_mut(at..at + BLOCK) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let magic = if header[257] & 1 == 0 { b"ustar\0" } else { b"ustar " };
        header[257..263].copy_from_slice(magic);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..136]).unwrap_or_default();
        let size = usize::from_str_radix(size.trim_matches(['\0', ' ']), 8).unwrap_or_default();
        at = at.saturating_add(BLOCK).saturating_add(size.div_ceil(BLOCK).saturating_mul(BLOCK));
    }
    archive
}

/// All that is told apart outside: names, kinds, links, owners, times and content.
fn outside() -> io::Result<Vec<String>> {
    let mut seen = Vec::new();
    for directory in ["/", "/outside"] {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path == Path::new("/proc") || path == Path::new("/inside") {
                continue;
            }
            let about = fs::symlink_metadata(&path)?;
            let content = if about.is_file() { fs::read(&path)? } else { Vec::new() };
            seen.push(format!(
                "{path:?} {:o} {}:{} {} {} {} {content:?}",
                about.mode(),
                about.uid(),
                about.gid(),
                about.nlink(),
                about.mtime_nsec(),
                about.ctime_nsec()
            ));
        }
    }
    seen.sort();
    Ok(seen)
}

/// What a layer is unpacked in: nothing, or a tree of the layers below.
fn inside(onto: bool) -> io::Result<()> {
    fs::create_dir("/inside")?;
    if onto {
        fs::create_dir("/inside/d")?;
        fs::write("/inside/d/f", "f")?;
        symlink("../outside", "/inside/up")?;
        symlink("/outside", "/inside/absolute")?;
        symlink("/outside/file", "/inside/file")?;
        symlink("/proc/self/root/outside", "/inside/magic")?;
    }
    Ok(())
}

/// A root of this thread's own with something to lose.
fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let root = std::env::temp_dir();
    mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), Some("size=64m,nr_inodes=10000,mode=755"))?;
    fs::create_dir(root.join("proc"))?;
    mount(Some("/proc"), &root.join("proc"), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    nix::unistd::chroot(&root)?;
    std::env::set_current_dir("/")?;
    fs::create_dir("/outside")?;
    fs::write("/outside/file", "something to lose")?;
    fs::set_permissions("/outside/file", fs::Permissions::from_mode(0o600))
}

fn once(input: &[u8]) -> io::Result<()> {
    let Some((first, archive)) = input.split_first() else { return Ok(()) };
    let (onto, user_xattrs) = (first & 1 == 1, first & 2 == 2);
    inside(onto)?;
    let before = outside()?;
    let archive = repaired(archive);
    let limits = Limits { sparse_size: 1 << 20, ..Limits::default() };
    let rules = Rules { limits, devices: true, squash_owners: false, user_xattrs };
    let mode = if onto { Mode::Onto } else { Mode::Alone };
    let place = if wrong::is("place") { "/outside" } else { "/inside" };
    let _ = unpack::unpack(&archive[..], fs::File::open(place)?.into(), mode, &rules);
    assert_eq!(before, outside()?, "the outside has changed");
    fs::remove_dir_all("/inside")
}

type Thread = (Sender<Vec<u8>>, Receiver<()>);

fn start() -> Thread {
    let ((inputs, inbox), (done, ends)) = (channel::<Vec<u8>>(), channel());
    std::thread::spawn(move || {
        enter().expect("make a root of its own, as root");
        for input in inbox {
            once(&input).expect("prepare and clear the directories");
            let _ = done.send(());
        }
        let _ = umount2("/proc", MntFlags::MNT_DETACH);
    });
    (inputs, ends)
}

fuzz_target!(|input: &[u8]| {
    static THREAD: OnceLock<Mutex<Thread>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| Mutex::new(start())).lock().expect("one input at a time");
    thread.0.send(input.to_vec()).expect("the thread runs");
    thread.1.recv().expect("the thread has done it");
});
