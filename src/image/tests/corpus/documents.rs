//! Indexes, manifests and archives of Docker that lead astray: refused, and nothing is kept under the name.

use std::fs;
use std::path::Path;

use coracle_image::destination::pull;
use coracle_image::digest::Digest;
use coracle_image::manifest::{OCI_INDEX, OCI_MANIFEST};
use coracle_image::platform::Platform;
use coracle_image::progress::silent;
use coracle_image::registry::Access;
use coracle_image::source::Source;
use coracle_image::store::Store;
use serde_json::{Value, json};

use crate::archive::{Archive, Header, octal};
use crate::cases::gzip;
use crate::deeds::Done;
use crate::peers::layout;
use crate::way::World;

pub fn documents(world: &World) -> Done {
    let place = world.place("documents");
    in_layouts(&place);
    in_archives(&place);
    fs::remove_dir_all(&place).unwrap();
    Ok(())
}

/// What comes of pulling `reference`.
fn outcome(place: &Path, reference: &str) -> Result<(), String> {
    let store = Store::open(&place.join("store")).unwrap();
    let pulled = || {
        let source = Source::open(&reference.parse()?, &Platform::host(), &store, &Access::default())?;
        pull(&source, &"localhost/x:1".parse()?, &store, &silent)
    };
    let outcome = pulled().map(drop).map_err(|error| error.to_string());
    assert_eq!(store.remove_reference("localhost/x:1").unwrap(), outcome.is_ok());
    store.gc().unwrap();
    outcome
}

#[track_caller]
fn refused(place: &Path, reference: &str, text: &str) {
    let error = outcome(place, reference).unwrap_err();
    assert!(error.contains(text), "not {text:?}: {error}");
}

fn in_layouts(place: &Path) {
    let dir = place.join("layout");
    layout(&dir, &[gzip(Archive::new().file("f", "content").end())]);
    let reference = format!("oci:{}", dir.display());
    let index = fs::read_to_string(dir.join("index.json")).unwrap();
    let good: Value = serde_json::from_str(&index).unwrap();
    let put = |kind: &str, document: &Value| {
        let bytes = document.to_string().into_bytes();
        let digest = Digest::sha256(&bytes);
        fs::write(dir.join("blobs").join(digest.path()), &bytes).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    };
    let list = |entry: &Value| json!({"schemaVersion": 2, "manifests": [entry]});
    let with = |entry: &Value| fs::write(dir.join("index.json"), list(entry).to_string()).unwrap();
    let entry = &good["manifests"][0];
    let manifest: Value = {
        let digest: Digest = entry["digest"].as_str().unwrap().parse().unwrap();
        serde_json::from_slice(&fs::read(dir.join("blobs").join(digest.path())).unwrap()).unwrap()
    };

    outcome(place, &reference).unwrap();
    let mut nested = entry.clone();
    for depth in 1..=10 {
        nested = put(OCI_INDEX, &list(&nested));
        with(&nested);
        match depth {
            1..=3 => outcome(place, &reference).unwrap(),
            _ => refused(place, &reference, "indexes in each other"),
        }
    }
    let mut upper = entry.clone();
    upper["digest"] = json!(entry["digest"].as_str().unwrap().to_uppercase().replace("SHA256", "sha256"));
    with(&upper);
    refused(place, &reference, "invalid digest");
    // Neither content within a descriptor nor places to fetch it from are believed.
    let mut lying = manifest.clone();
    for part in ["/layers/0", "/config"] {
        let part = lying.pointer_mut(part).unwrap();
        part["data"] = json!("b3RoZXI=");
        part["urls"] = json!(["http://127.0.0.1:1/", "file:///etc/passwd"]);
    }
    with(&put(OCI_MANIFEST, &lying));
    outcome(place, &reference).unwrap();
    lying["layers"][0]["digest"] = json!(Digest::sha256(b"only there"));
    with(&put(OCI_MANIFEST, &lying));
    refused(place, &reference, "ENOENT");
    with(&put(OCI_MANIFEST, &json!({"schemaVersion": 2, "config": entry, "layers": []})));
    refused(place, &reference, "an artifact, not an image");
}

fn in_archives(place: &Path) {
    let layer = Archive::new().file("f", "content").end();
    let config = json!({"os": "linux", "rootfs": {"diff_ids": [Digest::sha256(&layer)]}}).to_string();
    let list = |config: &str, layer: &str| json!([{"Config": config, "RepoTags": null, "Layers": [layer]}]).to_string();
    let path = place.join("archive.tar");
    let reference = format!("docker-archive:{}", path.display());
    let with = |archive: Archive| fs::write(&path, archive.end()).unwrap();
    let base = || Archive::new().file("c.json", &config).file("l/layer.tar", &layer);

    with(base().file("manifest.json", list("c.json", "l/layer.tar")));
    outcome(place, &reference).unwrap();
    // Old versions of Docker link layers that are the same.
    with(base().symlink("m/layer.tar", "../l/layer.tar").file("manifest.json", list("c.json", "m/layer.tar")));
    outcome(place, &reference).unwrap();
    let zipped = Archive::new().file("c.json", &config).file("l", crate::cases::gzipped(&layer));
    with(zipped.file("manifest.json", list("c.json", "l")));
    outcome(place, &reference).unwrap();

    let outside = "/../../../../../etc/passwd";
    for (archive, text) in [
        (base().file("manifest.json", list(outside, "l/layer.tar")), "no member"),
        (base().file("manifest.json", list("c.json", outside)), "no member"),
        (base().symlink("m", outside).file("manifest.json", list("c.json", "m")), "no member"),
        (base().symlink("m", "m").file("manifest.json", list("c.json", "m")), "in a circle"),
        (base().file("manifest.json", list("c.json", "none")), "no member"),
        (base().file("c.json", "{}").file("manifest.json", list("c.json", "l/layer.tar")), "two members"),
        (base().file("manifest.json", "[]"), "no image"),
        (base().file("manifest.json", "{}"), "parse manifest.json"),
        (base(), "not an archive of docker save"),
    ] {
        with(archive);
        refused(place, &reference, text);
    }
    let claims = Header { size: octal(1 << 33, 12), ..Header::new("huge", b'0') };
    fs::write(&path, base().raw(&claims, b"little").0).unwrap();
    refused(place, &reference, "archive");
}
