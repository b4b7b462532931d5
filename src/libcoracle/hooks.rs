//! Hooks: programs of the caller's that see a container's life from outside, or from inside its namespaces
//! (config.md, POSIX-platform Hooks).

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use coracle_plan::host_step::HookKind;
use coracle_sys::clone::pidfd_open;
use coracle_sys::spawn::join_before_exec;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, geteuid};
use oci_spec::runtime::Hook;
use serde_json::json;

use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::store::record::State;
use crate::store::status::Status;
use crate::timings;

/// How much of what a hook printed is quoted when it fails, in bytes.
const QUOTE: u64 = 2048;

/// Runs `hooks` in order, each with the container's state on its standard input.
///
/// # Errors
/// The first that cannot be started, fails, or takes longer than its timeout; the rest are not run.
pub fn run(kind: HookKind, hooks: &[Hook], state: &State, status: Status) -> Result<()> {
    for (i, hook) in hooks.iter().enumerate() {
        run_one(kind, hook, state, status).context(|| format!("error running {} hook #{i}", kind.name()))?;
    }
    Ok(())
}

/// Runs all of `hooks` whatever becomes of each: what fails is logged (poststop).
pub fn run_all(kind: HookKind, hooks: &[Hook], state: &State, status: Status) {
    for (i, hook) in hooks.iter().enumerate() {
        if let Err(error) = run_one(kind, hook, state, status) {
            tracing::warn!("error running {} hook #{i}: {error}", kind.name());
        }
    }
}

fn run_one(kind: HookKind, hook: &Hook, state: &State, status: Status) -> Result<()> {
    let _span = timings::span(|| format!("{} hook {}", kind.name(), hook.path().display()));
    let inside = matches!(kind, HookKind::CreateContainer | HookKind::StartContainer);
    let pid = if inside { pid_inside(state.init.pid)? } else { state.init.pid };
    let input = state_json(state, pid, status)?;
    let extras = state.extras()?;
    let (stdout, stderr) = (output("stdout", &extras.hooks_stdout)?, output("stderr", &extras.hooks_stderr)?);
    let path = hook.path();
    let args = hook.args().as_deref().unwrap_or_default();
    let mut command = Command::new(path);
    command
        .arg0(args.first().map_or(path.as_os_str(), |arg| arg.as_ref()))
        .args(args.iter().skip(1))
        .env_clear()
        .envs(hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')))
        .current_dir(&state.bundle)
        .stdin(input)
        .stdout(clone(&stdout)?)
        .stderr(clone(&stderr)?)
        .process_group(0);
    files::restore(&mut command);
    let timeout = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    let status = match inside {
        true => wait(in_container(&mut command, state)?, timeout)?,
        false => wait(spawn(&mut command)?, timeout)?,
    };
    if status.success() {
        return Ok(());
    }
    let said = |file: File, path: Option<PathBuf>| {
        path.map_or_else(|| quote(file), |path| Ok(format!("see {}", path.display())))
    };
    let (stdout, stderr) = (said(stdout, extras.hooks_stdout)?, said(stderr, extras.hooks_stderr)?);
    let text = format!("{}, stdout: {stdout}, stderr: {stderr}", describe(status));
    Err(Error::new(Kind::InvalidState, text))
}

fn spawn(command: &mut Command) -> Result<std::process::Child> {
    let program = command.get_program().to_owned();
    command.spawn().context(|| format!("execute {}", program.display()))
}

/// Spawns `command` in the namespaces of the container's first process.
fn in_container(command: &mut Command, state: &State) -> Result<std::process::Child> {
    // Nobody but root may look into that process, and so enter its namespaces (CVE-2016-9962).
    if !geteuid().is_root() {
        let text = "it is to run in the container's namespaces, which an ordinary user's hooks cannot enter";
        return Err(
            Error::new(Kind::Unsupported, text).with_hint("root of a user namespace can: `unshare --map-root-user`")
        );
    }
    let init = pidfd_open(state.init.pid()).context(|| "open the container's first process")?;
    join_before_exec(command, init, state.namespaces);
    spawn(command)
}

/// Waits for the hook's end, at most `timeout`; then its whole process group is killed.
fn wait(mut child: std::process::Child, timeout: Option<Duration>) -> Result<ExitStatus> {
    if let Some(timeout) = timeout {
        let pid = Pid::from_raw(child.id() as i32);
        let pidfd = pidfd_open(pid).context(|| "watch the hook")?;
        if !ends_within(&pidfd, timeout)? {
            let _ = killpg(pid, Signal::SIGKILL);
            child.wait().context(|| "wait for the hook")?;
            let text = format!("hook ran past specified timeout of {:.1}s", timeout.as_secs_f64());
            return Err(Error::new(Kind::InvalidState, text));
        }
    }
    child.wait().context(|| "wait for the hook")
}

/// Whether the process behind `pidfd` ends before `timeout` is over.
pub fn ends_within(pidfd: &OwnedFd, timeout: Duration) -> Result<bool> {
    let end = std::time::Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        let milliseconds = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if milliseconds == 0 => return Ok(false),
            Ok(0) | Err(coracle_sys::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(Error::system("wait for a process", errno)),
        }
    }
}

/// The state as the hook reads it (runtime.md, State), in memory: a hook that does not read it blocks nobody.
/// The state of the container (runtime.md, State), its process being `pid` to the reader.
pub fn state_value(state: &State, pid: i32, status: Status) -> serde_json::Value {
    json!({
        "ociVersion": crate::OCI_VERSION,
        "id": state.id,
        "status": status.to_string(),
        "pid": if status == Status::Stopped { 0 } else { pid },
        "bundle": state.bundle,
        "annotations": state.annotations,
    })
}

fn state_json(state: &State, pid: i32, status: Status) -> Result<File> {
    let value = state_value(state, pid, status);
    let mut file = buffer("state")?;
    let put = |file: &mut File| file.write_all(value.to_string().as_bytes()).and_then(|()| file.rewind());
    put(&mut file).context(|| "write the state for a hook")?;
    Ok(file)
}

/// Where a hook prints to: the end of a file, which is made if it is missing, or memory, to quote from.
fn output(name: &str, path: &Option<PathBuf>) -> Result<File> {
    let Some(path) = path else { return buffer(name) };
    let file = File::options().append(true).create(true).mode(0o600).open(path);
    file.context(|| format!("open {} for the {name} of hooks", path.display()))
}

fn buffer(name: &str) -> Result<File> {
    memfd_create(name, MFdFlags::MFD_CLOEXEC).map(File::from).context(|| "create a memory file for a hook")
}

fn clone(file: &File) -> Result<Stdio> {
    file.try_clone().map(Stdio::from).context(|| "copy a descriptor for a hook")
}

fn quote(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.take(QUOTE).read_to_end(&mut bytes)).context(|| "read what a hook printed")?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().replace('\n', "\\n"))
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The process id as its own pid namespace sees it (proc_pid_status(5), NSpid).
fn pid_inside(pid: i32) -> Result<i32> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).context(|| format!("read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let inside = line.and_then(|line| line.split_whitespace().last()).and_then(|text| text.parse().ok());
    Ok(inside.unwrap_or(pid))
}
