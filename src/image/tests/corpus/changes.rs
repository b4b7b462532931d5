//! From an image to a container, its changes, and a layer of them.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use coracle_image::diff::changes;
use coracle_image::layer_writer::write_layer;
use coracle_image::overlay::{Writable, attach, stack_at_once, unmount};
use coracle_image::progress::silent;
use coracle_image::store::{Chain, Store};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::cases::gzip;
use crate::deeds::{Done, image};
use crate::tree::Tree;
use crate::way::{World, sources};

pub fn round_trip(world: &World) -> Done {
    let place = world.place("changes");
    let store = Store::open(&place.join("store")).unwrap();
    let mut layers = image();
    let chain = sources(&layers, |sources| store.unpack(sources, &store.options(), &silent)).unwrap();
    let [root, upper, work] = ["root", "upper", "work"].map(|name| place.join(name));
    fs::create_dir(&root).unwrap();
    chain.mount(&root, Writable { upper: &upper, work: &work }).unwrap();
    assert!(changes(&chain, &upper, &[]).unwrap().is_empty());
    same_by_number(&chain, &place);
    change(&root);
    let excluded = [b"proc".to_vec(), b"etc/hosts".to_vec()];
    let listed: Vec<String> = changes(&chain, &upper, &excluded)
        .unwrap()
        .iter()
        .map(|change| format!("{} /{}", change.kind, String::from_utf8_lossy(&change.path)))
        .collect();
    // What docker diff shows for the same commands.
    let expected = [
        "C /d10",
        "A /d10/new",
        "C /d11",
        "D /d11/file",
        "D /d12",
        "C /d13/file",
        "C /d14",
        "C /d15",
        "A /d15/hard",
        "D /d15/file",
        "A /d15/moved",
        "A /dev-null",
        "A /etc",
        "C /p",
        "A /socket",
        "A /symlink",
        "C /usr/lib",
        "A /usr/lib/x",
    ];
    let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    expected.sort_by(|a, b| a[2..].cmp(&b[2..]));
    assert_eq!(listed, expected);

    let write = |upper: &Path| {
        let mut layer = Vec::new();
        write_layer(upper, &excluded, &mut layer).map(|()| layer)
    };
    let layer = write(&upper).unwrap();
    assert_eq!(layer, write(&upper).unwrap(), "the same changes give the same bytes");
    let mut container = Tree::read(&root);
    unmount(&root).unwrap();
    layers.push(gzip(layer));
    let committed = sources(&layers, |sources| store.unpack(sources, &store.options(), &silent)).unwrap();
    committed.mount_read_only(&root).unwrap();
    for excluded in [&b"proc"[..], b"etc/hosts", b"socket"] {
        container.0.remove(excluded);
    }
    // The root has no entry in the layer.
    container.0.remove(&b""[..]);
    let mut image = Tree::read(&root);
    image.0.remove(&b""[..]);
    assert_eq!(image.difference(&container), None, "the committed image is the container");
    unmount(&root).unwrap();

    fs::write(upper.join(".wh.reserved"), "").unwrap();
    assert!(write(&upper).unwrap_err().to_string().contains("reserved"));
    fs::remove_file(upper.join(".wh.reserved")).unwrap();
    let elsewhere = place.join("link");
    symlink(world.outside(), &elsewhere).unwrap();
    assert!(write(&elsewhere).is_err(), "an upper directory that is a link");
    drop((store, chain, committed));
    fs::remove_dir_all(&place).unwrap();
    Ok(())
}

/// The mount for older kernels is the same.
fn same_by_number(chain: &Chain, place: &Path) {
    let numbered = place.join("numbered");
    fs::create_dir(&numbered).unwrap();
    attach(stack_at_once(&chain.lowers, None, false).unwrap().as_fd(), &numbered).unwrap();
    let mut tree = Tree::read(&numbered);
    unmount(&numbered).unwrap();
    chain.mount_read_only(&numbered).unwrap();
    let mut other = Tree::read(&numbered);
    // That has a directory more, for the attributes of the root.
    for tree in [&mut tree, &mut other] {
        tree.0.remove(&b""[..]);
    }
    assert_eq!(tree.difference(&other), None);
    unmount(&numbered).unwrap();
}

/// What a container might do.
fn change(root: &Path) {
    fs::write(root.join("d10/new"), "new").unwrap();
    fs::remove_file(root.join("d11/file")).unwrap();
    fs::remove_dir_all(root.join("d12")).unwrap();
    fs::write(root.join("d13/file"), "other").unwrap();
    fs::set_permissions(root.join("d14"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::rename(root.join("d15/file"), root.join("d15/moved")).unwrap();
    fs::hard_link(root.join("d15/moved"), root.join("d15/hard")).unwrap();
    fs::create_dir(root.join("etc")).unwrap();
    fs::write(root.join("etc/hosts"), "").unwrap();
    fs::create_dir(root.join("proc")).unwrap();
    symlink("/nowhere", root.join("symlink")).unwrap();
    fs::write(root.join("usr/lib/x"), "x").unwrap();
    // Never opened: the first would block for ever.
    fs::set_permissions(root.join("p"), fs::Permissions::from_mode(0o644)).unwrap();
    mknodat(CWD, root.join("dev-null"), FileType::CharacterDevice, Mode::RUSR, rustix::fs::makedev(1, 3)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
}
