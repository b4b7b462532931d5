//! Headers: owners, sizes, times, types, checksums, ends.

use crate::archive::{Archive, Header, MTIME, base256, checksummed, octal};
use crate::cases::Want::Contain;
use crate::cases::{Case, case, contain, either, layers, reject};

fn new() -> Archive {
    Archive::new()
}

fn header(name: &str, change: impl FnOnce(&mut Header)) -> Header {
    let mut header = Header::new(name, b'0');
    change(&mut header);
    header
}

fn uid(uid: Vec<u8>) -> Archive {
    new().raw(&header("f", |h| h.uid = uid), b"")
}

pub fn cases() -> Vec<Case> {
    let cut = |name, archive: Archive, off: usize| {
        layers(
            name,
            crate::Want::Reject,
            move || {
                let mut tar = archive.0.clone();
                tar.truncate(tar.len() - off);
                vec![crate::cases::gzip(tar)]
            },
            |_| {},
        )
    };
    let as_is = |name, want, tar: Vec<u8>, check: fn(&crate::tree::Tree)| {
        layers(name, want, move || vec![crate::cases::gzip(tar.clone())], check)
    };
    let old_sparse = |real: u64, pieces: &[(u64, u64)], data: &[u8]| {
        let mut block = header("s", |h| {
            h.flag = b'S';
            h.magic = *b"ustar  \0";
            h.size = octal(data.len() as u64, 12);
        })
        .block();
        for (i, (offset, length)) in pieces.iter().enumerate() {
            block[386 + i * 24..398 + i * 24].copy_from_slice(&octal(*offset, 12));
            block[398 + i * 24..410 + i * 24].copy_from_slice(&octal(*length, 12));
        }
        block[483..495].copy_from_slice(&base256(i128::from(real), 12));
        let mut archive = new();
        archive.0.extend(checksummed(block));
        archive.bytes(data)
    };
    let mut ended = new().file("a", "x").0;
    ended.extend([0; 512]);
    let stray = [ended.clone(), new().file("b", "y").end()].concat();
    vec![
        either("uid-minus1", uid(octal(0o37777777777, 12)[..8].to_vec())),
        reject("uid-minus1-base256", uid(base256(0xffff_ffff, 8))),
        contain("uid-large", uid(base256(4_000_000_000, 8)), |t| assert_eq!(t.get("f").owner.0, 4_000_000_000)),
        reject("uid-2-40", uid(base256(1 << 40, 8))),
        reject("uid-negative", uid(base256(-5, 8))),
        reject("uid-pax-negative", new().pax(&[("uid", b"-1")]).file("f", "")),
        reject("uid-pax-2-32", new().pax(&[("gid", b"4294967296")]).file("f", "")),
        reject("unknown-type", new().raw(&Header::new("f", b'Q'), b"")),
        reject("multi-volume", new().raw(&Header::new("f", b'M'), b"")),
        contain("contiguous", new().raw(&Header::new("f", b'7'), b""), |t| {
            t.file("f", "");
        }),
        contain(
            "old-file-and-dir",
            new()
                .raw(
                    &header("d/", |h| {
                        h.flag = 0;
                        h.magic = [0; 8];
                        h.mode = 0o755
                    }),
                    b"",
                )
                .raw(
                    &header("d/f", |h| {
                        h.flag = 0;
                        h.magic = [0; 8];
                        h.size = octal(1, 12)
                    }),
                    b"x",
                ),
            |t| {
                t.kind("d", 'd');
                t.file("d/f", "x");
            },
        ),
        reject("hdr-size-base256-neg", new().raw(&header("f", |h| h.size = base256(-1, 12)), b"")),
        reject("hdr-size-garbage", new().raw(&header("f", |h| h.size = b"12x45\0".to_vec()), b"")),
        reject("hdr-mode-garbage", {
            let mut block = Header::new("f", b'0').block();
            block[100] = b'z';
            new().bytes(&checksummed(block))
        }),
        reject("bad-checksum", {
            let mut archive = new().file("f", "x");
            archive.0[0] = b'g';
            archive
        }),
        cut("truncated-data", new().file("f", "x".repeat(2000)), 600),
        cut("truncated-padding", new().file("f", "x".repeat(2000)), 10),
        cut("truncated-header", new().file("f", "").dir("d"), 100),
        as_is("no-eof", Contain, new().file("f", "x").0, |t| {
            t.file("f", "x");
        }),
        as_is("half-eof", Contain, ended, |t| {
            t.file("a", "x");
        }),
        as_is("empty-stream", Contain, Vec::new(), |t| assert_eq!(t.0.len(), 1)),
        as_is("stray-zero-block", crate::Want::Reject, stray, |_| {}),
        as_is(
            "data-after-eof",
            Contain,
            [new().file("a", "x").end(), new().file("b", "y").end(), b"junk".to_vec()].concat(),
            |t| {
                t.names("", &["a"]);
            },
        ),
        contain(
            "symlink-size-nonzero",
            new()
                .raw(
                    &header("l", |h| {
                        h.flag = b'2';
                        h.link = b"t".to_vec();
                        h.size = octal(700, 12)
                    }),
                    b"",
                )
                .file("f", "x"),
            |t| {
                t.kind("l", 'l');
                t.file("f", "x");
            },
        ),
        contain(
            "dir-size-nonzero",
            new()
                .raw(
                    &header("d", |h| {
                        h.flag = b'5';
                        h.size = octal(4096, 12)
                    }),
                    b"",
                )
                .file("d/f", "x"),
            |t| {
                t.file("d/f", "x");
            },
        ),
        either(
            "dir-size-with-data",
            new()
                .raw(
                    &header("d", |h| {
                        h.flag = b'5';
                        h.size = octal(4, 12)
                    }),
                    b"data",
                )
                .file("d/f", "x"),
        ),
        either("mtime-huge", new().raw(&header("f", |h| h.mtime = base256(1 << 80, 12)), b"")),
        either("mtime-2-62", new().raw(&header("f", |h| h.mtime = base256(1 << 62, 12)), b"")),
        contain("mtime-neg", new().raw(&header("f", |h| h.mtime = base256(-86400, 12)), b""), |t| {
            assert_eq!(t.get("f").mtime, (-86400, 0))
        }),
        contain("mtime-ns", new().pax(&[("mtime", b"1234567890.123456789")]).file("f", ""), |t| {
            assert_eq!(t.get("f").mtime, (1_234_567_890, 123_456_789));
        }),
        contain(
            "mtime-ns-dir-link",
            new()
                .pax(&[("mtime", b"5.000000001")])
                .dir("d")
                .pax(&[("mtime", b"-1.5")])
                .symlink("l", "d")
                .file("d/f", ""),
            |t| {
                assert_eq!(t.get("d").mtime, (5, 1));
                assert_eq!(t.get("l").mtime, (-2, 500_000_000));
                assert_eq!(t.get("d/f").mtime.0, MTIME);
            },
        ),
        contain("mode-typebits", new().mode("f", b'0', 0o100_755).mode("d", b'5', 0o40_711), |t| {
            assert_eq!((t.get("f").mode, t.get("d").mode), (0o755, 0o711));
        }),
        contain(
            "prefix",
            {
                let mut block = Header::new("name", b'0').block();
                block[345..350].copy_from_slice(b"a/b/c");
                new().bytes(&checksummed(block))
            },
            |t| {
                t.file("a/b/c/name", "");
            },
        ),
        contain(
            "gnu-has-no-prefix",
            {
                let mut block = header("name", |h| h.magic = *b"ustar  \0").block();
                block[345..350].copy_from_slice(b"12345");
                new().bytes(&checksummed(block))
            },
            |t| t.names("", &["name"]),
        ),
        contain("gnu-sparse-old", old_sparse(1 << 20, &[(4096, 5), (1 << 19, 3)], b"hello123"), |t| {
            assert_eq!(t.get("s").size, 1 << 20);
        }),
        case("gnu-sparse-old-small", Contain, vec![old_sparse(12, &[(2, 5), (9, 3)], b"hello123")], |t| {
            t.file("s", b"\0\0hello\0\x00123");
        }),
        reject("gnu-sparse-old-1T", old_sparse(1 << 40, &[(0, 1)], b"x")),
        reject("gnu-sparse-overlap", old_sparse(100, &[(0, 5), (4, 3)], b"hello123")),
        reject("gnu-sparse-beyond", old_sparse(10, &[(0, 5), (8, 3)], b"hello123")),
        reject("gnu-sparse-unplaced", old_sparse(100, &[(0, 5)], b"hello123")),
    ]
}
