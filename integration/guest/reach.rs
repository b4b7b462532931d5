//! What a process can get at: files of /proc and /sys that it may open, devices, keyrings. One line a thing, so that two
//! runs can be compared. Nothing is read and nothing written.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

use crate::sys;

/// Devices that a container might want, by type and number: memory, ports, kernel messages, disks, loops, FUSE, tun,
/// terminals, watchdogs left out as to open one starts it.
const DEVICES: [(char, u64, u64); 14] = [
    ('c', 1, 1),
    ('c', 1, 2),
    ('c', 1, 4),
    ('c', 1, 11),
    ('c', 4, 1),
    ('c', 5, 1),
    ('c', 5, 2),
    ('c', 10, 200),
    ('c', 10, 229),
    ('c', 10, 237),
    ('b', 7, 0),
    ('b', 8, 0),
    ('b', 254, 0),
    ('b', 259, 0),
];

/// `reach`: prints a line for everything.
///
/// # Errors
/// Standard output cannot be written to.
pub fn reach() -> io::Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    for tree in ["/proc", "/sys", "/dev"] {
        walk(Path::new(tree), &mut out)?;
    }
    nodes(&mut out)?;
    keyrings(&mut out)?;
    out.flush()
}

/// Whether `path` is of one process, thread or address rather than of all.
fn passing(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parent = path.parent().unwrap_or(path);
    let numbered = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    parent == Path::new("/proc") && numbered || ["task", "fd", "fdinfo", "map_files"].contains(&name)
}

fn walk(path: &Path, out: &mut impl Write) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(path) else { return Ok(()) };
    let kind = meta.file_type();
    if kind.is_dir() {
        may(path, AccessFlags::W_OK).then(|| writeln!(out, "write {}", path.display())).transpose()?;
        for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|entry| !passing(&entry.path())) {
            walk(&entry.path(), out)?;
        }
    } else if kind.is_symlink() && path.parent() == Some(Path::new("/proc")) {
        // Of this process: the only link that is followed.
        if path.ends_with("self") {
            let own = fs::read_dir(path).into_iter().flatten().flatten();
            own.filter(|entry| !passing(&entry.path())).try_for_each(|entry| walk(&entry.path(), out))?;
        }
    } else if kind.is_file() || kind.is_char_device() || kind.is_block_device() {
        tell(path, path, out)?;
    }
    Ok(())
}

fn may(path: &Path, how: AccessFlags) -> bool {
    eaccess(path, how).is_ok()
}

/// Says how `path` can be opened.
fn tell(path: &Path, name: &Path, out: &mut impl Write) -> io::Result<()> {
    let open = |options: &mut OpenOptions| options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path).is_ok();
    open(OpenOptions::new().read(true)).then(|| writeln!(out, "read {}", name.display())).transpose()?;
    open(OpenOptions::new().write(true)).then(|| writeln!(out, "write {}", name.display())).transpose()?;
    Ok(())
}

/// Devices that can be made, and used.
fn nodes(out: &mut impl Write) -> io::Result<()> {
    for (kind, major, minor) in DEVICES {
        let name = format!("device {kind} {major}:{minor}");
        let path = format!("/dev/shm/{kind}-{major}-{minor}");
        let flag = if kind == 'b' { nix::sys::stat::SFlag::S_IFBLK } else { nix::sys::stat::SFlag::S_IFCHR };
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o666);
        for place in [&path, &path.replace("/dev/shm", "/dev")] {
            if nix::sys::stat::mknod(place.as_str(), flag, mode, nix::sys::stat::makedev(major, minor)).is_ok() {
                writeln!(out, "make {name}")?;
                tell(Path::new(place), Path::new(&name), out)?;
                fs::remove_file(place)?;
            }
        }
    }
    Ok(())
}

/// Keyrings of thread, process, session, user and user's session (keyctl(2)), without making one.
fn keyrings(out: &mut impl Write) -> io::Result<()> {
    const DESCRIBE: u64 = 6;
    for (id, name) in [(-1i64, "thread"), (-2, "process"), (-3, "session"), (-4, "user"), (-5, "user session")] {
        if sys::syscall(libc::SYS_keyctl, &[DESCRIBE, id.cast_unsigned(), 0, 0]).is_ok() {
            writeln!(out, "keyring {name}")?;
        }
    }
    Ok(())
}
