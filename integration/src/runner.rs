//! Runs tests side by side, each with a time limit, and tells what became of them.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::host::Skip;
use crate::leaks::{self, Snapshot};
use crate::ordinary::Ordinary;
use crate::registry::{Context, Test};
use crate::{coverage, options};
use options::Options;

thread_local! {
    static MESSAGE: RefCell<String> = const { RefCell::new(String::new()) };
}

enum Outcome {
    Passed,
    Skipped(String),
    Known(String),
    Failed(String),
}

/// What all tests of a run share.
#[derive(Debug)]
struct Run {
    program: PathBuf,
    guest: PathBuf,
    floor: PathBuf,
    version: String,
    directory: PathBuf,
    token: String,
}

/// The whole program: parses the command line, runs what it names, and prints totals as its last line. `after` is
/// called when every test was run, and returns what it found wrong with the run as a whole.
pub fn main(tests: &[Test], after: fn() -> Vec<String>) -> ExitCode {
    let options = Options::parse(std::env::args().skip(1));
    if options.coverage {
        coverage::print(tests);
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<Test> = tests.iter().filter(|test| options.wants(test.name)).copied().collect();
    if options.list {
        chosen.iter().for_each(|test| println!("{}", test.name));
        return ExitCode::SUCCESS;
    }
    if !nix::unistd::geteuid().is_root() {
        println!("all tests need root\n0 passed, 0 failed, {} skipped", chosen.len());
        return ExitCode::SUCCESS;
    }
    // Before the mount namespace changes: in a chroot, this program's own path is another one afterwards.
    let run = Arc::new(Run::prepare());
    own_host();
    println!("{} tests on {} ({})", chosen.len(), run.version, run.program.display());
    let before = Snapshot::take(&run.token);
    let outcomes = perform(&run, chosen.iter().copied().collect(), options.threads);
    let mut wrong = if options.is_all() { after() } else { Vec::new() };
    if chosen.iter().any(|test| matches!(test.caller, Some(Ordinary::Managed))) {
        Ordinary::Managed.logs_out();
    }
    wrong.extend(before.left(&run.token).into_iter().map(|leak| format!("left behind: {leak}")));
    run.remove();
    report(&outcomes, &wrong)
}

/// Takes a mount namespace of its own, so that every mount that appears in it was leaked by a test, shared within itself
/// as on a host run by systemd; and becomes the parent of every descendant that loses its own.
fn own_host() {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).unwrap();
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none).unwrap();
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    default_signals();
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload().downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| info.payload().downcast_ref::<&str>().copied()).unwrap_or("panic");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        if std::thread::current().name() == Some("main") {
            eprintln!("{place}: {text}");
        }
        MESSAGE.with(|message| *message.borrow_mut() = format!("{place}: {text}"));
    }));
}

impl Run {
    fn prepare() -> Run {
        let exe = std::env::current_exe().unwrap();
        let profile = exe.parent().and_then(Path::parent).unwrap().to_owned();
        let chosen = std::env::var_os("CORACLE").map(PathBuf::from);
        build(&profile, chosen.is_none());
        let program = chosen.unwrap_or_else(|| {
            let other = if profile.ends_with("release") { "debug" } else { "release" };
            let places = [profile.join("coracle"), profile.with_file_name(other).join("coracle")];
            places.into_iter().find(|path| fs::metadata(path).is_ok()).expect("build coracle first, or set CORACLE")
        });
        let said = Command::new(&program).arg("--version").output().expect("run CORACLE --version");
        let version = String::from_utf8_lossy(&said.stdout).lines().next().unwrap_or_default().replace(" version", "");
        let token = format!("it{}", std::process::id());
        let directory = std::env::temp_dir().join(&token);
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
        let guest = directory.join("guest");
        fs::copy(profile.join("guest"), &guest).expect("copy the guest program, built by cargo build -p guest");
        let floor = profile.join("floor");
        Run { program, guest, floor, version, directory, token }
    }

    fn context(&self, test: &Test, number: usize) -> Context {
        let directory = self.directory.join(format!("{number}"));
        fs::create_dir_all(directory.join("tmp")).unwrap();
        if let Some(caller) = test.caller {
            caller.owns(&directory);
        }
        Context {
            name: test.name,
            directory,
            guest: self.guest.clone(),
            floor: self.floor.clone(),
            program: self.program.clone(),
            version: self.version.clone(),
            token: format!("{}-{number}", self.token),
            count: Cell::new(0),
            caller: test.caller,
        }
    }

    fn remove(&self) {
        drop(remove(&self.directory));
    }
}

/// Builds the guest, and coracle unless another runtime was chosen, when cargo runs this program.
fn build(profile: &Path, coracle: bool) {
    // Both the target directory and one named by the target triple below it carry this tag: the outer one is meant.
    let tagged = |path: &&Path| fs::symlink_metadata(path.join("CACHEDIR.TAG")).is_ok();
    let (Some(cargo), Some(target)) = (std::env::var_os("CARGO"), profile.ancestors().filter(tagged).last()) else {
        return;
    };
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--package", "guest", "--package", "floor"])
        .args(coracle.then_some(["--package", "coracle"]).iter().flatten());
    command.args(profile.ends_with("release").then_some("--release")).env("CARGO_TARGET_DIR", target);
    assert!(command.status().unwrap().success(), "cargo build failed");
}

/// Removes a directory tree unless something is mounted in it, which would be emptied too.
fn remove(directory: &Path) -> Result<(), String> {
    let below = |point: &str| Path::new(point).starts_with(directory);
    if let Some((_, point)) = leaks::mounts().into_iter().find(|(_, point)| below(point)) {
        return Err(format!("still mounted: {point}"));
    }
    fs::remove_dir_all(directory).map_err(|error| format!("remove {}: {error}", directory.display()))
}

fn perform(run: &Arc<Run>, tests: VecDeque<Test>, threads: usize) -> Vec<(Test, Outcome)> {
    let queue = Mutex::new(tests.into_iter().enumerate().collect::<VecDeque<_>>());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((number, test)) = queue.lock().unwrap().pop_front() else { return };
                    let begin = Instant::now();
                    let outcome = limited(run, test, number);
                    tell(&test, &outcome, begin.elapsed());
                    outcomes.lock().unwrap().push((test, outcome));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

fn limited(run: &Arc<Run>, test: Test, number: usize) -> Outcome {
    let (sender, receiver) = mpsc::channel();
    let shared = Arc::clone(run);
    std::thread::spawn(move || drop(sender.send(single(&shared, &test, number))));
    receiver.recv_timeout(test.limit).unwrap_or_else(|_| Outcome::Failed(format!("not done after {:?}", test.limit)))
}

fn single(run: &Run, test: &Test, number: usize) -> Outcome {
    let context = run.context(test, number);
    let result = catch_unwind(AssertUnwindSafe(|| {
        if let Some(caller) = test.caller {
            caller.logs_in(&context);
        }
        (test.body)(&context);
        left(&context.root());
        left(&context.path("tmp"));
    }));
    let removed = remove(&context.directory);
    let known = test.known.iter().find(|(runtime, _)| run.version.starts_with(runtime));
    match (result, removed, known) {
        (Ok(()), Ok(()), None) => Outcome::Passed,
        (Ok(()), Ok(()), Some((runtime, _))) => {
            Outcome::Failed(format!("passes, though listed as known to fail on {runtime}"))
        }
        (Ok(()), Err(problem), _) => Outcome::Failed(problem),
        (Err(payload), _, known) => judge(payload.as_ref(), known),
    }
}

fn judge(payload: &(dyn Any + Send), known: Option<&(&str, &str)>) -> Outcome {
    if let Some(Skip(reason)) = payload.downcast_ref() {
        return Outcome::Skipped(reason.clone());
    }
    match known {
        Some((_, reason)) => Outcome::Known((*reason).to_owned()),
        None => Outcome::Failed(MESSAGE.with(RefCell::take)),
    }
}

/// Fails when the directory, if there is one, holds anything.
fn left(directory: &Path) {
    let names: Vec<_> =
        fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    assert!(names.is_empty(), "left in {}: {names:?}", directory.display());
}

fn tell(test: &Test, outcome: &Outcome, took: Duration) {
    let took = took.as_secs_f32();
    match outcome {
        Outcome::Passed => println!("ok      {} ({took:.2} s)", test.name),
        Outcome::Skipped(reason) => println!("skipped {}: {reason}", test.name),
        Outcome::Known(reason) => println!("known   {}: {reason}", test.name),
        Outcome::Failed(_) => println!("FAILED  {} ({took:.2} s)", test.name),
    }
}

fn report(outcomes: &[(Test, Outcome)], wrong: &[String]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (test, outcome) in outcomes {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(_) | Outcome::Known(_) => skipped += 1,
            Outcome::Failed(message) => {
                failed += 1;
                println!("\n---- {}\n{message}", test.name);
            }
        }
    }
    wrong.iter().for_each(|problem| println!("\n---- the run as a whole\n{problem}"));
    failed += usize::from(!wrong.is_empty());
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What the caller of the tests ignores is no difference between runtimes. By the system call, as the C library keeps
/// the first real-time signals to itself.
fn default_signals() {
    const SIZE: usize = 8;
    let default = [0u64; 4];
    for signal in
        (1..=64).filter(|signal| ![nix::libc::SIGKILL, nix::libc::SIGSTOP, nix::libc::SIGPIPE].contains(signal))
    {
        // SAFETY: an all-zero struct sigaction is the default; it lives across the call.
        unsafe { nix::libc::syscall(nix::libc::SYS_rt_sigaction, signal, default.as_ptr(), 0usize, SIZE) };
    }
}
