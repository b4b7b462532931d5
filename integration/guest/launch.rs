//! The host side: a caller of the runtime in a chosen state, a hook that writes down what it was given, and

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::sys;

fn invalid(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text.to_owned())
}

/// `launch WORD=VALUE… -- PROGRAM ARGUMENT…`: puts this process into a state and becomes the program.
///
/// Words: `umask=OCTAL`, `open=FD:PATH` (kept open), `tty=PATH` (standard streams and controlling terminal),
/// `nofile=SOFT[:HARD]`, `cpus=N,N`, `groups=N,N`, `ignore=SIGNAL`, `v2=` (pure cgroup v2), `v1=` (without the v2 tree),
/// `user=ID` (that user and group, no others), `bind=FROM:TO` (a mount only the program sees), `unmount=PATH` (likewise),
/// `stop=` (stops itself, for a tracer), `memory=DIRECTORY` (a cgroup to be in), `close=FD,FD`.
///
/// # Errors
/// The errno of what could not be done.
pub fn launch(args: &[String]) -> io::Result<ExitCode> {
    let end = args.iter().position(|arg| arg == "--").ok_or_else(|| invalid("-- is missing"))?;
    let (program, rest) = args.get(end + 1..).and_then(<[_]>::split_first).ok_or_else(|| invalid("no program"))?;
    let mut kept: Vec<OwnedFd> = Vec::new();
    for arg in args.iter().take(end) {
        let (word, value) = arg.split_once('=').ok_or_else(|| invalid(arg))?;
        kept.extend(set(word, value)?);
    }
    Err(Command::new(program).args(rest).exec())
}

fn set(word: &str, value: &str) -> io::Result<Option<OwnedFd>> {
    let number = |text: &str| text.parse::<u32>().map_err(|_| invalid(text));
    match word {
        "umask" => drop(nix::sys::stat::umask(Mode::from_bits_truncate(
            u32::from_str_radix(value, 8).map_err(|_| invalid(value))?,
        ))),
        "open" => return open_as(value).map(Some),
        "tty" => terminal(value)?,
        "nofile" => {
            let (soft, hard) = value.split_once(':').unwrap_or((value, value));
            setrlimit(Resource::RLIMIT_NOFILE, number(soft)?.into(), number(hard)?.into())?;
        }
        "nproc" => setrlimit(Resource::RLIMIT_NPROC, number(value)?.into(), number(value)?.into())?,
        "cpus" => {
            let mut set = nix::sched::CpuSet::new();
            value.split(',').try_for_each(|cpu| set.set(number(cpu)? as usize).map_err(io::Error::from))?;
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)?;
        }
        "groups" => {
            let groups = value
                .split(',')
                .map(|id| number(id).map(nix::unistd::Gid::from_raw))
                .collect::<io::Result<Vec<_>>>()?;
            nix::unistd::setgroups(&groups)?;
        }
        "user" => {
            let id = number(value)?;
            nix::unistd::setgroups(&[])?;
            nix::unistd::setresgid(id.into(), id.into(), id.into())?;
            nix::unistd::setresuid(id.into(), id.into(), id.into())?;
        }
        "bind" => {
            let (from, to) = value.split_once(':').ok_or_else(|| invalid(value))?;
            private_mounts()?;
            let none: Option<&str> = None;
            mount(Some(from), to, none, MsFlags::MS_BIND, none)?;
        }
        "oom" => fs::write("/proc/self/oom_score_adj", value)?,
        "memory" => fs::write(format!("{value}/cgroup.procs"), "0")?,
        "close" => value.split(',').try_for_each(|fd| sys::close(number(fd)?.cast_signed()))?,
        "stop" => nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP)?,
        "v2" => pure_v2()?,
        "v1" => unmount("/sys/fs/cgroup/unified")?,
        "unmount" => unmount(value)?,
        _ => return Err(invalid(word)),
    }
    Ok(None)
}

/// Opens PATH of `FD:PATH` as that descriptor, which stays open over exec.
fn open_as(value: &str) -> io::Result<OwnedFd> {
    let (number, path) = value.split_once(':').ok_or_else(|| invalid(value))?;
    let number: RawFd = number.parse().map_err(|_| invalid(value))?;
    let file = fs::OpenOptions::new().read(true).open(path)?;
    if file.as_raw_fd() == number {
        nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
    } else {
        sys::place(file.as_fd(), number)?;
    }
    Ok(file.into())
}

fn terminal(path: &str) -> io::Result<()> {
    nix::unistd::setsid()?;
    let tty = fs::OpenOptions::new().read(true).write(true).open(path)?;
    sys::control_terminal(tty.as_fd())?;
    (0..3).try_for_each(|number| sys::place(tty.as_fd(), number))
}

fn private_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none: Option<&str> = None;
    Ok(mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?)
}

fn unmount(path: &str) -> io::Result<()> {
    private_mounts()?;
    Ok(umount2(path, MntFlags::MNT_DETACH)?)
}

fn pure_v2() -> io::Result<()> {
    private_mounts()?;
    umount2("/sys/fs/cgroup", MntFlags::MNT_DETACH)?;
    let none: Option<&str> = None;
    Ok(mount(Some("cgroup2"), "/sys/fs/cgroup", Some("cgroup2"), MsFlags::empty(), none)?)
}

/// `hook LOG [WORD…]`: appends one line of JSON to LOG: arguments, environment, state from standard input, and where it
/// ran. Words: `exit=N`, `sleep=SECONDS`, `say=TEXT`, `look=PATH` (whether it is there).
///
/// # Errors
/// The errno of what could not be done.
pub fn hook(args: &[String]) -> io::Result<ExitCode> {
    let (log, words) = args.split_first().ok_or_else(|| invalid("no log"))?;
    let mut state = String::new();
    io::stdin().read_to_string(&mut state)?;
    let word = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let fact = json!({
        "args": std::env::args().collect::<Vec<_>>(),
        "env": std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "state": serde_json::from_str::<Value>(&state).unwrap_or(Value::Null),
        "cwd": std::env::current_dir().ok(),
        "look": word("look").map(|path| fs::symlink_metadata(path).is_ok()),
        "report": crate::probe::report(&[]),
    });
    let mut file = fs::OpenOptions::new().append(true).create(true).open(log)?;
    file.write_all(format!("{fact}\n").as_bytes())?;
    if let Some(text) = word("say") {
        println!("{text}");
        eprintln!("{text} too");
    }
    if let Some(seconds) = word("sleep").and_then(|text| text.parse().ok()) {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    }
    Ok(ExitCode::from(word("exit").and_then(|text| text.parse().ok()).unwrap_or(0)))
}
