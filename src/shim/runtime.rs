//! The runtime, run as a program: the shim has threads, and a process that is cloned from one of them into a container is
//! not safe. So what the shim does can be done from a shell, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;

use crate::error::{Doing, Error, Result};
use crate::exits::Children;
use crate::options::Options;

/// Tells the logs of commands apart that run at the same time.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// How to run the runtime for the containers of one bundle.
pub struct Runtime {
    children: Arc<Children>,
    program: PathBuf,
    root: PathBuf,
    bundle: PathBuf,
    pub options: Options,
}

/// A line of the runtime's log.
#[derive(Deserialize)]
struct Line {
    level: String,
    msg: String,
    hint: Option<String>,
}

impl Runtime {
    pub fn new(children: Arc<Children>, namespace: &str, bundle: &Path, options: Options) -> Runtime {
        let root = options.state_root(namespace);
        Runtime { children, program: program(&options), root, bundle: bundle.to_owned(), options }
    }

    /// The program name and global options, then `verb`.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.root);
        if self.options.systemd_cgroup {
            command.arg("--systemd-cgroup");
        }
        if let Some(dir) = Path::new(&self.options.criu_path).parent().filter(|dir| dir.is_absolute()) {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let dirs = std::iter::once(dir.to_owned()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(dirs).unwrap_or(path));
        }
        command.args(["--log-format", "json", "--log"]).arg(self.log(verb)).arg(verb);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Where CRIU puts its own logs.
    pub fn criu_work(&self) -> PathBuf {
        if self.options.criu_work_path.is_empty() {
            self.bundle.join("work")
        } else {
            (&self.options.criu_work_path).into()
        }
    }

    /// Whether the runtime has a container `id`, or what is left of one.
    pub fn knows(&self, id: &str) -> Result<bool> {
        let directory = self.root.join(id);
        match directory.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).doing(|| format!("find {}", directory.display())),
        }
    }

    /// Runs a command made by [`command`](Runtime::command).
    ///
    /// # Errors
    /// What the runtime gives as the reason, after `OCI runtime VERB failed`.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        self.output(command).map(drop)
    }

    /// Runs a command and returns what it prints, if its standard output is a pipe.
    pub fn output(&self, command: &mut Command) -> Result<Vec<u8>> {
        let mut words = command.get_args().map(|word| word.to_string_lossy().into_owned());
        let log = words.by_ref().skip_while(|word| word != "--log").nth(1).unwrap_or_default();
        let verb = words.next().unwrap_or_default();
        let outcome = self.spawn(command, &verb, Path::new(&log));
        let _ = std::fs::remove_file(&log);
        outcome
    }

    fn spawn(&self, command: &mut Command, verb: &str, log: &Path) -> Result<Vec<u8>> {
        let (mut child, end) = self.children.spawn(command).doing(|| format!("execute {}", self.program.display()))?;
        let mut printed = Vec::new();
        if let Some(mut stdout) = child.stdout.take() {
            std::io::Read::read_to_end(&mut stdout, &mut printed).doing(|| format!("read output of {verb}"))?;
        }
        let end = end.recv().map_err(|_| Error::new(format!("wait for {}", self.program.display())))?;
        if end.code == 0 {
            return Ok(printed);
        }
        let why = last_error(log).unwrap_or_else(|| {
            let name = self.program.display();
            match end.code {
                code @ 129.. => format!("{name} was ended by signal {}", code - 128),
                code => format!("{name} ended with exit code {code} and gave no reason"),
            }
        });
        Err(Error::new(format!("OCI runtime {verb} failed: {why}")))
    }

    fn log(&self, verb: &str) -> PathBuf {
        self.bundle.join(format!("{verb}-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }
}

/// What `BinaryName` says, else the `coracle` beside the shim, else that in `$PATH`.
pub fn program(options: &Options) -> PathBuf {
    if !options.binary_name.is_empty() {
        return options.binary_name.as_str().into();
    }
    let beside = std::env::current_exe().ok().map(|shim| shim.with_file_name("coracle"));
    beside.filter(|path| path.metadata().is_ok()).unwrap_or_else(|| "coracle".into())
}

fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let line = line.into_iter().find(|line| line.level == "error")?;
    Some(line.hint.map_or(line.msg.clone(), |hint| format!("{} (hint: {hint})", line.msg)))
}
