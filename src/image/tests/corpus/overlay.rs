//! What overlayfs would take for its own, and what layers leave to those below them.

use crate::archive::{Archive, Header};
use crate::cases::Want::Contain;
use crate::cases::{Case, case, contain, either, reject};

fn new() -> Archive {
    Archive::new()
}

fn device(name: &str, flag: u8, device: (u32, u32)) -> Archive {
    new().entry(Header { device, ..Header::new(name, flag) }, b"")
}

pub fn cases() -> Vec<Case> {
    vec![
        either("chardev-0-0", device("w", b'3', (0, 0))),
        contain("device-null", device("null", b'3', (1, 3)), |t| {
            assert_eq!(t.kind("null", 'c').device, rustix::fs::makedev(1, 3));
        }),
        either("dev-mem", device("mem", b'3', (1, 1)).raw(&Header { device: (8, 0), ..Header::new("sda", b'4') }, b"")),
        case(
            "overlay-xattr-opaque",
            Contain,
            vec![
                new().dir("d").file("d/a", "x"),
                new().pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y")]).dir("d").file("d/b", "x"),
            ],
            |t| t.names("d", &["a", "b"]),
        ),
        case(
            "overlay-xattr-redirect",
            Contain,
            vec![
                new().dir("d").file("d/a", "x"),
                new().pax(&[("SCHILY.xattr.trusted.overlay.redirect", b"/d")]).dir("e"),
            ],
            |t| {
                t.names("e", &[]);
                assert!(t.get("e").xattrs.is_empty());
            },
        ),
        contain(
            "overlay-xattr-user",
            new().pax(&[("SCHILY.xattr.user.overlay.opaque", b"y"), ("SCHILY.xattr.user.a", b"b")]).file("f", "x"),
            |t| {
                assert_eq!(t.get("f").xattrs, [(b"user.a".to_vec(), b"b".to_vec())]);
            },
        ),
        case(
            "implicit-dir-attrs",
            Contain,
            vec![
                new().pax(&[("SCHILY.xattr.user.a", b"b")]).mode("d", b'5', 0o1700).dir("d/e").file("d/e/a", "x"),
                new().file("d/e/b", "x"),
            ],
            |t| {
                assert_eq!((t.get("d").mode, t.get("d").mtime.0), (0o1700, crate::archive::MTIME));
                assert_eq!(t.get("d").xattrs.len(), 1);
                t.names("d/e", &["a", "b"]);
            },
        ),
        case(
            "implicit-dir-file-below",
            Contain,
            vec![new().dir("d").file("d/e", "x"), new().dir("d").dir("d/e").file("d/e/f", "x")],
            |t| {
                t.file("d/e/f", "x");
            },
        ),
        case("implicit-dir-over-file", crate::Want::Either, vec![new().file("d", "x"), new().file("d/e", "x")], |_| {}),
        case(
            "explicit-dir-replaces-attributes",
            Contain,
            vec![
                new().pax(&[("SCHILY.xattr.user.a", b"b")]).mode("d", b'5', 0o700).file("d/a", "x"),
                new().pax(&[("SCHILY.xattr.user.c", b"d")]).mode("d", b'5', 0o755),
            ],
            |t| {
                assert_eq!(t.get("d").xattrs, [(b"user.c".to_vec(), b"d".to_vec())]);
                t.names("d", &["a"]);
            },
        ),
        case(
            "default-acl-xlayer",
            Contain,
            vec![
                new().pax(&[("SCHILY.xattr.system.posix_acl_default", &acl())]).dir("d").dir("d/e"),
                new().file("d/f", "x").dir("d/g"),
            ],
            |t| {
                assert_eq!(t.get("d").xattrs[0].0, b"system.posix_acl_default");
                for path in ["d/e", "d/f", "d/g"] {
                    assert!(t.get(path).xattrs.is_empty(), "{path}: {:?}", t.get(path).xattrs);
                }
                assert_eq!((t.get("d/f").mode, t.get("d/g").mode), (0o644, 0o755));
            },
        ),
        contain(
            "access-acl",
            new().pax(&[("SCHILY.xattr.system.posix_acl_access", &acl())]).mode("f", b'0', 0o770),
            |t| {
                assert_eq!(t.get("f").xattrs[0].0, b"system.posix_acl_access");
            },
        ),
        either("xattr-bad-acl", new().pax(&[("SCHILY.xattr.system.posix_acl_access", b"nonsense")]).file("f", "x")),
        contain(
            "file-capability",
            new().pax(&[("SCHILY.xattr.security.capability", &capability())]).mode("f", b'0', 0o755),
            |t| {
                assert_eq!(t.get("f").xattrs, [(b"security.capability".to_vec(), capability())]);
            },
        ),
        contain("host-labels", new().pax(&[("SCHILY.xattr.security.selinux", b"u:r:t:s0\0")]).file("f", "x"), |t| {
            assert!(t.get("f").xattrs.is_empty());
        }),
        reject("unknown-namespace-of-xattr", new().pax(&[("SCHILY.xattr.", b"x")]).file("f", "x")),
        case("device-over-file", Contain, vec![new().file("n", "x"), device("n", b'3', (1, 3))], |t| {
            t.kind("n", 'c');
        }),
        case(
            "ten-layers",
            Contain,
            (0..10).map(|i| new().dir("d").file(format!("d/{i}"), "x").file("last", i.to_string())).collect(),
            |t| {
                t.file("last", "9");
                t.names("d", &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
            },
        ),
    ]
}

/// user::rwx, user:7:rwx, group::r-x, mask::rwx, other::---, as acl(5) is kept in attributes.
fn acl() -> Vec<u8> {
    let mut value = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 7_u16, u32::MAX), (2, 7, 7), (4, 5, u32::MAX), (16, 7, u32::MAX), (32, 0, u32::MAX)]
    {
        value.extend(tag.to_le_bytes());
        value.extend(permissions.to_le_bytes());
        value.extend(id.to_le_bytes());
    }
    value
}

/// cap_net_raw+ep, revision 2.
fn capability() -> Vec<u8> {
    [0x0200_0001_u32, 1 << 13, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}
