//! Containers whose memory goes over a connection: to a page server, or on demand to where they go on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use integration::{Call, Context, Running, Test, criu_path, need, requires, test};

use crate::checkpoint::{counted, counting, counts, file, restore, save};

/// An address of this machine's own that nobody else listens on, and a port which the kernel gives to nobody unasked.
struct Address(String);

const PORT: &str = "27027";

impl Address {
    fn own() -> Address {
        let [.., a, b] = std::process::id().to_be_bytes();
        Address(format!("127.27.{a}.{b}"))
    }

    fn with_port(&self) -> String {
        format!("{}:{PORT}", self.0)
    }
}

/// Descriptor 9 of the call is this file, to which CRIU says that it is ready.
fn telling(call: Call, file: &Path) -> Call {
    let script = format!("exec \"$@\" 9>'{}'", file.display());
    call.through(Path::new("/bin/sh"), &["-c", &script, "sh"]).env("PATH", criu_path())
}

/// Has CRIU do this, and returns when it is ready.
#[track_caller]
fn criu(t: &Context, deed: &str, options: &[&str], images: &Path) -> Running {
    let ready = t.path(deed);
    let call = t.tool("criu", &[deed, "--status-fd", "9"]).args(options).arg("--images-dir").arg(images);
    let running = telling(call.arg("--work-dir").arg(images), &ready).spawn();
    told(&ready);
    running
}

#[track_caller]
fn told(file: &Path) {
    let end = Instant::now() + Duration::from_secs(20);
    while fs::read(file).unwrap_or_default().is_empty() {
        assert!(Instant::now() < end, "nothing was said to {}", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Memory can come later: the kernel has userfaultfd.
fn can_wait() {
    requires!(need::criu());
    requires!(need::path("/proc/sys/vm/unprivileged_userfaultfd"));
}

/// Bytes of memory that are saved there.
fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let pages = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pages-"));
    pages.map(|entry| entry.metadata().unwrap().len()).sum()
}

pub const TESTS: &[Test] = &[
    test("migration: memory goes to a page server", &[], |t| {
        requires!(need::criu());
        let (address, images, far) = (Address::own(), t.path("images"), t.path("far"));
        fs::create_dir(&far).unwrap();
        let bundle = counting(t);
        let container = counted(&bundle);
        let mut server = criu(t, "page-server", &["--address", &address.0, "--port", PORT], &far);
        save(&container, &images, &["--page-server", &address.with_port()]).ok();
        server.wait().ok();
        assert!(size(&images) == 0 && size(&far) > 0, "{} and {}", size(&images), size(&far));
        for entry in fs::read_dir(&far).unwrap().flatten() {
            fs::copy(entry.path(), images.join(entry.file_name())).unwrap();
        }
        let (mut restored, output) = restore(&bundle, &images, &[]);
        output.ok();
        counts(&mut restored, 3);
        assert_eq!(file(&bundle), "1\n2\n3\n");
    }),
    test("migration: memory comes when it is wanted", &[], |t| {
        can_wait();
        let images = t.path("images");
        let bundle = counting(t);
        save(&counted(&bundle), &images, &[]).ok();
        let mut lazy = criu(t, "lazy-pages", &[], &images);
        let work = images.to_str().unwrap();
        let (mut restored, output) = restore(&bundle, &images, &["--lazy-pages", "--work-path", work]);
        output.ok();
        counts(&mut restored, 3);
        assert_eq!(file(&bundle), "1\n2\n3\n");
        lazy.wait().ok();
    }),
    // CRIU 4.2 closes the pipe that it would send the memory by, whoever asks it to: nothing is sent here.
    test("migration: who is to have the memory is told when it may come", &[], |t| {
        can_wait();
        let (address, images, ready) = (Address::own(), t.path("images"), t.path("ready"));
        let bundle = counting(t);
        let (container, whole) = (counted(&bundle), t.path("whole"));
        save(&container, &whole, &["--leave-running"]).ok();
        let options = ["--lazy-pages", "--page-server", &address.with_port(), "--status-fd", "9"];
        let call = bundle.coracle().call(["checkpoint"]).args(options).arg("--image-path").arg(&images);
        let mut saving = telling(call.arg(container.id()), &ready).spawn();
        told(&ready);
        assert_eq!(fs::read(&ready).unwrap(), [0]);
        drop(std::net::TcpStream::connect(address.with_port()).unwrap());
        // How CRIU takes it that nobody wants any is its own affair.
        drop(saving.wait());
        assert!(size(&images) < size(&whole), "all was saved: {} and {} bytes", size(&images), size(&whole));
    }),
];
