//! What a directory holds, read back without following anything.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use coracle_image::digest::{Algorithm, Hasher};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, open, openat, readlinkat, statat};
use serde::{Deserialize, Serialize};

/// Files up to this size are kept whole, larger ones as the digest of their content.
const WHOLE: u64 = 8 << 10;

/// What is larger than this is full of holes, or nobody would have made it here.
const READ: u64 = 512 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub kind: char,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, u64),
    pub device: u64,
    pub size: u64,
    /// Content of a file or its digest, or where a link points.
    pub content: Vec<u8>,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same inode, if it has several.
    pub same_as: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(Vec<u8>, Node)>", into = "Vec<(Vec<u8>, Node)>")]
pub struct Tree(pub BTreeMap<Vec<u8>, Node>);

impl From<Vec<(Vec<u8>, Node)>> for Tree {
    fn from(nodes: Vec<(Vec<u8>, Node)>) -> Tree {
        Tree(nodes.into_iter().collect())
    }
}

impl From<Tree> for Vec<(Vec<u8>, Node)> {
    fn from(tree: Tree) -> Vec<(Vec<u8>, Node)> {
        tree.0.into_iter().collect()
    }
}

impl Tree {
    /// The tree below `root`, which has the empty path.
    pub fn read(root: &Path) -> Tree {
        let dir = open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut tree = Tree::default();
        let mut links = BTreeMap::new();
        let mut stack = vec![(Vec::new(), dir)];
        while let Some((path, dir)) = stack.pop() {
            if path.is_empty() {
                tree.0.insert(Vec::new(), Node::read(&dir, c".", &mut links, b""));
            }
            let mut names: Vec<CString> =
                Dir::read_from(&dir).unwrap().map(|entry| entry.unwrap().file_name().to_owned()).collect();
            names.sort();
            for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
                let below = if path.is_empty() {
                    name.to_bytes().to_vec()
                } else {
                    [&path, &b"/"[..], name.to_bytes()].concat()
                };
                let node = Node::read(&dir, name, &mut links, &below);
                if node.kind == 'd' {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    stack.push((below.clone(), openat(&dir, name, flags, Mode::empty()).unwrap()));
                }
                tree.0.insert(below, node);
            }
        }
        tree.name_links();
        tree
    }

    /// Which of several paths of one inode comes first does not depend on the order of reading.
    fn name_links(&mut self) {
        let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (path, node) in &self.0 {
            if let Some(key) = &node.same_as {
                groups.entry(key.clone()).or_default().push(path.clone());
            }
        }
        for paths in groups.values() {
            for path in paths {
                self.0.get_mut(path).unwrap().same_as = (paths.len() > 1).then(|| paths[0].clone());
            }
        }
    }

    pub fn get(&self, path: &str) -> &Node {
        self.0.get(path.as_bytes()).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// The file has this content.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) -> &Node {
        let node = self.get(path);
        assert_eq!((node.kind, node.content.as_slice()), ('f', content.as_ref()), "{path}");
        node
    }

    pub fn kind(&self, path: &str, kind: char) -> &Node {
        assert_eq!(self.get(path).kind, kind, "{path}");
        self.get(path)
    }

    pub fn absent(&self, path: &str) {
        assert!(!self.0.contains_key(path.as_bytes()), "{path} is there");
    }

    /// The directory's own names.
    pub fn names(&self, path: &str, expected: &[&str]) {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = |key: &&Vec<u8>| {
            key.strip_prefix(prefix.as_bytes()).is_some_and(|rest| !rest.is_empty() && !rest.contains(&b'/'))
        };
        let names: Vec<_> =
            self.0.keys().filter(below).map(|key| String::from_utf8_lossy(&key[prefix.len()..]).into_owned()).collect();
        assert_eq!(names, expected, "in {path}");
    }

    /// The first difference to `other`, for people.
    pub fn difference(&self, other: &Tree) -> Option<String> {
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        paths.into_iter().find(|path| self.0.get(*path) != other.0.get(*path)).map(|path| {
            let show = |tree: &Tree| tree.0.get(path).map(|node| format!("{node:?}")).unwrap_or("nothing".into());
            format!("\"{}\": {}\n      other: {}", path.escape_ascii(), show(self), show(other))
        })
    }
}

impl Node {
    fn read(dir: &OwnedFd, name: &std::ffi::CStr, links: &mut BTreeMap<(u64, u64), Vec<u8>>, path: &[u8]) -> Node {
        let stat = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .unwrap_or_else(|errno| panic!("{name:?} is listed, but not there: {errno}"));
        let (kind, content) = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => ('f', contents(dir, name, stat.st_size as u64)),
            FileType::Directory => ('d', Vec::new()),
            FileType::Symlink => ('l', readlinkat(dir, name, Vec::new()).unwrap().into_bytes()),
            FileType::CharacterDevice => ('c', Vec::new()),
            FileType::BlockDevice => ('b', Vec::new()),
            FileType::Fifo => ('p', Vec::new()),
            _ => ('?', Vec::new()),
        };
        let same_as = (kind != 'd' && stat.st_nlink > 1)
            .then(|| links.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| path.to_vec()).clone());
        Node {
            kind,
            mode: stat.st_mode & 0o7777,
            owner: (stat.st_uid, stat.st_gid),
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            device: stat.st_rdev,
            size: if kind == 'd' { 0 } else { stat.st_size as u64 },
            content,
            xattrs: xattrs(dir, name),
            same_as,
        }
    }
}

fn contents(dir: &OwnedFd, name: &std::ffi::CStr, size: u64) -> Vec<u8> {
    if size > READ {
        return Vec::new();
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = std::fs::File::from(openat(dir, name, flags, Mode::empty()).unwrap());
    let mut content = Vec::new();
    if size <= WHOLE {
        file.read_to_end(&mut content).unwrap();
        return content;
    }
    let mut hasher = Hasher::new(Algorithm::Sha256);
    content.resize(256 << 10, 0);
    loop {
        match file.read(&mut content).unwrap() {
            0 => return hasher.finish().to_string().into_bytes(),
            n => hasher.update(&content[..n]),
        }
    }
}

fn xattrs(dir: &OwnedFd, name: &std::ffi::CStr) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = [format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).as_bytes(), name.to_bytes()].concat();
    let mut list = vec![0; 64 << 10];
    let n = rustix::fs::llistxattr(path.as_slice(), list.as_mut_slice()).unwrap_or(0);
    let mut found = Vec::new();
    for name in list[..n].split(|&b| b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let n = rustix::fs::lgetxattr(path.as_slice(), name, value.as_mut_slice()).unwrap();
        found.push((name.to_vec(), value[..n].to_vec()));
    }
    found.sort();
    found
}
