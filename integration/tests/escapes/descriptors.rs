//! Descriptors: of the runtime and its caller, that a container wants, and standard streams that an image exchanges.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use integration::{Bundle, Container, Context, Coracle, Test, test};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};

use super::{Canary, bare_dev, bind};
use crate::exec::running;

/// Numbers at which runtimes have been seen to leave a directory of the host open.
const NUMBERS: std::ops::RangeInclusive<u32> = 3..=24;

/// Up from any directory of the host, and down to a path of it.
fn from_anywhere(path: &Path) -> String {
    format!("{}{}", "../".repeat(16), path.to_str().unwrap().trim_start_matches('/'))
}

/// The runtime with the host's root open at these numbers, as a careless caller has it.
fn careless(t: &Context, numbers: &[u32]) -> Coracle {
    numbers.iter().fold(t.coracle(), |coracle, number| coracle.launched(format!("open={number}:/")))
}

/// Has the program of `run` and of `exec` reach for the host by the descriptor `number`, as its directory and as its file.
fn reach_for_host(t: &Context, bundle: &Bundle, container: &Container, canary: &Canary, number: u32) {
    let way = format!("/proc/self/fd/{number}");
    let bird = from_anywhere(&canary.0.join("bird"));
    let program = format!("{way}/{}", from_anywhere(t.guest()));
    let read = ["/guest", "read", &bird];
    let exec = |options: &[&str], args: &[&str]| {
        bundle.coracle().call(["exec"]).args(options).arg(container.id()).args(args).run()
    };
    for output in [
        in_directory(bundle, &way).run_args(&read),
        exec(&["--cwd", &way], &read),
        bundle.run_args(&[&program, "print", "alive"]),
        exec(&[], &[&program, "print", "alive"]),
    ] {
        assert!(!output.stdout.contains("alive"), "by descriptor {number} the host is reached: {}", output.command);
    }
}

/// The same bundle with another working directory.
fn in_directory(bundle: &Bundle, directory: &str) -> Bundle {
    bundle.again().patch(json!({"process": {"cwd": directory}}))
}

/// A /dev of the image, or of a volume, in which /dev/null is what `fake` makes of it.
fn faked(t: &Context, fake: fn(&Path)) -> [(Bundle, PathBuf); 2] {
    let source = t.path(&t.unique());
    fs::create_dir(&source).unwrap();
    let bundle = || {
        let none = json!({"linux": {"maskedPaths": null, "readonlyPaths": null}});
        bare_dev(t).patch(none).file("/target", "fake")
    };
    let (image, volume) = (bundle(), bundle().mount(bind("/dev", &source)));
    let nulls = [image.rootfs().join("dev/null"), source.join("null")];
    nulls.iter().for_each(|null| fake(null));
    let [of_image, of_volume] = nulls;
    [(image, of_image), (volume, of_volume)]
}

/// The bundle run with the host's /dev/null as all three standard streams.
fn run_on_null(t: &Context, bundle: &Bundle) {
    bundle.save();
    let call = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).command();
    let words = std::iter::once(call.get_program()).chain(call.get_args()).map(|word| word.to_str().unwrap());
    let script = "exec \"$@\" </dev/null >/dev/null 2>/dev/null";
    let _ = t.tool("/bin/sh", &["-c", script, "sh"]).args(words).run().code;
}

pub const TESTS: &[Test] = &[
    test("escapes: CVE-2024-21626, no descriptor of the runtime's leads out", &[], |t| {
        let canary = Canary::new(t);
        let (bundle, container) = (t.bundle(), running(t.bundle()));
        NUMBERS.for_each(|number| reach_for_host(t, &bundle, &container, &canary, number));
        canary.lives();
    }),
    test("escapes: CVE-2024-21626, no descriptor of the caller's leads out", &[], |t| {
        let canary = Canary::new(t);
        let container = running(t.bundle());
        for number in [3, 7, 24] {
            let bundle = t.bundle().with(careless(t, &[number]));
            reach_for_host(t, &bundle, &container, &canary, number);
        }
        canary.lives();
    })
    .known(&[("crun 1.8", "enters a directory by a descriptor its caller has left open")]),
    test("escapes: CVE-2024-21626, an image whose directory is a link to a descriptor", &[], |t| {
        let canary = Canary::new(t);
        let bird = from_anywhere(&canary.0.join("bird"));
        let bundle = t.bundle().link("/proc/self/fd/7", "/work").with(careless(t, &[7]));
        let output = in_directory(&bundle, "/work").run_args(&["/guest", "read", &bird]);
        assert!(!output.stdout.contains("alive"), "the image's directory is the host's");
        canary.lives();
    })
    .known(&[("crun 1.8", "enters a directory by a descriptor its caller has left open")]),
    test("escapes: CVE-2024-21626, a directory outside is noticed though its descriptor was handed over", &[], |t| {
        let bundle = t.bundle().with(careless(t, &[3]));
        in_directory(&bundle, "/proc/self/fd/3").run_with(&["--preserve-fds", "1"]).fails();
        let container = running(t.bundle());
        let exec = careless(t, &[3]).call(["exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3"]);
        exec.arg(container.id()).args(["/guest", "print", "x"]).run().fails();
    })
    .known(&[("crun 1.8", "does not look at where it is")]),
    test("escapes: CVE-2024-21626, what a created container's process has open", &[], |t| {
        let container = t.bundle().args(&["/guest", "trap"]).create();
        let entries = fs::read_dir(format!("/proc/{}/fd", container.pid())).unwrap();
        let open: Vec<(u32, String)> = entries
            .map(|entry| {
                let entry = entry.unwrap();
                let target = fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
                (entry.file_name().to_str().unwrap().parse().unwrap(), target)
            })
            .filter(|(number, _)| *number > 2)
            .collect();
        // The way to its parent, and the socket that it waits for `start` at.
        let wanted = open.len() <= 2 && open.iter().all(|(_, target)| target.starts_with("socket:["));
        assert!(wanted, "{open:?}");
    })
    .known(&[("runc", "has its log, the directory of the fifo and more"), ("crun 1.8", "has the fifo and more")]),
    test("escapes: a fake /dev/null does not become a standard stream", &[], |t| {
        let fakes: [fn(&Path); 3] = [
            |path| fs::write(path, "fake").unwrap(),
            |path| symlink("/target", path).unwrap(),
            |path| mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap(),
        ];
        for (bundle, null) in fakes.into_iter().flat_map(|fake| faked(t, fake)) {
            let bundle = bundle.args(&["/guest", "copy"]);
            bundle.save();
            let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id());
            // It may refuse such an image.
            let output = run.null_stdin().run();
            assert_eq!(output.stdout, "", "standard input is the image's");
            run_on_null(t, &bundle.again().args(&["/guest", "print", "written"]));
            let target = bundle.rootfs().join("target");
            for path in [null.as_path(), target.as_path()].into_iter().filter(|path| path.is_file()) {
                assert!(!fs::read_to_string(path).unwrap().contains("written"), "{}", path.display());
            }
        }
    })
    .known(&[("runc 1.1", "takes any file for /dev/null")]),
    test("escapes: a /dev/null that was exchanged does not become a standard stream of exec", &[], |t| {
        let container = running(t.bundle());
        container.exec(["/guest", "write", "/dev/fake", "fake"]).ok();
        container.exec(["/guest", "rename", "/dev/fake", "/dev/null"]).ok();
        container.call("exec").args(["/guest", "copy"]).null_stdin().run().ok().says("");
    }),
    test("escapes: one descriptor fewer than are to be preserved", &[], |t| {
        let file = t.path("open");
        fs::write(&file, "handed over").unwrap();
        let open = |number: u32| format!("open={number}:{}", file.display());
        let coracle = t.coracle().launched(open(3)).launched(open(4));
        let bundle = t.bundle().with(coracle.clone());
        bundle.run_with(&["--preserve-fds", "3"]).fails();
        let container = running(t.bundle());
        let exec = |count: &str| {
            let call = coracle.call(["exec", "--preserve-fds", count, container.id(), "/guest", "probe"]);
            call.run()
        };
        exec("3").fails();
        let facts = exec("2").facts();
        let open: Value = facts.at("/fds").clone();
        assert_eq!(open.as_object().unwrap().len(), 5, "{open}");
        assert_eq!((&open["3"], &open["4"]), (&json!(file), &json!(file)));
    })
    .known(&[("runc", "hands over a descriptor of its own"), ("crun 1.8", "hands over a descriptor of its own")]),
];
