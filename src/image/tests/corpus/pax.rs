//! Extended headers and long names.

use crate::archive::{Archive, Header, octal, record};
use crate::cases::{Case, contain, either, reject};

fn new() -> Archive {
    Archive::new()
}

fn raw(records: &[u8]) -> Archive {
    new().raw_pax(b'x', records).file("f", "x")
}

pub fn cases() -> Vec<Case> {
    // A file that is 1024 bytes by the extended header and 0 by its own, whose data looks like an entry.
    let nested = new().file("nested", "").0;
    let smuggled = [nested.clone(), vec![0; 1024 - nested.len()]].concat();
    let tarmageddon = |sizes: (&[u8], u64)| {
        new()
            .pax(&[("size", sizes.0)])
            .raw(&Header { size: octal(sizes.1, 12), ..Header::new("f", b'0') }, &smuggled)
            .file("g", "y")
    };
    let map = |text: &[u8]| [text.to_vec(), vec![0; 512 - text.len()]].concat();
    let sparse_1_0 = |size: &[u8], body: Vec<u8>| {
        let records: [(&str, &[u8]); 4] = [
            ("GNU.sparse.major", b"1"),
            ("GNU.sparse.minor", b"0"),
            ("GNU.sparse.name", b"s"),
            ("GNU.sparse.realsize", size),
        ];
        new().pax(&records).file("GNUSparseFile.0/s", body)
    };
    vec![
        contain("tarmageddon", tarmageddon((b"1024", 0)), |t| {
            t.names("", &["f", "g"]);
            assert_eq!(t.get("f").size, 1024);
        }),
        either(
            "pax-size-smaller",
            new()
                .pax(&[("size", b"0")])
                .raw(&Header { size: octal(512, 12), ..Header::new("f", b'0') }, b"")
                .file("g", "y"),
        ),
        contain(
            "pax-then-gnuL",
            new().raw_pax(b'x', &record("mtime", "77")).long(b'L', &b"n".repeat(150)).file("short", "x"),
            |t| {
                assert_eq!(t.file(&"n".repeat(150), "x").mtime.0, 77);
            },
        ),
        contain(
            "pax-size-then-gnuL",
            new()
                .pax(&[("size", b"1024")])
                .long(b'L', &b"n".repeat(150))
                .raw(&Header::new("short", b'0'), &smuggled)
                .file("g", "y"),
            |t| {
                assert_eq!(t.get(&"n".repeat(150)).size, 1024);
                t.file("g", "y");
            },
        ),
        either("pax-path-and-gnuL", new().pax(&[("path", b"one")]).long(b'L', b"two").file("three", "x")),
        either("pax-dup-x", new().pax(&[("path", b"one")]).pax(&[("path", b"two")]).file("three", "x")),
        contain("pax-dup-key", raw(&[record("path", "one"), record("path", "two")].concat()), |t| {
            t.names("", &["two"])
        }),
        contain("pax-empty-value", raw(&[record("path", "one"), record("path", "")].concat()), |t| t.names("", &["f"])),
        either("pax-global-path", new().raw_pax(b'g', &record("path", "one")).file("f", "x").file("g", "y")),
        either("pax-global-size", new().raw_pax(b'g', &record("size", "1024")).file("f", "x").file("g", "y")),
        contain("pax-global-comment", new().raw_pax(b'g', &record("comment", "commit")).file("f", "x"), |t| {
            t.file("f", "x");
        }),
        contain(
            "pax-unknown-keys",
            raw(&[record("VENDOR.key", "x=y"), record("ctime", "1"), record("uname", "root")].concat()),
            |t| {
                t.file("f", "x");
            },
        ),
        contain(
            "pax-hdrcharset-binary",
            raw(&[record("hdrcharset", "BINARY"), record("path", b"a\xff")].concat()),
            |t| {
                assert!(t.0.contains_key(&b"a\xff"[..]));
            },
        ),
        reject("pax-len-zero", raw(b"0 path=a\n")),
        reject("pax-len-big", raw(b"99 path=a\n")),
        reject("pax-len-neg", raw(b"-9 path=a\n")),
        reject("pax-len-plus", raw(b"+9 path=a\n")),
        reject("pax-len-empty", raw(b" path=a\n")),
        reject("pax-no-newline", raw(b"9 path=ab")),
        reject("pax-no-equals", raw(b"7 path\n")),
        reject("pax-no-key", raw(b"5 =a\n")),
        reject("pax-trailing-junk", raw(b"9 path=a\n\0\0\0")),
        reject("pax-size-neg", raw(&record("size", "-1"))),
        reject("pax-size-2-63", raw(&record("size", "9223372036854775808"))),
        reject("pax-size-2-64", raw(&record("size", "18446744073709551617"))),
        reject("pax-size-hex", raw(&record("size", "0x10"))),
        reject("pax-uid-name", raw(&record("uid", "root"))),
        reject("pax-mtime-junk", raw(&record("mtime", "now"))),
        reject("pax-linkpath-nul", new().pax(&[("linkpath", b"a\0b")]).symlink("l", "x")),
        reject("pax-64M", new().raw_pax(b'x', &record("comment", "x".repeat(64 << 20))).file("f", "x")),
        reject("gnuL-64M", new().long(b'L', &b"n".repeat(64 << 20)).file("f", "x")),
        reject("gnuL-nul", new().long(b'L', b"a\0b").file("f", "x")),
        reject("gnuL-empty", new().long(b'L', b"").file("f", "x")),
        reject("gnuL-twice", new().long(b'L', b"a").long(b'L', b"b").file("f", "x")),
        reject("pax-then-end", new().pax(&[("path", b"a")])),
        reject("pax-then-eof-L", new().long(b'L', b"a")),
        reject("xattr-100k", raw(&record("SCHILY.xattr.user.big", "x".repeat(100_000)))),
        reject(
            "xattr-10k-of-them",
            raw(&(0..10_000).flat_map(|i| record(format!("SCHILY.xattr.user.{i}"), "x")).collect::<Vec<_>>()),
        ),
        contain("xattr-binary", raw(&record("SCHILY.xattr.user.b", b"\0\n=\xff")), |t| {
            assert_eq!(t.get("f").xattrs, [(b"user.b".to_vec(), b"\0\n=\xff".to_vec())]);
        }),
        contain("xattr-libarchive", raw(&record("LIBARCHIVE.xattr.user.%62", "SGVsbG8=")), |t| {
            assert_eq!(t.get("f").xattrs, [(b"user.b".to_vec(), b"Hello".to_vec())]);
        }),
        reject("xattr-libarchive-junk", raw(&record("LIBARCHIVE.xattr.user.b", "***"))),
        contain("pax-sparse-1.0", sparse_1_0(b"12", [map(b"2\n2\n5\n9\n3\n"), b"hello123".to_vec()].concat()), |t| {
            t.file("s", b"\0\0hello\0\x00123");
        }),
        reject("pax-sparse-1P", sparse_1_0(b"1125899906842624", map(b"1\n0\n0\n"))),
        reject("pax-sparse-endless-map", sparse_1_0(b"12", map(b"999999999\n0\n0\n"))),
        reject("pax-sparse-bad-map", sparse_1_0(b"12", map(b"-1\n"))),
        contain(
            "pax-sparse-0.1",
            new()
                .pax(&[
                    ("GNU.sparse.major", b"0"),
                    ("GNU.sparse.size", b"12"),
                    ("GNU.sparse.name", b"s"),
                    ("GNU.sparse.map", b"2,5,9,3"),
                ])
                .file("GNUSparseFile.0/s", "hello123"),
            |t| {
                t.file("s", b"\0\0hello\0\x00123");
            },
        ),
        contain(
            "pax-sparse-0.0",
            new()
                .pax(&[
                    ("GNU.sparse.size", b"12"),
                    ("GNU.sparse.numblocks", b"2"),
                    ("GNU.sparse.offset", b"2"),
                    ("GNU.sparse.numbytes", b"5"),
                    ("GNU.sparse.offset", b"9"),
                    ("GNU.sparse.numbytes", b"3"),
                ])
                .file("s", "hello123"),
            |t| {
                t.file("s", b"\0\0hello\0\x00123");
            },
        ),
        reject("pax-sparse-no-size", new().pax(&[("GNU.sparse.map", b"0,1")]).file("s", "x")),
        reject("pax-sparse-dir", new().pax(&[("GNU.sparse.size", b"12"), ("GNU.sparse.map", b"0,1")]).dir("s")),
    ]
}
