//! What root does, done by an ordinary user: in a user namespace, with a range of ids or with his own alone.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use coracle_image::image::unpack;
use coracle_image::platform::Platform;
use coracle_image::progress::silent;
use coracle_image::reference::Reference;
use coracle_image::registry::Access;
use coracle_image::source::Source;
use coracle_image::store::Store;
use nix::mount::{MsFlags, mount, umount};
use serde::{Deserialize, Serialize};

use crate::cases::{self, Case};
use crate::deeds::Done;
use crate::tree::Tree;
use crate::way::{Unpacked, Way, World};

/// nobody: newuidmap wants a user with a name.
const USER: u32 = 65534;

/// How many ids he has beside his own.
const RANGE: u32 = 65536;

/// The ids of an ordinary user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    Range,
    One,
}

pub const IDS: [Ids; 2] = [Ids::Range, Ids::One];

impl Ids {
    /// What `tree`, which root made, is for this user: devices are not there, nor what only the host's root may set, and
    /// who has one id owns all alone.
    pub fn seen(self, mut tree: Tree) -> Tree {
        tree.0.retain(|_, node| !matches!(node.kind, 'c' | 'b'));
        for node in tree.0.values_mut() {
            node.xattrs.retain(|(name, _)| !name.starts_with(b"trusted."));
            if self == Ids::One {
                node.owner = (0, 0);
                node.xattrs.retain(|(name, _)| !name.starts_with(b"system.posix_acl_"));
            }
        }
        tree
    }

    /// Whether all owners in the tree are his.
    fn has_all_of(self, tree: &Tree) -> bool {
        self == Ids::One || tree.0.values().all(|node| node.owner.0.max(node.owner.1) <= RANGE)
    }
}

/// Why it cannot be tried, if so.
pub fn needs() -> Done {
    let there = Path::new("/etc/subuid").is_file() && Path::new("/etc/subgid").is_file();
    let mapped = there && Command::new("newuidmap").output().is_ok();
    if mapped { Ok(()) } else { Err("newuidmap or /etc/subuid is missing".to_owned()) }
}

/// What this program says to `word` and an empty directory of the user, which `fill` may put something into.
pub fn said(world: &World, ids: Ids, word: &str, fill: impl FnOnce(&Path)) -> String {
    let all = world.place("user");
    let place = world.place("user/place");
    fill(&place);
    world.open_up();
    let program = all.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let owner = format!("{USER}:{USER}");
    assert!(Command::new("chown").arg("-R").arg(&owner).arg(&all).status().unwrap().success());
    // In this mount namespace alone.
    let files = [("/etc/subuid", "subuid"), ("/etc/subgid", "subgid")];
    for (file, name) in files {
        let own = all.join(name);
        let line = if ids == Ids::Range { format!("{USER}:300000:{RANGE}\n") } else { String::new() };
        std::fs::write(&own, line).unwrap();
        mount(Some(&own), file, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    let output = Command::new("setpriv")
        .args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()])
        .arg(&program)
        .arg(word)
        .arg(&place)
        .output()
        .unwrap();
    for (file, _) in files {
        umount(file).unwrap();
    }
    std::fs::remove_dir_all(&all).unwrap();
    assert!(output.status.success(), "{ids:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What came of a case, by its name; the outer error is a failure of the test.
#[derive(Serialize, Deserialize)]
struct Said(String, Result<Unpacked, String>);

/// Every case in every way, as a user of either kind. It is refused as root's is, or has the tree that root's has.
pub fn cases(world: &World) -> Done {
    needs()?;
    let all = cases::all();
    let mut wrong = String::new();
    for ids in IDS {
        let (mut same, mut refused, mut foreign) = (0, 0, 0);
        let said = said(world, ids, "--cases", |_| {});
        assert_eq!(said.lines().count(), all.len(), "{ids:?}");
        // At the same path, which some cases name.
        let place = world.place("user/place");
        let root = World::within(&place);
        for (line, case) in said.lines().zip(&all) {
            let Said(name, outcome) = serde_json::from_str(line).unwrap();
            assert_eq!(name, case.name);
            match outcome.and_then(|outcome| beside_root(case, &root, ids, outcome)) {
                Ok(Beside::Same) => same += 1,
                Ok(Beside::Refused) => refused += 1,
                Ok(Beside::Foreign) => foreign += 1,
                Err(what) => writeln!(wrong, "{ids:?}, {name}: {what}").unwrap(),
            }
        }
        std::fs::remove_dir_all(world.place("user")).unwrap();
        println!("rootless, {ids:?}: {same} trees as root's, {refused} refused as root's, {foreign} for foreign ids");
    }
    assert!(wrong.is_empty(), "{wrong}");
    Ok(())
}

enum Beside {
    Same,
    Refused,
    /// It has owners whom he has no ids for.
    Foreign,
}

fn beside_root(case: &Case, world: &World, ids: Ids, outcome: Unpacked) -> Result<Beside, String> {
    match (world.unpack(case, Way::Flat)?, outcome) {
        (Err(_), Err(_)) => Ok(Beside::Refused),
        (Err(error), Ok(_)) => Err(format!("accepted, but root's is not: {error}")),
        (Ok(root), Err(_)) if !ids.has_all_of(&root) => Ok(Beside::Foreign),
        (Ok(_), Err(error)) => Err(format!("refused: {error}")),
        (Ok(root), Ok(tree)) => match tree.difference(&ids.seen(root)) {
            None => Ok(Beside::Same),
            Some(difference) => Err(difference),
        },
    }
}

/// The half of it that runs as the user: says a line for each case.
pub fn say_cases(place: &Path) {
    coracle_image::rootless::enter().unwrap();
    let world = World::within(place);
    for case in cases::all() {
        let outcome = crate::agreed(&case, &world, |_| Ok(()));
        println!("{}", serde_json::to_string(&Said(case.name.to_owned(), outcome)).unwrap());
    }
}

/// The tree of the layout in the directory, as the user has it.
pub fn say_tree(place: &Path) {
    coracle_image::rootless::enter().unwrap();
    println!("{}", serde_json::to_string(&mounted(place)).unwrap());
}

/// The tree of the layout `image` in the directory, mounted, from a store that goes again.
pub fn mounted(place: &Path) -> Tree {
    with_source(place, |source, store| {
        let chain = unpack(source, store, &silent).unwrap();
        let target = place.join("mounted");
        std::fs::create_dir(&target).unwrap();
        chain.mount_read_only(&target).unwrap();
        let tree = Tree::read(&target);
        coracle_image::overlay::unmount(&target).unwrap();
        std::fs::remove_dir(&target).unwrap();
        tree
    })
}

/// Lends the layout `image` in the directory, and a store.
pub fn with_source<T>(place: &Path, work: impl FnOnce(&Source, &Store) -> T) -> T {
    let path = place.join("store");
    let store = Store::open(&path).unwrap();
    let layout = Reference::Layout { dir: place.join("image"), name: None };
    let source = Source::open(&layout, &Platform::host(), &store, &Access::default()).unwrap();
    let done = work(&source, &store);
    drop(store);
    std::fs::remove_dir_all(&path).unwrap();
    done
}
