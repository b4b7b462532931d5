//! Places of images: layouts, archives, other programs' too.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use integration::{Context, Images, Layout, Test, need, requires, test};
use serde_json::json;

fn image(t: &Context) -> String {
    Layout::new(t, "image").layer(|dir| fs::write(dir.join("file"), "content\n").unwrap()).save("v1")
}

/// The image at `place` runs and has its file.
#[track_caller]
fn runs(t: &Context, images: &Images<'_>, place: &str) {
    let said = images.call(&["run", "--rm", "--name", &t.unique(), place, "--", "/guest", "read", "/file"]).run();
    said.ok().says("content");
}

/// The image at `place` is refused with this text, and the store is left without it.
#[track_caller]
fn refused(t: &Context, place: &str, text: &str) {
    let images = Images::new(t);
    images.call(&["pull", "--name", "refused", place]).run().code(125).stderr(text);
    images.call(&["ls", "--json"]).run().ok().says("[]");
}

/// The layout's directory and one of its blobs, which the index, the manifest and so on name.
fn blob_of(layout: &Path, document: &str, pointer: &str) -> PathBuf {
    let text = fs::read(layout.join(document)).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let digest = value.pointer(pointer).unwrap().as_str().unwrap();
    layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

pub const TESTS: &[Test] = &[
    test("image places: from each to each, and what comes out runs", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let place = |kind: &str, name: &str| format!("{kind}:{}", t.path(name).display());
        let chain = [
            place("oci-archive", "one.tar"),
            place("docker-archive", "two.tar"),
            place("oci", "three"),
            place("oci-archive", "four.tar"),
        ];
        let mut from = image.clone();
        for to in &chain {
            images.call(&["copy", &from, to]).run().ok();
            from = to.clone();
        }
        runs(t, &images, &from);
        // The same layers and configuration all the way; the manifest is lost in Docker's form.
        let facts = |place: &str| {
            let said = images.call(&["inspect", place]).run().json();
            (said["manifest"]["layers"].clone(), said["manifest"]["config"]["digest"].clone(), said["config"].clone())
        };
        assert_eq!(facts(&image), facts(&from));
    }),
    test("image places: a name and a second image in a layout", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let layout = format!("oci:{}", t.path("both").display());
        images.call(&["copy", &image, &format!("{layout}:a")]).run().ok();
        let other = Layout::new(t, "other").layer(|dir| fs::write(dir.join("file"), "other\n").unwrap()).save("x");
        images.call(&["copy", &other, &format!("{layout}:b")]).run().ok();
        runs(t, &images, &format!("{layout}:a"));
        images.call(&["inspect", &layout]).run().code(125).stderr("give the name of one").stderr("it has a, b");
        images.call(&["inspect", &format!("{layout}:c")]).run().code(125).stderr("no image is called \"c\"");
        // A name moves.
        images.call(&["copy", &image, &format!("{layout}:b")]).run().ok();
        runs(t, &images, &format!("{layout}:b"));
    }),
    test("image places: save and load, by file and by stream", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let file = t.path("saved.tar");
        images.call(&["pull", "--name", "saved:1", &image]).run().ok().says("localhost/saved:1");
        images.call(&["save", "--output", file.to_str().unwrap(), "saved:1"]).run().ok();
        let other = Images::new(t).with_store(t.path("store2"));
        other.call(&["load", "--input", file.to_str().unwrap()]).run().ok().says("localhost/saved:1");
        runs(t, &other, "saved:1");
        let store = t.path("store3");
        let third = Images::new(t).with_store(store.clone());
        let script = "gzip -c \"$1\" | \"$0\" --root \"$2\" load --name x";
        let program = images.program().to_str().unwrap();
        let args = ["-c", script, program, file.to_str().unwrap(), store.to_str().unwrap()];
        t.tool("/bin/sh", &args).run().ok();
        runs(t, &third, "localhost/x");
    }),
    test("image places: archives of skopeo, in both forms, and what skopeo makes of ours", &[], |t| {
        requires!(need::program("/usr/bin/skopeo"));
        let (images, image) = (Images::new(t), image(t));
        let skopeo = |from: &str, to: &str| t.tool("/usr/bin/skopeo", &["--insecure-policy", "copy", from, to]).run();
        for kind in ["oci-archive", "docker-archive"] {
            let place = format!("{kind}:{}", t.path(&format!("{kind}.tar")).display());
            skopeo(&image, &format!("{place}:app:v2")).ok();
            runs(t, &images, &place);
        }
        let ours = format!("docker-archive:{}", t.path("ours.tar").display());
        images.call(&["copy", &image, &format!("{ours}:app:v3")]).run().ok();
        let theirs = format!("oci:{}", t.path("theirs").display());
        skopeo(&ours, &format!("{theirs}:x")).ok();
        runs(t, &images, &theirs);
    }),
    test("image places: podman loads what was committed and saved, and loads back", &[], |t| {
        requires!(need::program("/usr/bin/podman"));
        let (images, image, name) = (Images::new(t), image(t), t.unique());
        images.call(&["run", "--name", &name, &image, "--", "/guest", "write", "/data/new"]).run().ok();
        images.call(&["commit", &name, "committed:1"]).run().ok();
        images.call(&["rm", "--container", &name]).run().ok();
        let (saved, back) = (t.path("saved.tar"), t.path("back.tar"));
        images.call(&["save", "--output", saved.to_str().unwrap(), "committed:1"]).run().ok();
        let storage = [("--root", "podman"), ("--runroot", "podman-run"), ("--tmpdir", "podman-tmp")];
        let storage: Vec<String> = storage
            .iter()
            .flat_map(|(option, dir)| [(*option).to_owned(), t.path(dir).display().to_string()])
            .collect();
        let podman = |args: &[&str]| {
            let all: Vec<&str> = storage
                .iter()
                .map(String::as_str)
                .chain(["--storage-driver=vfs"])
                .chain(args.iter().copied())
                .collect();
            t.tool("/usr/bin/podman", &all).limit(Duration::from_secs(90)).run()
        };
        podman(&["load", "--input", saved.to_str().unwrap()]).ok().stdout("localhost/committed:1");
        podman(&["save", "--output", back.to_str().unwrap(), "localhost/committed:1"]).ok();
        let other = Images::new(t).with_store(t.path("store2"));
        other.call(&["load", "--input", back.to_str().unwrap()]).run().ok().says("localhost/committed:1");
        runs(t, &other, "committed:1");
    }),
    test("image places: the platform decides in an index", &[], |t| {
        let (images, image) = (Images::new(t), image(t));
        let layout = t.path("image");
        let mut index: serde_json::Value =
            serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let mut foreign = index["manifests"][0].clone();
        foreign["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
        foreign["platform"] = json!({"os": "linux", "architecture": "mips64"});
        index["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "amd64"});
        index["manifests"].as_array_mut().unwrap().insert(0, foreign);
        fs::write(layout.join("index.json"), index.to_string()).unwrap();
        let place = image.trim_end_matches(":v1");
        images.call(&["inspect", "--platform", "linux/amd64", place]).run().ok();
        images.call(&["inspect", "--platform", "linux/mips64", place]).run().code(125).stderr("open blobs/sha256/0000");
        images
            .call(&["inspect", "--platform", "linux/s390x", place])
            .run()
            .code(125)
            .stderr("no image for linux/s390x");
    }),
    test("image places: all platforms of an index, as skopeo copies them", &[], |t| {
        requires!(need::program("/usr/bin/skopeo"));
        let images = Images::new(t);
        let from = Layout::new(t, "many").save_for("v1", &["amd64", "arm64", "s390x"]);
        let place = |kind: &str, name: &str| format!("{kind}:{}", t.path(name).display());
        let (layout, archive, theirs) =
            (place("oci", "ours"), place("oci-archive", "ours.tar"), place("oci", "theirs"));
        let skopeo = |from: &str, to: &str| {
            t.tool("/usr/bin/skopeo", &["--insecure-policy", "copy", "--all", from, &format!("{to}:v1")]).run()
        };
        images.call(&["copy", "--all", &from, &format!("{archive}:v1")]).run().ok();
        images.call(&["copy", "--all", &archive, &format!("{layout}:v1")]).run().ok();
        skopeo(&from, &theirs).ok();
        let blobs = |name: &str| {
            let mut names: Vec<_> = fs::read_dir(t.path(name).join("blobs/sha256")).unwrap().collect();
            names.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
            names.into_iter().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>()
        };
        assert_eq!(blobs("ours"), blobs("theirs"));
        assert_eq!(blobs("ours").len(), 1 + 3 + 3 + 1 + 1 + 1);
        for architecture in ["amd64", "arm64", "s390x"] {
            let platform = format!("linux/{architecture}");
            let said = images.call(&["inspect", "--platform", &platform, &layout]).run().json();
            assert_eq!(said["config"]["architecture"], architecture);
        }
        skopeo(&archive, &place("oci", "back")).ok();
        for to in ["local:1", &place("docker-archive", "no.tar")] {
            images.call(&["copy", "--all", &from, to]).run().code(125).stderr("room for one image only");
        }
    }),
    test("image places: a blob that is not what it says", &[], |t| {
        let image = image(t);
        let layout = t.path("image");
        let manifest = blob_of(&layout, "index.json", "/manifests/0/digest");
        let name = manifest.strip_prefix(&layout).unwrap().to_str().unwrap();
        let layer = blob_of(&layout, name, "/layers/1/digest");
        let good = fs::read(&layer).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&layer, &bad).unwrap();
        refused(t, &image, "layer sha256:");
        fs::write(&layer, &good[..good.len() - 1]).unwrap();
        refused(t, &image, "layer sha256:");
        fs::remove_file(&layer).unwrap();
        nix::unistd::mkfifo(&layer, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused(t, &image, "not a regular file");
        // What was wrong is not kept.
        fs::remove_file(&layer).unwrap();
        fs::write(&layer, &good).unwrap();
        runs(t, &Images::new(t), &image);
    }),
    test("image places: documents of two kinds, of another kind, too large", &[], |t| {
        let image = image(t);
        let layout = t.path("image");
        let index = fs::read_to_string(layout.join("index.json")).unwrap();
        let with = |change: &dyn Fn(&mut serde_json::Value)| {
            let mut value = serde_json::from_str(&index).unwrap();
            change(&mut value);
            fs::write(layout.join("index.json"), value.to_string()).unwrap();
        };
        with(&|index| index["layers"] = json!([]));
        refused(t, &image, "both a manifest and an index");
        with(&|index| index["manifests"][0]["size"] = json!(-1));
        refused(t, &image, "parse manifest");
        with(&|index| index["manifests"][0]["size"] = json!(5 << 20));
        refused(t, &image, "more than 4194304");
        with(&|index| index["manifests"][0]["digest"] = json!("sha256:../../../etc/passwd"));
        refused(t, &image, "invalid digest");
        fs::write(layout.join("index.json"), vec![b' '; 5 << 20]).unwrap();
        refused(t, &image, "larger than 4194304");
    }),
];
