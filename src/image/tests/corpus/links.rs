//! Symbolic and hard links, and what is made through them.

use crate::archive::Archive;
use crate::cases::Want::{Contain, Either, Reject};
use crate::cases::{Case, case, contain, either, outside, reject};

fn new() -> Archive {
    Archive::new()
}

pub fn cases() -> Vec<Case> {
    let up = "../../../../../../../../../../../../..";
    vec![
        outside(
            "symlink-abs-write",
            Contain,
            |out| vec![new().symlink("l", out).file("l/victim", "x")],
            |t| {
                t.kind("l", 'l');
                assert_eq!(t.0.values().filter(|node| node.content == b"x").count(), 1);
            },
        ),
        outside(
            "symlink-rel-write",
            Contain,
            move |out| vec![new().symlink("l", format!("{up}{out}")).file("l/victim", "x")],
            |t| {
                t.kind("l", 'l');
            },
        ),
        outside(
            "symlink-cross-layer",
            Contain,
            |out| vec![new().symlink("l", out), new().file("l/victim", "x")],
            |t| {
                t.kind("l", 'l');
            },
        ),
        case(
            "symlink-in-root",
            Contain,
            vec![new().dir("usr/lib").symlink("lib", "/usr/lib").file("lib/x", "x")],
            |t| {
                t.file("usr/lib/x", "x");
                t.kind("lib", 'l');
            },
        ),
        contain("symlink-dangling", new().symlink("run", "/var/run").file("run/x", "x"), |t| {
            t.file("var/run/x", "x");
        }),
        either("symlink-loop", new().symlink("a", "b").symlink("b", "a").file("a/x", "x")),
        either("symlink-proc-root", new().symlink("a", "/proc/self/root").file("a/etc/x", "x")),
        outside(
            "hardlink-to-symlink-write",
            Contain,
            |out| vec![new().symlink("s", format!("{out}/victim")).hardlink("h", "s").file("h", "x")],
            |t| {
                t.file("h", "x");
            },
        ),
        outside("hardlink-abs-host", Reject, |out| vec![new().hardlink("h", format!("{out}/victim"))], |_| {}),
        outside("hardlink-dotdot", Reject, move |out| vec![new().hardlink("h", format!("{up}{out}/victim"))], |_| {}),
        outside(
            "hardlink-through-symlink",
            Reject,
            |out| vec![new().symlink("l", out).hardlink("h", "l/victim")],
            |_| {},
        ),
        outside(
            "hardlink-through-symlink-write",
            Either,
            |out| vec![new().symlink("l", out).hardlink("h", "l/victim").file("h", "x")],
            |_| {},
        ),
        reject("hardlink-self", new().file("h", "x").hardlink("h", "h")),
        reject("hardlink-self-new", new().hardlink("h", "h")),
        reject("hardlink-dir", new().dir("d").hardlink("h", "d")),
        either("hardlink-forward", new().hardlink("h", "f").file("f", "x")),
        contain("hardlink", new().dir("a").file("a/f", "x").dir("b").hardlink("b/h", "a/f"), |t| {
            assert_eq!(t.file("b/h", "x").same_as.as_deref(), Some(&b"a/f"[..]));
        }),
        contain("hardlink-abs", new().file("a/f", "x").hardlink("/b/h", "/a/f"), |t| {
            t.file("b/h", "x");
        }),
        case("hardlink-lower", Contain, vec![new().dir("a").file("a/f", "x"), new().hardlink("h", "a/f")], |t| {
            assert_eq!(t.file("h", "x").same_as.as_deref(), Some(&b"a/f"[..]));
        }),
        case(
            "hardlink-removed-lower",
            Reject,
            vec![new().file("f", "x"), new().whiteout(".wh.f"), new().hardlink("h", "f")],
            |_| {},
        ),
        contain(
            "hardlink-long-K",
            new().file("f".repeat(90), "x").long(b'K', "f".repeat(90).as_bytes()).hardlink("h", "y"),
            |t| {
                t.file("h", "x");
            },
        ),
        reject("symlink-empty-target", new().symlink("l", "")),
        reject("symlink-long-target", new().symlink("l", "t".repeat(5000))),
        contain("symlink-target-bytes", new().symlink("l", "../../\x1b\n"), |t| {
            assert_eq!(t.get("l").content, b"../../\x1b\n");
        }),
        outside(
            "symlink-xattr-follow",
            Either,
            |out| vec![new().pax(&[("SCHILY.xattr.user.x", b"y")]).symlink("l", format!("{out}/victim"))],
            |_| {},
        ),
        outside(
            "symlink-xattr-trusted",
            Contain,
            |out| vec![new().pax(&[("SCHILY.xattr.trusted.x", b"y")]).symlink("l", format!("{out}/victim"))],
            |t| assert_eq!(t.get("l").xattrs, [(b"trusted.x".to_vec(), b"y".to_vec())]),
        ),
        outside(
            "symlink-mtime-follow",
            Contain,
            |out| vec![new().symlink("l", format!("{out}/victim")).symlink("d", format!("{out}/directory"))],
            |t| assert_eq!(t.get("l").mtime.0, crate::archive::MTIME),
        ),
        // Onto the base.
        case(
            "parent-symlink-lower",
            Contain,
            vec![new().dir("usr").dir("usr/lib").symlink("lib", "usr/lib"), new().dir("usr").file("lib/x", "x")],
            |t| {
                t.kind("lib", 'l');
                t.file("usr/lib/x", "x");
            },
        ),
        case(
            "parent-symlink-lower-mixed",
            Contain,
            vec![
                new().dir("usr").dir("usr/lib").file("usr/lib/a", "1").symlink("lib", "usr/lib"),
                new().file("lib/a", "2").file("usr/lib/b", "3").whiteout("lib/.wh.c").hardlink("h", "lib/a"),
                new().file("lib/c", "4").whiteout("lib/.wh.b"),
            ],
            |t| {
                t.file("usr/lib/a", "2");
                t.file("h", "2");
                t.names("usr/lib", &["a", "c"]);
            },
        ),
        case(
            "dir-entry-over-lower-symlink",
            Contain,
            vec![
                new().dir("usr").dir("usr/lib").file("usr/lib/a", "1").symlink("lib", "usr/lib"),
                new().dir("lib").file("lib/x", "x"),
            ],
            |t| {
                t.names("lib", &["x"]);
                t.names("usr/lib", &["a"]);
            },
        ),
        case(
            "implicit-below-replaced-symlink",
            Contain,
            vec![
                new().dir("usr").dir("usr/lib").dir("usr/lib/s").symlink("lib", "usr/lib"),
                new().dir("lib").file("lib/s/x", "x"),
            ],
            |t| {
                t.file("lib/s/x", "x");
                t.names("usr/lib/s", &[]);
            },
        ),
    ]
}
