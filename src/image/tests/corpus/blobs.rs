//! Blobs: compression, digests, sizes.

use std::io::Write;

use coracle_image::digest::{Algorithm, Digest, Hasher};

use crate::archive::Archive;
use crate::cases::Want::{Contain, Either, Reject};
use crate::cases::{Case, Layer, gzip, gzipped, layer, layers};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";

fn tar() -> Vec<u8> {
    Archive::new().dir("d").file("d/f", "x".repeat(5000)).end()
}

fn good(name: &'static str, one: impl Fn() -> Layer + 'static) -> Case {
    layers(
        name,
        Contain,
        move || vec![one()],
        |t| {
            t.file("d/f", "x".repeat(5000));
        },
    )
}

fn bad(name: &'static str, one: impl Fn() -> Layer + 'static) -> Case {
    layers(name, Reject, move || vec![one()], |_| {})
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// A frame whose header asks for a window of 2 GiB.
fn wide(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(31).unwrap();
    encoder.long_distance_matching(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sha512(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha512);
    hasher.update(bytes);
    hasher.finish()
}

pub fn cases() -> Vec<Case> {
    let halves = || {
        let tar = tar();
        let (a, b) = tar.split_at(700);
        (a.to_vec(), b.to_vec())
    };
    vec![
        good("plain", || layer(PLAIN, tar(), &tar())),
        good("gzip", || gzip(tar())),
        good("zstd", || layer(ZSTD, zstd(&tar()), &tar())),
        good("docker-type", || layer("application/vnd.docker.image.rootfs.diff.tar.gzip", gzipped(&tar()), &tar())),
        good("gzip-multimember", move || {
            let (a, b) = halves();
            layer(GZIP, [gzipped(&a), gzipped(&b)].concat(), &tar())
        }),
        good("zstd-frames", move || {
            let (a, b) = halves();
            layer(ZSTD, [zstd(&a), zstd(&b)].concat(), &tar())
        }),
        good("zstd-skippable", || {
            let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"skip"].concat();
            layer(ZSTD, [skipped.clone(), zstd(&tar()), skipped].concat(), &tar())
        }),
        bad("zstd-window", || layer(ZSTD, wide(&tar().repeat(2000)), &tar().repeat(2000))),
        bad("zstd-truncated", || {
            let blob = zstd(&tar());
            layer(ZSTD, blob[..blob.len() - 3].to_vec(), &tar())
        }),
        layers(
            "gzip-trailing-garbage",
            Either,
            || vec![layer(GZIP, [gzipped(&tar()), b"garbage".to_vec()].concat(), &tar())],
            |_| {},
        ),
        bad("gzip-truncated", || {
            let blob = gzipped(&tar());
            layer(GZIP, blob[..blob.len() - 9].to_vec(), &tar())
        }),
        bad("gzip-badcrc", || {
            let mut blob = gzipped(&tar());
            let at = blob.len() - 8;
            blob[at] ^= 1;
            layer(GZIP, blob, &tar())
        }),
        layers("plain-as-gzip", Either, || vec![layer(GZIP, tar(), &tar())], |_| {}),
        layers("xz", Reject, || vec![layer(GZIP, b"\xfd7zXZ\0junk".repeat(100), &tar())], |_| {}),
        bad("m-layer-digest", || Layer { digest: Digest::sha256(b"other"), ..gzip(tar()) }),
        bad("m-layer-size-small", || {
            let layer = gzip(tar());
            Layer { size: layer.size - 1, ..layer }
        }),
        bad("m-layer-size-big", || {
            let layer = gzip(tar());
            Layer { size: layer.size + 1, ..layer }
        }),
        bad("m-layer-size-zero", || Layer { size: 0, ..gzip(tar()) }),
        bad("m-diffid", || Layer { diff_id: Digest::sha256(b"other"), ..gzip(tar()) }),
        bad("m-diffid-of-part", || {
            // The right digest of the archive, but there is more behind its end.
            layer(GZIP, gzipped(&[tar(), b"more".to_vec()].concat()), &tar())
        }),
        bad("m-layer-mt", || Layer { media_type: "application/x-unknown".into(), ..gzip(tar()) }),
        bad("m-layer-mt-config", || Layer {
            media_type: "application/vnd.oci.image.config.v1+json".into(),
            ..gzip(tar())
        }),
        good("sha512", || {
            let layer = gzip(tar());
            Layer { digest: sha512(&layer.blob), diff_id: sha512(&tar()), ..layer }
        }),
        bad("sha512-wrong", || Layer { diff_id: sha512(b"other"), ..gzip(tar()) }),
        layers(
            "good-then-bad",
            Reject,
            || vec![gzip(tar()), Layer { diff_id: Digest::sha256(b"other"), ..gzip(tar()) }],
            |_| {},
        ),
        layers(
            "needs-base-and-bad",
            Reject,
            || {
                let upper = Archive::new().hardlink("h", "d/f").end();
                vec![gzip(tar()), Layer { diff_id: Digest::sha256(b"other"), ..gzip(upper) }]
            },
            |_| {},
        ),
        {
            let mut none = layers("no-layers", Contain, Vec::new, |t| assert_eq!(t.0.len(), 1));
            none.says_no_layer = true;
            none
        },
    ]
}
