//! The programs that are measured, each by the same words; the floor program by its own.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration::Call;
use nix::sys::wait::wait;
use nix::unistd::Pid;
use serde_json::Value;

use crate::Options;
use crate::bundle::Place;
use crate::sample::Sample;

/// A program to measure.
#[derive(Clone, Debug)]
pub struct Runtime {
    pub name: String,
    program: PathBuf,
    /// Its state directory; none for the floor program, which keeps its state in the bundle.
    root: Option<PathBuf>,
    floor: PathBuf,
    guest: PathBuf,
    said: PathBuf,
    /// The user who calls it.
    user: u32,
}

impl Runtime {
    /// The floor and all that were named, each of which has to run.
    pub fn all(options: &Options, place: &Place) -> Vec<Runtime> {
        let new = |program: &Path, root: Option<PathBuf>| Runtime {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            program: program.into(),
            root,
            floor: options.floor.clone(),
            guest: options.guest.clone(),
            said: place.path("said"),
            user: 0,
        };
        let mut found = vec![new(&options.floor, None)];
        for (number, program) in options.runtimes.iter().enumerate() {
            let mut runtime = new(program, Some(place.path(&format!("root-{number}"))));
            if found.iter().any(|other| other.name == runtime.name) {
                runtime.name = format!("{} {number}", runtime.name);
            }
            found.push(runtime);
        }
        found
    }

    /// The same called by a user who is not root, with a state directory of his.
    pub fn of_user(&self, user: u32) -> Runtime {
        let root = self.root.as_ref().map(|root| root.with_extension("user"));
        if let Some(root) = &root {
            fs::create_dir_all(root).expect("a state directory");
            nix::unistd::chown(root, Some(user.into()), Some(user.into())).expect("the user's state directory");
        }
        Runtime { user, root, ..self.clone() }
    }

    pub fn is_floor(&self) -> bool {
        self.root.is_none()
    }

    /// The command line of a verb for the container `id` of `bundle`.
    pub fn words(&self, verb: &str, bundle: &Path, id: &str) -> Vec<String> {
        let path = bundle.display().to_string();
        let kind = if bundle.ends_with("docker") { "docker" } else { "spec" };
        let words: Vec<&str> = match (&self.root, verb) {
            (None, "run" | "create" | "exec") => vec![verb, kind, &path, id],
            (None, verb) => vec![verb, &path, id],
            (Some(_), "run" | "create") => vec![verb, "--bundle", &path, id],
            (Some(_), "exec") => vec![verb, id, "/floor", "true"],
            (Some(_), "kill") => vec![verb, id, "KILL"],
            (Some(_), "delete-force") => vec!["delete", "--force", id],
            (Some(_), "list") => vec![verb],
            (Some(_), verb) => vec![verb, id],
        };
        let root = self.root.iter().flat_map(|root| ["--root".to_owned(), root.display().to_string()]);
        root.chain(words.into_iter().map(str::to_owned)).collect()
    }

    fn command(&self, words: &[String]) -> Command {
        let mut command = Command::new(&self.floor);
        command.arg("measure").arg(&self.program).args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        if self.user != 0 {
            command.uid(self.user).gid(self.user);
        }
        let said = File::options().write(true).create(true).truncate(true).open(&self.said).expect("open a file");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        command
    }

    /// Runs it once; what it took, or what it said when it failed.
    pub fn try_measure(&self, words: &[String]) -> Result<Sample, String> {
        self.command(words).status().expect("run the floor program");
        let text = fs::read_to_string(&self.said).expect("what was said");
        Sample::read(&text).ok_or_else(|| {
            let mut lines = text.lines().rev().skip(1);
            format!("{} {}: {}", self.name, words.join(" "), lines.next().unwrap_or("it failed without a word"))
        })
    }

    /// Runs it once, which has to succeed.
    pub fn measure(&self, words: &[String]) -> Sample {
        self.try_measure(words).unwrap_or_else(|said| panic!("{said}"))
    }

    /// Runs it and does not wait.
    pub fn spawn(&self, words: &[String]) -> std::process::Child {
        self.command(words).spawn().expect("run the floor program")
    }

    /// How many system calls it makes, in all its processes, up to its end; none where it cannot be traced.
    pub fn calls(&self, words: &[String], scratch: &Path) -> Option<usize> {
        let call = Call::new(&self.program, &self.guest, Path::new("/")).args(words);
        // In a thread of its own: the tracer waits for all its children, and the containers become the main thread's.
        let trace = std::thread::scope(|scope| scope.spawn(|| integration::trace(&call, scratch, None, None)).join());
        let trace = trace.expect("trace a call");
        (trace.code == 0 && !trace.hung).then_some(trace.calls.len())
    }

    /// The process of a container.
    pub fn pid(&self, bundle: &Path, id: &str) -> Pid {
        let number = if self.is_floor() {
            fs::read_to_string(bundle.join(id)).ok().and_then(|text| text.parse().ok())
        } else {
            let output = Command::new(&self.program).args(self.words("state", bundle, id)).output();
            let state: Value = serde_json::from_slice(&output.expect("state").stdout).unwrap_or_default();
            state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok())
        };
        Pid::from_raw(number.unwrap_or_else(|| panic!("{} knows no process of {id}", self.name)))
    }

    /// Waits for the end of all containers whose processes were killed.
    pub fn reap() {
        while wait().is_ok() {}
    }
}
