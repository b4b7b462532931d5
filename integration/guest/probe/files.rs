//! What is read from files: mounts, namespaces, descriptors, device nodes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sys::stat::{major, minor};
use serde_json::{Map, Value, json};

/// The lines of a file, null when it cannot be read.
pub fn lines(path: &str) -> Value {
    fs::read_to_string(path).map_or(Value::Null, |text| json!(text.lines().collect::<Vec<_>>()))
}

/// The number in a file, null when there is none.
pub fn number(path: &str) -> Value {
    fs::read_to_string(path).ok().and_then(|text| text.trim().parse::<i64>().ok()).map_or(Value::Null, Value::from)
}

/// The sorted names in a directory, null when it cannot be read.
pub fn names(path: &str) -> Value {
    let Ok(entries) = fs::read_dir(path) else { return Value::Null };
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    json!(names)
}

/// Type of namespace to inode number.
pub fn namespaces() -> Value {
    let Ok(entries) = fs::read_dir("/proc/self/ns") else { return Value::Null };
    let inode = |path: &Path| fs::metadata(path).map_or(Value::Null, |meta| json!(meta.ino()));
    Value::Object(entries.flatten().map(|e| (e.file_name().to_string_lossy().into_owned(), inode(&e.path()))).collect())
}

/// Open descriptors but the one that lists them: number to target.
pub fn descriptors() -> Value {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return Value::Null };
    let links = entries.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
        Some((entry.file_name().to_string_lossy().into_owned(), json!(target)))
    });
    let own = format!("/proc/{}/fd", std::process::id());
    Value::Object(links.filter(|(_, target)| *target != json!(own)).collect())
}

/// The mount table as a list, in its own order.
pub fn mounts() -> Value {
    let Ok(text) = fs::read_to_string("/proc/self/mountinfo") else { return Value::Null };
    json!(text.lines().filter_map(mount).collect::<Vec<_>>())
}

fn mount(line: &str) -> Option<Value> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    Some(json!({
        "id": left.first()?, "parent": left.get(1)?, "device": left.get(2)?,
        "root": unescape(left.get(3)?), "point": unescape(left.get(4)?),
        "options": list(left.get(5)?), "propagation": left.get(6..).unwrap_or_default(),
        "type": right.first()?, "source": unescape(right.get(1)?), "super": list(right.get(2)?),
    }))
}

/// Undoes the octal escapes of mountinfo (proc_pid_mountinfo(5)).
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The tree of /dev without what lies on pts, mqueue and shm: path to kind, mode, owner, numbers or link target.
pub fn devices() -> Value {
    let mut found = Map::new();
    walk(Path::new("/dev"), &mut found, 0);
    Value::Object(found)
}

fn walk(directory: &Path, found: &mut Map<String, Value>, depth: u32) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        found.insert(entry.path().to_string_lossy().into_owned(), describe(&entry.path(), &meta));
        let mounted = ["/dev/pts", "/dev/mqueue", "/dev/shm"].iter().any(|path| entry.path() == Path::new(path));
        if meta.is_dir() && !mounted && depth < 3 {
            walk(&entry.path(), found, depth + 1);
        }
    }
}

/// Kind, mode, owner and numbers of what is at `path`, not following a last symbolic link.
fn describe(path: &Path, meta: &fs::Metadata) -> Value {
    let kind = meta.file_type();
    if kind.is_symlink() {
        return json!({"kind": "link", "target": fs::read_link(path).ok()});
    }
    let owner = json!({"mode": format!("{:04o}", meta.mode() & 0o7777), "uid": meta.uid(), "gid": meta.gid()});
    let letter = match () {
        () if kind.is_char_device() => "c",
        () if kind.is_block_device() => "b",
        () if kind.is_fifo() => "p",
        () if kind.is_socket() => "s",
        () if kind.is_dir() => "dir",
        () => "file",
    };
    let mut fact = json!({"kind": letter});
    if let (Some(fact), Some(owner)) = (fact.as_object_mut(), owner.as_object()) {
        fact.extend(owner.clone());
        if matches!(letter, "c" | "b") {
            fact.insert("rdev".into(), json!(format!("{}:{}", major(meta.rdev()), minor(meta.rdev()))));
        }
    }
    fact
}

/// For each path what it is, whether it can be read (with its first bytes) and written to (a new file for directories).
pub fn access(paths: &[String]) -> Value {
    Value::Object(paths.iter().map(|path| (path.clone(), try_path(Path::new(path)))).collect())
}

fn try_path(path: &Path) -> Value {
    let Ok(meta) = fs::symlink_metadata(path) else { return Value::Null };
    let mut fact = describe(path, &meta);
    let (read, write, entries) = if path.is_dir() {
        let entries = fs::read_dir(path).map(Iterator::count);
        let trial = path.join(".trial");
        let write = fs::OpenOptions::new().write(true).create_new(true).open(&trial).map(drop);
        if write.is_ok() {
            drop(fs::remove_file(trial));
        }
        (entries.as_ref().map(|_| ()).map_err(errno), write.map_err(|e| errno(&e)), entries.ok())
    } else {
        let read = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
            .and_then(|mut file| std::io::Read::read(&mut file, &mut [0; 16]));
        let write = fs::OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let bytes = read.as_ref().ok().copied();
        (read.map(drop).map_err(|e| errno(&e)), write.map(drop).map_err(|e| errno(&e)), bytes)
    };
    if let Some(fact) = fact.as_object_mut() {
        let said = |outcome: Result<(), String>| outcome.map_or_else(Value::from, |()| json!("ok"));
        fact.insert("read".into(), said(read));
        fact.insert("write".into(), said(write));
        fact.insert("size".into(), json!(entries));
    }
    fact
}

fn errno(error: &std::io::Error) -> String {
    nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0))
        .to_string()
        .split(':')
        .next()
        .unwrap_or_default()
        .to_owned()
}
