//! What the cases work with: a cgroup of their own and processes in it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use coracle_cgroup::{Cgroup, Created, Driver, Error, Layout, Resources, create, resources};
use nix::unistd::Pid;

/// A name that no other run uses.
pub fn name(suffix: &str) -> String {
    format!("coracle-test-{}-{suffix}", std::process::id())
}

/// Makes the cgroup that the absolute path `/name(suffix)` names.
pub fn make(layout: &Layout, suffix: &str) -> Result<Created, Error> {
    at(layout, &format!("/{}", name(suffix)))
}

pub fn at(layout: &Layout, path: &str) -> Result<Created, Error> {
    create(layout, Driver::Cgroupfs, "unused", Some(Path::new(path)), false)
}

/// The limits of a `linux.resources` in JSON.
pub fn limits(layout: &Layout, json: &str) -> Resources {
    resources(&serde_json::from_str(json).unwrap(), layout).unwrap()
}

/// The directories of `cgroup`, one for each hierarchy.
pub fn directories(cgroup: &Created) -> Vec<PathBuf> {
    let mut all: Vec<_> = cgroup.location().paths().into_values().collect();
    all.dedup();
    all
}

/// The content of a control file: of the hierarchy of `controller`, or of v2 where that has it.
pub fn read(cgroup: &Created, controller: &str, file: &str) -> String {
    let paths = cgroup.location().paths();
    let dir = paths.get(controller).or(paths.get("")).unwrap();
    std::fs::read_to_string(dir.join(file)).unwrap_or_else(|e| panic!("read {file}: {e}")).trim_end().to_owned()
}

/// A shell in a cgroup, killed when dropped.
pub struct Shell(pub Child);

impl Shell {
    /// Runs `script` once its process is in all hierarchies of `cgroup`.
    pub fn run(cgroup: &dyn Cgroup, script: &str) -> Shell {
        let shell = Command::new("/bin/sh")
            .args(["-c", &format!("read go; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shell = Shell(shell);
        if let Some(dir) = cgroup.dir() {
            let procs = format!("/proc/self/fd/{}/cgroup.procs", std::os::fd::AsRawFd::as_raw_fd(&dir));
            std::fs::write(procs, shell.pid().to_string()).unwrap();
        }
        if cgroup.needs_add() {
            cgroup.add(shell.pid()).unwrap();
        }
        std::io::Write::write_all(&mut shell.0.stdin.as_ref().unwrap(), b"go\n").unwrap();
        shell
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    /// What it printed, once it is done.
    pub fn output(mut self) -> String {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut self.0.stdout.take().unwrap(), &mut text).unwrap();
        self.0.wait().unwrap();
        text.trim_end().to_owned()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `done`, which something else brings about.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory made by hand, removed when dropped.
pub struct ByHand(pub PathBuf);

impl ByHand {
    pub fn new(path: PathBuf) -> ByHand {
        std::fs::create_dir(&path).unwrap();
        ByHand(path)
    }
}

impl Deref for ByHand {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}
