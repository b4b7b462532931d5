//! The same images taken apart by others: umoci, skopeo with tar, and coracle-image without root's privileges.

use std::path::{Path, PathBuf};
use std::process::Command;

use coracle_image::digest::Digest;
use coracle_image::image::unpack_copy;
use coracle_image::progress::silent;
use serde_json::json;

use crate::cases::Layer;
use crate::deeds::{Done, image};
use crate::tree::{Node, Tree};
use crate::user::{IDS, mounted, said, with_source};
use crate::way::World;

/// An image in which everything occurs, and those that IMAGES names: layouts, with colons between.
pub fn others(world: &World) -> Done {
    for program in ["umoci", "skopeo"] {
        Command::new(program).arg("--version").output().map_err(|_| format!("{program} is not installed"))?;
    }
    crate::user::needs()?;
    let place = world.place("others");
    let (own, link) = (place.join("own"), place.join("image"));
    layout(&own, &image());
    let named = std::env::var_os("IMAGES").unwrap_or_default();
    let named = std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty());
    for layout in [own.clone()].into_iter().chain(named) {
        std::os::unix::fs::symlink(&layout, &link).unwrap();
        let tree = all_make_the_same(world, &place, layout == own);
        std::fs::remove_file(&link).unwrap();
        let count = |counted: fn(&Node) -> bool| tree.0.values().filter(|node| counted(node)).count();
        let bytes: u64 = tree.0.values().filter(|node| node.kind == 'f').map(|node| node.size).sum();
        println!(
            "others: {} has {} entries, {} hard links, {} with extended attributes, {bytes} bytes",
            layout.display(),
            tree.0.len(),
            count(|node| node.same_as.is_some()),
            count(|node| !node.xattrs.is_empty())
        );
    }
    std::fs::remove_dir_all(&place).unwrap();
    Ok(())
}

/// The tree. Directories without entries have the time at which umoci made them, and tar
/// changed something in them.
fn all_make_the_same(world: &World, place: &Path, implicit: bool) -> Tree {
    let expected = mounted(place);
    let same = |who: &str, tree: Tree, undated: fn(i64) -> bool| {
        let [tree, expected] = [tree, expected.clone()].map(|mut tree| {
            let directories = tree.0.values_mut().filter(|node| node.kind == 'd');
            directories.filter(|node| implicit && undated(node.mtime.0)).for_each(|node| node.mtime = (0, 0));
            tree
        });
        assert_eq!(tree.difference(&expected), None, "{who}");
    };
    let target = place.join("tree");
    let taken = || {
        let tree = Tree::read(&target);
        std::fs::remove_dir_all(&target).unwrap();
        tree
    };
    std::fs::create_dir(&target).unwrap();
    with_source(place, |source, store| unpack_copy(source, store, &target, &silent)).unwrap();
    assert_eq!(taken().difference(&expected), None, "flat");

    run(Command::new("umoci").args(["unpack", "--image", "image:latest", "bundle"]).current_dir(place));
    std::fs::rename(place.join("bundle/rootfs"), &target).unwrap();
    std::fs::remove_dir_all(place.join("bundle")).unwrap();
    same("umoci", taken(), |seconds| seconds == 0 || seconds > 1_770_000_000);

    let copied = place.join("copied");
    let from = format!("oci:{}:latest", place.join("image").display());
    let to = format!("dir:{}", copied.display());
    run(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &from, &to]));
    let layers: Vec<PathBuf> = with_source(place, |source, _| {
        let name = |digest: &Digest| copied.join(digest.to_string().split_once(':').unwrap().1);
        source.manifest.layers.iter().map(|layer| name(&layer.digest)).collect()
    });
    run(Command::new("bash").args(["-euo", "pipefail", "-c", TAR, "tar"]).arg(&target).args(layers));
    std::fs::remove_dir_all(&copied).unwrap();
    same("skopeo with tar", taken(), |_| true);

    for ids in IDS {
        let layout = place.join("image").canonicalize().unwrap();
        let said =
            said(world, ids, "--tree", |place| run(Command::new("cp").arg("-r").arg(layout).arg(place.join("image"))));
        let tree: Tree = serde_json::from_str(&said).unwrap();
        assert_eq!(tree.difference(&ids.seen(expected.clone())), None, "rootless, {ids:?}");
    }
    expected
}

/// Whiteouts first, for tar knows nothing of them, then the layer.
const TAR: &str = r#"
tree=$1 && shift && mkdir "$tree"
for layer in "$@"; do
  gzip -dc "$layer" >"$tree.tar"
  tar --quoting-style=literal -tf "$tree.tar" | { grep -E '(^|/)\.wh\.' || true; } | while IFS= read -r path; do
    name=${path##*/} dir=$tree/${path%"${path##*/}"}
    [ -d "$dir" ] || continue
    case $name in
      .wh..wh..opq) find "$dir" -mindepth 1 -delete ;;
      *) rm -rf "$dir/${name#.wh.}" ;;
    esac
  done
  tar --numeric-owner --same-owner -p --xattrs --xattrs-include='*' --delay-directory-restore --exclude='.wh.*' -xf "$tree.tar" -C "$tree"
done
rm "$tree.tar"
"#;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
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
