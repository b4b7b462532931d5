//! Mount options: each of the table, seen in the mount table of the container or by what it forbids.

use integration::{Facts, HostMount, Test, test};
use nix::mount::MsFlags;
use serde_json::{Value, json};

/// Options, what the mount table must then show, what it may not show.
type Row = (&'static [&'static str], &'static [&'static str], &'static [&'static str]);

const FLAGS: &[Row] = &[
    (&[], &["rw", "relatime"], &["nosuid", "nodev", "noexec", "ro"]),
    (&["sync", "async"], &[], &["sync"]),
    (&["noatime", "atime"], &[], &["noatime"]),
    (&["nodev", "dev"], &[], &["nodev"]),
    (&["nodiratime", "diratime"], &[], &["nodiratime"]),
    (&["dirsync"], &["dirsync"], &[]),
    (&["noexec", "exec"], &[], &["noexec"]),
    (&["iversion"], &[], &[]),
    (&["iversion", "noiversion"], &[], &[]),
    (&["silent"], &[], &[]),
    (&["silent", "loud"], &[], &[]),
    (&["noatime"], &["noatime"], &["relatime"]),
    (&["nodev"], &["nodev"], &[]),
    (&["nodiratime"], &["nodiratime"], &[]),
    (&["noexec"], &["noexec"], &[]),
    (&["norelatime"], &[], &["noatime"]),
    (&["strictatime", "nostrictatime"], &["relatime"], &[]),
    (&["nosuid"], &["nosuid"], &[]),
    (&["relatime"], &["relatime"], &["noatime"]),
    (&["ro"], &["ro"], &["rw"]),
    (&["ro", "rw"], &["rw"], &["ro"]),
    (&["strictatime"], &[], &["relatime", "noatime"]),
    (&["nosuid", "suid"], &[], &["nosuid"]),
    (&["sync"], &["sync"], &[]),
    (&["nosuid", "nodev", "noexec", "ro", "noatime"], &["nosuid", "nodev", "noexec", "ro", "noatime"], &[]),
];

const LAZY: &[Row] = &[(&["lazytime"], &["lazytime"], &[]), (&["lazytime", "nolazytime"], &[], &["lazytime"])];

const SYMLINKS: &[Row] =
    &[(&["nosymfollow"], &["nosymfollow"], &[]), (&["nosymfollow", "symfollow"], &[], &["nosymfollow"])];

/// Recursive options, of a tree whose upper and lower mount both had none of them.
const RECURSIVE: &[Row] = &[
    (&["rro"], &["ro"], &["rw"]),
    (&["rro", "rrw"], &["rw"], &["ro"]),
    (&["rnosuid"], &["nosuid"], &[]),
    (&["rnosuid", "rsuid"], &[], &["nosuid"]),
    (&["rnodev"], &["nodev"], &[]),
    (&["rnodev", "rdev"], &[], &["nodev"]),
    (&["rnoexec"], &["noexec"], &[]),
    (&["rnoexec", "rexec"], &[], &["noexec"]),
    (&["rnodiratime"], &["nodiratime"], &[]),
    (&["rnodiratime", "rdiratime"], &[], &["nodiratime"]),
    (&["rnoatime"], &["noatime"], &["relatime"]),
    (&["rnoatime", "ratime"], &[], &["noatime"]),
    (&["rrelatime"], &["relatime"], &["noatime"]),
    (&["rnorelatime"], &[], &["noatime"]),
    (&["rstrictatime"], &[], &["relatime", "noatime"]),
    (&["rstrictatime", "rnostrictatime"], &[], &["noatime"]),
    (&["rnosymfollow"], &["nosymfollow"], &[]),
    (&["rnosymfollow", "rsymfollow"], &[], &["nosymfollow"]),
];

/// Options of the mount itself and of its file system; `ro` and `rw` of the mount alone.
fn shown(facts: &Facts, point: &str) -> Vec<String> {
    let mount = facts.mount(point).unwrap_or_else(|| panic!("nothing is mounted on {point}"));
    let words = |key: &str| mount[key].as_array().cloned().unwrap_or_default();
    let above = words("super").into_iter().filter(|word| word != "ro" && word != "rw");
    words("options").into_iter().chain(above).filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn judge(facts: &Facts, point: &str, row: &Row) {
    let options = shown(facts, point);
    let has = |wanted: &str| options.iter().any(|option| option == wanted);
    row.1.iter().for_each(|wanted| assert!(has(wanted), "{:?} lacks {wanted}: {options:?}", row.0));
    row.2.iter().for_each(|banned| assert!(!has(banned), "{:?} has {banned}: {options:?}", row.0));
}

/// One container with one mount for each row.
fn table(t: &integration::Context, rows: &[Row], mount: impl Fn(&Row) -> Value) {
    let mut bundle = t.bundle();
    for (number, row) in rows.iter().enumerate() {
        let point = format!("/mnt/{number}");
        let mut mount = mount(row);
        mount["destination"] = json!(point);
        bundle = bundle.directory(&point).mount(mount);
    }
    let facts = bundle.facts();
    rows.iter().enumerate().for_each(|(number, row)| judge(&facts, &format!("/mnt/{number}"), row));
}

fn tmpfs(row: &Row) -> Value {
    json!({"type": "tmpfs", "source": "tmpfs", "options": row.0})
}

pub const TESTS: &[Test] = &[
    test(
        "mounts: options of a tmpfs",
        &[23, 24, 31, 32, 35, 36, 37, 38, 39, 41, 42, 43, 44, 45, 46, 48, 49, 50, 53, 55, 60, 62, 64, 65, 66, 227],
        |t| table(t, FLAGS, tmpfs),
    ),
    test("mounts: defaults stands for no option", &[34], |t| {
        table(t, &[(&["defaults"], &["rw", "relatime"], &["nosuid", "nodev", "noexec"])], tmpfs);
        let source = t.guest().parent().unwrap().to_owned();
        let bind = |row: &Row| json!({"source": source, "options": ["bind", row.0[0]]});
        table(t, &[(&["defaults"], &["rw"], &["nosuid", "nodev", "noexec", "ro"])], bind);
    })
    .known(&[("runc 1.1", "hands defaults to the file system")]),
    test("mounts: options of a bind", &[22, 33, 35, 38, 43, 45, 50, 55, 65], |t| {
        let tree = t.path("tree");
        std::fs::create_dir(&tree).unwrap();
        // What belongs to the file system is not the bind's to change.
        let visible =
            |row: &&Row| !row.0.iter().any(|option| ["sync", "dirsync", "iversion", "silent"].contains(option));
        let rows: Vec<Row> = FLAGS.iter().filter(visible).copied().collect();
        let options = |row: &Row| row.0.iter().copied().chain(["bind"]).collect::<Vec<_>>();
        table(t, &rows, |row| json!({"type": "none", "source": tree, "options": options(row)}));
    }),
    test("mounts: lazytime", &[40, 47], |t| table(t, LAZY, tmpfs)),
    test("mounts: nosymfollow", &[68, 69], |t| table(t, SYMLINKS, tmpfs)),
    test(
        "mounts: recursive options reach the mounts below",
        &[70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87],
        |t| {
            let upper = HostMount::tmpfs(&t.path("tree"), "mode=755");
            let _lower = HostMount::tmpfs(&upper.path().join("sub"), "mode=755");
            let mut bundle = t.bundle();
            for (number, row) in RECURSIVE.iter().enumerate() {
                let point = format!("/mnt/{number}");
                let options: Vec<&str> = row.0.iter().copied().chain(["rbind"]).collect();
                bundle = bundle.directory(&point);
                bundle = bundle.mount(json!({"destination": point, "source": upper.path(), "options": options}));
            }
            let facts = bundle.facts();
            for (number, row) in RECURSIVE.iter().enumerate() {
                judge(&facts, &format!("/mnt/{number}"), row);
                judge(&facts, &format!("/mnt/{number}/sub"), row);
            }
        },
    )
    .known(&[("runc 1.1", "does not know rnosymfollow")]),
    test("mounts: a plain option of a recursive bind stays above", &[52, 55], |t| {
        let upper = HostMount::tmpfs(&t.path("tree"), "mode=755");
        let _lower = HostMount::tmpfs(&upper.path().join("sub"), "mode=755");
        let mount = json!({"destination": "/mnt", "source": upper.path(), "options": ["rbind", "ro"]});
        let facts = t.bundle().mount(mount).facts();
        judge(&facts, "/mnt", &(&["ro"], &["ro"], &["rw"]));
        judge(&facts, "/mnt/sub", &(&["ro"], &["rw"], &["ro"]));
    }),
    test("mounts: bind takes one mount, rbind the tree", &[22, 33, 52], |t| {
        let upper = HostMount::tmpfs(&t.path("tree"), "mode=755");
        let _lower = HostMount::tmpfs(&upper.path().join("sub"), "mode=755");
        let mount = |point: &str, how: &str| json!({"destination": point, "type": "tmpfs", "source": upper.path(), "options": [how]});
        let facts = t
            .bundle()
            .directory("/mnt/a")
            .directory("/mnt/b")
            .mount(mount("/mnt/a", "bind"))
            .mount(mount("/mnt/b", "rbind"))
            .facts();
        assert!(facts.mount("/mnt/a").is_some() && facts.mount("/mnt/b").is_some());
        assert!(facts.mount("/mnt/a/sub").is_none(), "a plain bind brought the mount below along");
        assert!(facts.mount("/mnt/b/sub").is_some(), "a recursive bind lost the mount below");
    }),
    test("mounts: propagation of a bind", &[51, 56, 57, 58, 59, 61, 63, 67], |t| {
        let upper = HostMount::tmpfs(&t.path("tree"), "mode=755").propagation(MsFlags::MS_SHARED);
        let lower = HostMount::tmpfs(&upper.path().join("sub"), "mode=755").propagation(MsFlags::MS_SHARED);
        let kinds = ["private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"];
        let mut bundle = t.bundle();
        for kind in kinds {
            let point = format!("/mnt/{kind}");
            bundle = bundle
                .directory(&point)
                .mount(json!({"destination": point, "source": upper.path(), "options": ["rbind", kind]}));
        }
        let facts = bundle.facts();
        for kind in kinds {
            let tags =
                |point: String| facts.mount(&point).map(|mount| mount["propagation"].to_string()).unwrap_or_default();
            let (top, below) = (tags(format!("/mnt/{kind}")), tags(format!("/mnt/{kind}/sub")));
            let sign = match kind.trim_start_matches('r') {
                "slave" => "master:",
                "shared" => "shared:",
                "unbindable" => "unbindable",
                _ => "[]",
            };
            assert!(top.contains(sign), "{kind}: {top}");
            if kind.starts_with('r') {
                assert!(below.contains(sign), "{kind} below: {below}");
            }
        }
        drop(lower);
    }),
    test("mounts: remount changes what is mounted", &[54], |t| {
        let bundle =
            t.bundle().mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]}));
        let again =
            json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["remount", "ro", "nosuid"]});
        let facts = bundle.mount(again).facts();
        judge(&facts, "/mnt", &(&["remount"], &["ro", "nosuid"], &["rw"]));
        let points = facts
            .at("/mounts")
            .as_array()
            .map_or(0, |list| list.iter().filter(|mount| mount["point"] == "/mnt").count());
        assert_eq!(points, 1, "remount mounted something new");
    }),
    test("mounts: other options are the file system's", &[25], |t| {
        let mount = json!({"destination": "/mnt", "type": "tmpfs", "source": "scratch", "options": ["size=1m", "nr_inodes=64", "mode=1750"]});
        let facts = t.bundle().mount(mount).facts();
        let options = facts.mount_options("/mnt");
        ["size=1024k", "nr_inodes=64", "mode=1750"].iter().for_each(|option| {
            assert!(options.iter().any(|other| other == option), "no {option}: {options:?}");
        });
        assert_eq!(facts.mount("/mnt").map(|mount| &mount["source"]), Some(&json!("scratch")));
        let wrong = json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["moon=full"]});
        t.bundle().mount(wrong).run().fails();
    }),
    test("mounts: a mode of a tmpfs wins over that of its directory", &[25], |t| {
        let mount =
            |options: &[&str]| json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options});
        let facts = |options| t.bundle().mount(mount(options)).args(&["/guest", "probe", "/tmp"]).facts();
        facts(&["mode=0750"]).is("/paths/~1tmp/mode", &json!("0750"));
        facts(&[]).is("/paths/~1tmp/mode", &json!("1777"));
    })
    .known(&[("runc 1.1", "always takes the mode of the directory")]),
    test("mounts: a read-only mount refuses writes, noexec refuses execution", &[45, 55], |t| {
        let bundle =
            t.bundle().mount(json!({"destination": "/mnt", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}));
        bundle.args(&["/guest", "write", "/mnt/x"]).run().code(1).stderr("Read-only file system");
        let bundle = t.bundle();
        let source = bundle.rootfs();
        let bundle = bundle.mount(json!({"destination": "/mnt", "source": source, "options": ["bind", "noexec"]}));
        bundle.args(&["/mnt/guest", "probe"]).run().fails().stderr("ermission denied");
    }),
    test("mounts: tmpcopyup keeps what the directory held", &[], |t| {
        let mount = json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]});
        let output = t.bundle().mount(mount).args(&["/guest", "read", "/etc/passwd"]).run();
        output.ok().stdout("root:x:0:0");
    }),
];
