//! The same image by other means: umoci, and coracle-image without root's privileges.

use std::path::Path;
use std::process::Command;

use coracle_image::digest::Digest;
use coracle_image::progress::silent;
use coracle_image::store::Store;
use serde_json::json;

use crate::cases::Layer;
use crate::deeds::{Done, image, mounted};
use crate::tree::Tree;
use crate::way::{World, sources};

/// What umoci makes of directories without entries is the time at which it made them.
pub fn umoci(world: &World) -> Done {
    if Command::new("umoci").arg("--version").output().is_err() {
        return Err("umoci is not installed".to_owned());
    }
    same_as_umoci(world, &image());
    // A real system too, where there is one.
    if let Some(archive) = std::env::var_os("DEBIAN_ARCHIVE").filter(|path| Path::new(path).is_file()) {
        same_as_umoci(world, &[crate::cases::gzip(std::fs::read(archive).unwrap())]);
    }
    Ok(())
}

fn same_as_umoci(world: &World, layers: &[Layer]) {
    let place = world.place("umoci");
    layout(&place.join("image"), layers);
    let output = Command::new("umoci")
        .args(["unpack", "--image", "image:latest", "bundle"])
        .current_dir(&place)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut theirs = Tree::read(&place.join("bundle/rootfs"));

    let store = Store::open(&place.join("store")).unwrap();
    let flat = place.join("flat");
    std::fs::create_dir(&flat).unwrap();
    sources(layers, |sources| store.unpack_flat(sources, &flat, &store.options(), &silent)).unwrap();
    let mut ours = Tree::read(&flat);
    let target = place.join("mounted");
    std::fs::create_dir(&target).unwrap();
    let chain = sources(layers, |sources| store.unpack(sources, &store.options(), &silent)).unwrap();
    chain.mount_read_only(&target).unwrap();
    assert_eq!(Tree::read(&target).difference(&ours), None, "mounted and flat");
    coracle_image::overlay::unmount(&target).unwrap();
    for tree in [&mut ours, &mut theirs] {
        for node in
            tree.0.values_mut().filter(|node| node.kind == 'd' && node.mtime.0 == 0 || node.mtime.0 > 1_770_000_000)
        {
            node.mtime = (0, 0);
        }
    }
    assert_eq!(ours.difference(&theirs), None, "umoci's tree is the other");
    assert!(ours.0.len() > 500);
    drop((store, chain));
    std::fs::remove_dir_all(&place).unwrap();
}

/// An OCI layout with one image of these layers.
pub fn layout(place: &Path, layers: &[Layer]) {
    std::fs::create_dir_all(place.join("blobs/sha256")).unwrap();
    let put = |content: &[u8]| {
        let digest = Digest::sha256(content);
        std::fs::write(place.join("blobs").join(digest.path()), content).unwrap();
        json!({"digest": digest, "size": content.len()})
    };
    let with_type = |media_type: &str, mut descriptor: serde_json::Value| {
        descriptor["mediaType"] = json!(media_type);
        descriptor
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| &layer.diff_id).collect();
    let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let manifest = json!({
        "schemaVersion": 2,
        "config": with_type("application/vnd.oci.image.config.v1+json", put(config.to_string().as_bytes())),
        "layers": layers.iter().map(|layer| with_type(&layer.media_type, put(&layer.blob))).collect::<Vec<_>>(),
    });
    let mut descriptor = with_type("application/vnd.oci.image.manifest.v1+json", put(manifest.to_string().as_bytes()));
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    std::fs::write(place.join("index.json"), json!({"schemaVersion": 2, "manifests": [descriptor]}).to_string())
        .unwrap();
    std::fs::write(place.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// nobody: newuidmap wants a user with a name.
const USER: u32 = 65534;

/// An ordinary user, who is root in a user namespace: what he unpacks is the same there, but for what only the host's root
/// may make.
pub fn rootless(world: &World) -> Done {
    let expected = mounted(&world.place("rootful"));
    let place = world.place("rootless");
    std::os::unix::fs::chown(&place, Some(USER), Some(USER)).unwrap();
    world.open_up();
    // Subordinate ids, in this mount namespace alone.
    for (file, name) in [("/etc/subuid", "subuid"), ("/etc/subgid", "subgid")] {
        let own = world.place("ids").join(name);
        std::fs::write(&own, format!("{USER}:300000:65536\n")).unwrap();
        if !Path::new(file).is_file() || Command::new("newuidmap").output().is_err() {
            return Err("newuidmap or /etc/subuid is missing".to_owned());
        }
        nix::mount::mount(Some(&own), file, None::<&str>, nix::mount::MsFlags::MS_BIND, None::<&str>).unwrap();
    }
    let program = place.join("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let output = Command::new("setpriv")
        .args([format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()])
        .arg(&program)
        .arg("--rootless")
        .arg(&place)
        .output()
        .unwrap();
    for file in ["/etc/subuid", "/etc/subgid"] {
        nix::mount::umount(file).unwrap();
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let digest = Digest::sha256(format!("{expected:?}").as_bytes()).to_string();
    assert_eq!(said.trim(), digest, "the tree in the user namespace is another");
    for name in ["rootless", "rootful", "ids"] {
        std::fs::remove_dir_all(world.place(name)).unwrap();
    }
    Ok(())
}

/// The half of it that runs as the user: says the digest of the tree.
pub fn rootless_child(place: &Path) {
    coracle_image::rootless::enter().unwrap();
    let tree = mounted(place);
    println!("{}", Digest::sha256(format!("{tree:?}").as_bytes()));
}
