//! Whiteouts of every kind, and in every order.

use crate::archive::{Archive, Header};
use crate::cases::Want::{Contain, Either};
use crate::cases::{Case, case, contain, either, outside, reject};

fn new() -> Archive {
    Archive::new()
}

fn base() -> Archive {
    new().mode("t", b'5', 0o700).file("t/a", "1").file("t/b", "2").dir("t/s").file("t/s/c", "3").file("f", "4")
}

fn on_base(name: &'static str, upper: Archive, check: impl Fn(&crate::tree::Tree) + 'static) -> Case {
    case(name, Contain, vec![base(), upper], check)
}

pub fn cases() -> Vec<Case> {
    let up = "../../../../../../../../../../../../..";
    vec![
        reject("wh-empty", new().whiteout(".wh.")),
        reject("wh-dot", new().whiteout(".wh..")),
        reject("wh-dotdot", new().whiteout(".wh...")),
        reject("wh-root-dotdot", new().whiteout(&format!("{up}/.wh.tmp"))),
        outside(
            "wh-through-symlink",
            Contain,
            |out| vec![new().symlink("l", out), new().whiteout("l/.wh.victim")],
            |t| {
                t.kind("l", 'l');
            },
        ),
        outside(
            "opq-through-symlink",
            Contain,
            |out| vec![new().symlink("l", out), new().whiteout("l/.wh..wh..opq")],
            |t| {
                t.kind("l", 'l');
            },
        ),
        outside(
            "wh-of-symlink",
            Contain,
            |out| vec![new().symlink("l", format!("{out}/victim")), new().whiteout(".wh.l")],
            |t| t.absent("l"),
        ),
        outside(
            "wh-of-symlink-dir",
            Contain,
            |out| {
                vec![
                    new().dir("d").file("d/x", "x").symlink("l", "d").symlink("m", format!("{out}/directory")),
                    new().whiteout(".wh.l").whiteout(".wh.m"),
                ]
            },
            |t| {
                t.absent("l");
                t.file("d/x", "x");
            },
        ),
        on_base("wh-file", new().whiteout(".wh.f").whiteout("t/.wh.a"), |t| {
            t.absent("f");
            t.names("t", &["b", "s"]);
        }),
        on_base("wh-dir", new().whiteout(".wh.t"), |t| t.names("", &["f"])),
        on_base("wh-then-file", new().whiteout(".wh.f").file("f", "new"), |t| {
            t.file("f", "new");
        }),
        on_base("file-then-wh", new().file("f", "new").whiteout(".wh.f"), |t| {
            t.file("f", "new");
        }),
        on_base("dir-then-wh", new().dir("t").file("t/n", "new").whiteout(".wh.t"), |t| {
            t.names("t", &["n"]);
            assert_eq!(t.get("t").mode, 0o755);
        }),
        on_base("opq-before", new().dir("t").whiteout("t/.wh..wh..opq").file("t/n", "new"), |t| t.names("t", &["n"])),
        on_base("opq-after", new().dir("t").file("t/n", "new").whiteout("t/.wh..wh..opq"), |t| t.names("t", &["n"])),
        on_base("opq-only", new().whiteout("t/.wh..wh..opq"), |t| {
            t.names("t", &[]);
            assert_eq!(t.get("t").mode, 0o700);
        }),
        on_base("opq-below", new().whiteout("t/.wh..wh..opq").file("t/s/n", "new"), |t| {
            t.names("t", &["s"]);
            t.names("t/s", &["n"]);
        }),
        on_base(
            "opq-and-wh",
            new().dir("t").whiteout("t/.wh..wh..opq").whiteout("t/.wh.a").whiteout("t/s/.wh.c"),
            |t| {
                t.names("t", &[]);
            },
        ),
        on_base("wh-missing", new().whiteout(".wh.nothing").whiteout("t/.wh.nothing"), |t| {
            t.names("t", &["a", "b", "s"])
        }),
        on_base("wh-missing-parent", new().whiteout("new/deep/.wh.x").dir("other").whiteout("other/.wh.y"), |t| {
            t.absent("new");
            t.names("other", &[]);
        }),
        on_base("opq-missing-parent", new().whiteout("new/.wh..wh..opq"), |t| t.names("", &["f", "t"])),
        case("wh-parent-is-file", Either, vec![base(), new().whiteout("f/.wh.x")], |t| {
            t.file("f", "4");
        }),
        case("opq-parent-is-file", Either, vec![base(), new().whiteout("f/.wh..wh..opq")], |t| {
            t.file("f", "4");
        }),
        case("wh-type-dir", Either, vec![base(), new().dir(".wh.f")], |t| t.absent("f")),
        case("wh-symlink-type", Either, vec![base(), new().symlink(".wh.f", "/etc/passwd")], |t| t.absent("f")),
        case("wh-data", Either, vec![base(), new().file(".wh.f", "data".repeat(500)).file("n", "x")], |t| {
            t.names("", &["n", "t"]);
        }),
        case(
            "wh-aufs",
            Either,
            vec![
                base(),
                new().file(".wh..wh.aufs", "").dir(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "x").dir(".wh..wh.orph"),
            ],
            |t| t.names("", &["f", "t"]),
        ),
        either("wh-reserved-dir", new().file(".wh.a/b", "x")),
        case("wh-root-opq", Contain, vec![base(), new().whiteout(".wh..wh..opq").file("n", "new")], |t| {
            t.names("", &["n"])
        }),
        case(
            "wh-root-opq-third",
            Contain,
            vec![
                base().mode("./", b'5', 0o711),
                new().file("m", "x"),
                new().whiteout(".wh..wh..opq").file("t/n", "new").whiteout(".wh.f"),
                new().file("o", "y"),
            ],
            |t| {
                t.names("", &["o", "t"]);
                t.names("t", &["n"]);
                assert_eq!((t.get("t").mode, t.get("").mode), (0o755, 0o711));
            },
        ),
        on_base("wh-dir-readd-child", new().whiteout(".wh.t").dir("t").file("t/n", "new"), |t| {
            t.names("t", &["n"]);
            assert_eq!(t.get("t").mode, 0o755);
        }),
        on_base("wh-then-readd-file-nodir", new().whiteout(".wh.t").file("t/n", "new"), |t| {
            t.names("t", &["n"]);
            assert_eq!(t.get("t").mode, 0o755);
        }),
        on_base("readd-file-nodir-then-wh", new().file("t/n", "new").whiteout(".wh.t"), |t| {
            t.names("t", &["n"]);
            assert_eq!(t.get("t").mode, 0o755);
        }),
        on_base("wh-then-readd-deep", new().whiteout(".wh.t").file("t/s/n", "new"), |t| {
            t.names("t", &["s"]);
            t.names("t/s", &["n"]);
        }),
        on_base("wh-dir-of-own-and-lower", new().file("t/s/n", "new").whiteout("t/.wh.s").whiteout(".wh.t"), |t| {
            t.names("t", &["s"]);
            t.names("t/s", &["n"]);
        }),
        case(
            "three-layer-resurrect",
            Contain,
            vec![base(), new().whiteout(".wh.t"), new().dir("t").file("t/n", "x")],
            |t| {
                t.names("t", &["n"]);
            },
        ),
        case(
            "three-layer-resurrect-implicit",
            Contain,
            vec![base(), new().whiteout(".wh.t"), new().file("t/n", "x")],
            |t| {
                t.names("t", &["n"]);
                assert_eq!(t.get("t").mode, 0o755);
            },
        ),
        case("wh-file-becomes-dir", Contain, vec![base(), new().whiteout(".wh.f").dir("f").file("f/n", "x")], |t| {
            t.names("f", &["n"]);
        }),
        case("wh-dir-becomes-file", Contain, vec![base(), new().whiteout(".wh.t").file("t", "x")], |t| {
            t.file("t", "x");
        }),
        contain(
            "wh-in-only-layer",
            new().whiteout(".wh.x").whiteout("a/.wh.y").dir("b").whiteout("b/.wh..wh..opq"),
            |t| {
                t.names("", &["b"]);
            },
        ),
        case(
            "wh-same-layer-other-base",
            Contain,
            vec![base(), new().file("u", "1"), new().whiteout(".wh.u"), new().file("u", "1")],
            |t| {
                t.file("u", "1");
            },
        ),
        case("wh-hardlinked", Contain, vec![base().hardlink("h", "f"), new().whiteout(".wh.f")], |t| {
            t.absent("f");
            t.file("h", "4");
        }),
        case("wh-own-hardlink-to-lower", Contain, vec![base(), new().hardlink("h", "f").whiteout(".wh.f")], |t| {
            t.absent("f");
            t.file("h", "4");
        }),
        on_base("wh-case", new().whiteout(".wh.F").whiteout(".WH.f"), |t| t.names("", &[".WH.f", "f", "t"])),
        on_base("wh-long-name", new().pax(&[("path", b"./t//.wh.a")]).entry(Header::new("x", b'0'), b""), |t| {
            t.names("t", &["b", "s"]);
        }),
    ]
}
