//! Names of entries, and what is made in the place of something else.

use crate::archive::{Archive, Header, octal};
use crate::cases::Want::{Contain, Either};
use crate::cases::{Case, case, contain, either, outside, reject};

fn new() -> Archive {
    Archive::new()
}

pub fn cases() -> Vec<Case> {
    let up = "../../../../../../../../../../../../..";
    let mut cases = vec![
        contain("abs-name", new().file("/a/b", "x"), |t| {
            t.file("a/b", "x");
        }),
        outside(
            "abs-name-outside",
            Contain,
            |out| vec![new().file(format!("{out}/victim"), "x")],
            |t| {
                assert_eq!(t.0.values().filter(|node| node.content == b"x").count(), 1);
            },
        ),
        outside("dotdot-name", Either, move |out| vec![new().file(format!("{up}{out}/victim"), "x")], |_| {}),
        outside("dotdot-mid", Either, move |out| vec![new().dir("a").file(format!("a/{up}{out}/victim"), "x")], |_| {}),
        outside("dotdot-dir", Either, move |out| vec![new().mode(&format!("{up}{out}"), b'5', 0o777)], |_| {}),
        outside("root-symlink", crate::Want::Reject, |out| vec![new().symlink(".", out).file("victim", "x")], |_| {}),
        outside(
            "root-symlink-slash",
            crate::Want::Reject,
            |out| vec![new().symlink("/", out).file("victim", "x")],
            |_| {},
        ),
        either("root-regular", new().file("./", "x")),
        reject("root-hardlink", new().file("a", "x").hardlink(".", "a")),
        either("empty-name", new().file("", "x")),
        reject("nul-in-pax-path", new().pax(&[("path", b"a\0b")]).file("x", "x")),
        either("path-5000", new().pax(&[("path", "d/".repeat(2500).as_bytes())]).dir("x")),
        reject("component-300", new().pax(&[("path", "n".repeat(300).as_bytes())]).file("x", "x")),
        either("deep-1900", deep()),
        contain("utf8-invalid", new().file(b"a\xff\xfeb", "x"), |t| {
            assert!(t.0.contains_key(&b"a\xff\xfeb"[..]));
        }),
        contain("ctrl-name", new().file("a\x1b[31m\n\tb", "x"), |t| {
            t.file("a\x1b[31m\n\tb", "x");
        }),
        contain("double-slash", new().file("a//b///c", "x"), |t| {
            t.file("a/b/c", "x");
        }),
        contain("file-over-symlink", new().file("t", "kept").symlink("l", "t").file("l", "new"), |t| {
            t.file("l", "new");
            t.file("t", "kept");
        }),
        outside(
            "file-over-symlink-outside",
            Contain,
            |out| vec![new().symlink("l", format!("{out}/victim")).file("l", "new")],
            |t| {
                t.file("l", "new");
            },
        ),
        case(
            "file-over-symlink-xlayer",
            Contain,
            vec![new().file("t", "kept").symlink("l", "t"), new().file("l", "new")],
            |t| {
                t.file("l", "new");
                t.file("t", "kept");
            },
        ),
        outside(
            "dir-over-symlink",
            Contain,
            |out| vec![new().symlink("dd", format!("{out}/directory")).mode("dd", b'5', 0o777).file("dd/x", "x")],
            |t| {
                t.kind("dd", 'd');
                t.file("dd/x", "x");
            },
        ),
        outside(
            "dir-dot-over-symlink",
            Contain,
            |out| vec![new().symlink("dd", format!("{out}/directory")).mode("dd/.", b'5', 0o777)],
            |t| {
                t.kind("dd", 'd');
            },
        ),
        outside(
            "dir-over-symlink-xlayer",
            Contain,
            |out| {
                vec![new().symlink("dd", format!("{out}/directory")), new().mode("dd", b'5', 0o777).file("dd/x", "x")]
            },
            |t| {
                t.file("dd/x", "x");
            },
        ),
        outside(
            "deferred-dir-chmod",
            Contain,
            |out| vec![new().mode("d", b'5', 0o777).symlink("d", format!("{out}/directory"))],
            |t| {
                t.kind("d", 'l');
            },
        ),
        outside(
            "parent-replaced",
            Contain,
            |out| vec![new().dir("d").file("d/a", "x").symlink("d", format!("{out}/directory")).file("d/b", "x")],
            |t| {
                t.kind("d", 'l');
            },
        ),
        contain("fifo-then-file", new().mode("f", b'6', 0o644).file("f", "x"), |t| {
            t.file("f", "x");
        }),
        contain("setuid", new().mode("s", b'0', 0o6755).mode("d", b'5', 0o3777), |t| {
            assert_eq!(t.get("s").mode, 0o6755);
            assert_eq!(t.get("d").mode, 0o3777);
        }),
        contain("setuid-owner", owned("s", b'0', 0o4711, 1000, 7), |t| {
            assert_eq!((t.get("s").mode, t.get("s").owner), (0o4711, (1000, 7)));
        }),
        contain("setgid-dir", owned("d", b'5', 0o2755, 0, 50).file("d/f", "x").dir("d/e"), |t| {
            assert_eq!((t.get("d/f").owner, t.get("d/e").owner), ((0, 0), (0, 0)));
        }),
        case(
            "setgid-dir-xlayer",
            Contain,
            vec![owned("d", b'5', 0o2755, 0, 50), new().file("d/f", "x").dir("d/e")],
            |t| {
                assert_eq!((t.get("d/f").owner, t.get("d/e").owner, t.get("d/e").mode), ((0, 0), (0, 0), 0o755));
                assert_eq!(t.get("d").mode, 0o2755);
            },
        ),
        contain("dir-0000", new().mode("d", b'5', 0).file("d/x", "x"), |t| {
            t.file("d/x", "x");
            assert_eq!(t.get("d").mode, 0);
        }),
        case("file-to-dir", Contain, vec![new().file("a", "x"), new().dir("a").file("a/b", "y")], |t| {
            t.file("a/b", "y");
        }),
        case("dir-to-file", Contain, vec![new().dir("a").file("a/b", "y"), new().file("a", "x")], |t| {
            t.file("a", "x");
        }),
        either("dup-file", new().file("a", "1").file("a", "2")),
        either("dup-file-dir", new().file("a", "1").dir("a").file("a/b", "2")),
        either("dup-dir-file", new().dir("a").file("a/b", "2").file("a", "1")),
        case(
            "same-layer-twice",
            Contain,
            vec![new().dir("a").file("a/b", "x"), new().dir("a").file("a/b", "x")],
            |t| {
                t.names("a", &["b"]);
            },
        ),
        contain("dir-times", new().dir("d").file("d/x", "x").dir("d/e").file("d/e/y", "y"), |t| {
            assert_eq!(t.get("d").mtime.0, crate::archive::MTIME);
            assert_eq!(t.get("d/e").mtime.0, crate::archive::MTIME);
        }),
        case("dir-times-xlayer", Contain, vec![new().dir("d").file("d/x", "x"), new().file("d/y", "y")], |t| {
            assert_eq!(t.get("d").mtime.0, crate::archive::MTIME);
            t.names("d", &["x", "y"]);
        }),
        contain("nothing", new(), |t| assert_eq!(t.0.len(), 1)),
        case(
            "root-attributes",
            Contain,
            vec![new().mode("./", b'5', 0o700).file("a", "x"), new().file("b", "y")],
            |t| {
                assert_eq!((t.get("").mode, t.get("").mtime.0), (0o700, crate::archive::MTIME));
            },
        ),
    ];
    cases.push(outside(
        "fifo-passwd",
        Contain,
        |_| vec![new().mode("etc/passwd", b'6', 0o644)],
        |t| {
            t.kind("etc/passwd", 'p');
        },
    ));
    cases
}

fn owned(name: &str, flag: u8, mode: u32, uid: u64, gid: u64) -> Archive {
    new().entry(Header { mode, uid: octal(uid, 8), gid: octal(gid, 8), ..Header::new(name, flag) }, b"")
}

/// 1900 directories, one in the other.
fn deep() -> Archive {
    let mut archive = new();
    let mut path = String::new();
    for _ in 0..1900 {
        path.push_str("d/");
        archive = archive.pax(&[("path", path.as_bytes())]).dir("x");
    }
    archive
}
