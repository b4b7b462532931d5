//! Images that ask for more than there is.

use std::io::Write;

use crate::archive::{Archive, Header, octal};
use crate::cases::Want::{Contain, Either, Reject};
use crate::cases::{Case, Layer, layer, layers};

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer of more than a gigabyte of zeros behind the end of its archive, in a megabyte. Nobody gets as far as its diffID.
fn bomb() -> Layer {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    layer(GZIP, encoder.finish().unwrap().repeat(17), b"")
}

pub fn cases() -> Vec<Case> {
    vec![
        layers("bomb-after-the-end", Reject, || vec![bomb()], |_| {}),
        layers(
            "claims-8E",
            Reject,
            || {
                let header = Header { size: octal((1 << 33) - 1, 12), ..Header::new("f", b'0') };
                vec![crate::cases::gzip(Archive::new().raw(&header, b"little").0)]
            },
            |_| {},
        ),
        layers(
            "claims-4E-pax",
            Reject,
            || vec![crate::cases::gzip(Archive::new().pax(&[("size", b"4611686018427387903")]).file("f", "little").0)],
            |_| {},
        ),
        layers(
            "many-entries",
            Contain,
            || {
                let mut archive = Archive::new();
                for i in 0..20_000 {
                    archive = archive.file(format!("d{}/{i}", i % 100), "");
                }
                vec![crate::cases::gzip(archive.end())]
            },
            |t| assert_eq!(t.0.len(), 20_101),
        ),
        layers(
            "many-layers",
            Either,
            || (0..60).map(|i| crate::cases::gzip(Archive::new().file(format!("f{i}"), "x").end())).collect(),
            |t| assert_eq!(t.0.len(), 61),
        ),
        {
            let mut many = layers(
                "too-many-layers",
                Reject,
                || (0..501).map(|i| crate::cases::gzip(Archive::new().file(format!("f{i}"), "x").end())).collect(),
                |_| {},
            );
            many.says_no_layer = true;
            many
        },
    ]
}
