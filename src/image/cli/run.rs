//! `coracle-image run`

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Parser;
use coracle_image::bundle::{Bundle, Making};
use coracle_image::error::{Context, Error, Kind, Result};
use coracle_image::name::Name;
use coracle_image::reference::Reference;
use coracle_sys::directories;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::unistd::Pid;
use rustix::mount::{MountPropagationFlags, mount_change};

use super::origin::Origin;
use super::overrides::Overrides;
use super::{Call, gc, print, pull, runtime};

/// Make a container of an image and run it
///
/// Exits with the status of its program. Without --rm what it has written stays: see diff, commit, rm --container.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Verb {
    #[command(flatten)]
    origin: Origin,
    #[command(flatten)]
    overrides: Overrides,
    /// Give the container the standard input
    #[arg(long, short)]
    interactive: bool,
    /// Give the container a terminal
    #[arg(long, short)]
    tty: bool,
    /// Remove the container when its program has ended
    #[arg(long)]
    rm: bool,
    /// Return when the program runs; what it says goes to the file log of the container
    #[arg(long, short, conflicts_with = "tty")]
    detach: bool,
    /// Name of the container [default: the image's and a number]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Unpack a tree of its own instead of mounting shared layers
    #[arg(long)]
    copy: bool,
    /// The image; one that is elsewhere is pulled
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// Program and arguments instead of the image's command
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Verb {
    pub fn run(&self, call: &Call) -> Result<u8> {
        if self.tty && !std::io::stdin().is_terminal() {
            return Err(Error::invalid("the standard input is not a terminal; leave -t away"));
        }
        // What --rm left behind when it was killed.
        gc::sweep(call)?;
        if !call.rootless {
            own_mounts()?;
        }
        let (name, bundle, lock) = self.make(call)?;
        let mut command = runtime::command(call);
        command.arg("run").arg("--bundle").arg(bundle.dir());
        if self.detach {
            command.arg("--detach");
        }
        command.arg(&name);
        self.streams(&mut command, &bundle)?;
        if self.detach {
            let status = command.status().context(|| "run the runtime")?;
            return if status.success() { print(format!("{name}\n")) } else { Ok(code(status)) };
        }
        if self.rm {
            let status = wait(command);
            // It has ended, or the runtime failed: either way nobody needs it any more.
            if runtime::status(call, &name).is_some() {
                runtime::delete(call, &name)?;
            }
            bundle.remove()?;
            drop(lock);
            return status;
        }
        Err(Error::from(command.exec()).within("run the runtime"))
    }

    /// Makes the bundle. The store is closed again: nobody waits for it while the container runs.
    fn make(&self, call: &Call) -> Result<(String, Bundle, File)> {
        let store = call.store()?;
        let source = self.origin.open(&self.image, &store).map_err(|error| self.hint(error))?;
        let image = match &self.image {
            Reference::Stored(text) => source.name.as_ref().map_or_else(|| text.clone(), ToString::to_string),
            reference => match source.name.clone().or_else(|| reference.default_name()) {
                Some(name) => pull::pulled(&source, reference, Some(&name), &store, call)?.to_string(),
                None => reference.to_string(),
            },
        };
        let name = self.name.clone().map_or_else(|| new_name(source.name.as_ref(), &image), Ok)?;
        if !is_name(&name) {
            return Err(Error::invalid(format!("invalid name of a container {name:?}")));
        }
        let options = self.overrides.options(&name, &self.command, self.tty)?;
        let (dir, lock) = self.claim(call, &name)?;
        let making = Making { image: &image, copy: self.copy, remove: self.rm, machine: call.machine() };
        let bars = call.bars();
        let made = Bundle::make(&dir, &source, &store, making, &options, &|event| bars.tell_new(event));
        let (bundle, warnings) = made.map_err(|error| error.within(&image))?;
        call.warn(&warnings);
        Ok((name, bundle, lock))
    }

    /// Makes the container's directory, so that the name is taken, and locks it.
    fn claim(&self, call: &Call, name: &str) -> Result<(PathBuf, File)> {
        let containers = call.containers();
        directories::make(&containers, 0o777).context(|| format!("make {}", containers.display()))?;
        // One at a time: between making and locking, a directory looks like one that was left behind.
        let _turn = runtime::turn(&containers)?;
        let dir = containers.join(name);
        let taken = |why: &str| Err(Error::invalid(format!("there is a container {name} {why}")));
        if std::fs::symlink_metadata(&dir).is_ok() {
            if runtime::is_starting(&dir)? {
                return taken("that another coracle-image makes or runs; give another --name");
            }
            if Bundle::open(&dir).is_ok() {
                return taken(&format!(
                    "already; coracle-image rm --container {name} removes it, or give another --name"
                ));
            }
            // Left by one who was killed at its very beginning.
            std::fs::remove_dir_all(&dir).context(|| format!("remove {}", dir.display()))?;
        }
        std::fs::create_dir(&dir).context(|| format!("make {}", dir.display()))?;
        let lock = runtime::lock(&dir)?;
        Ok((dir, lock))
    }

    fn hint(&self, error: Error) -> Error {
        match (&self.image, error.kind()) {
            (Reference::Stored(text), Kind::NotFound) => {
                Error::new(Kind::NotFound, format!("{error}; coracle-image run docker://{text} would pull it"))
            }
            _ => error,
        }
    }

    fn streams(&self, command: &mut Command, bundle: &Bundle) -> Result<()> {
        if !self.interactive && !self.tty {
            command.stdin(Stdio::null());
        }
        if self.detach {
            let path = bundle.dir().join("log");
            let log = File::options().append(true).create_new(true).open(&path);
            let log = log.context(|| format!("make {}", path.display()))?;
            command.stdout(log.try_clone()?).stderr(log);
        }
        Ok(())
    }
}

/// Keeps mounts of this process from others: they go with it and its container, however they end.
fn own_mounts() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context(|| "make a mount namespace")?;
    let below = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", below).context(|| "keep mounts to ourselves")
}

/// What the runtime takes for an id, and is no option nor hidden.
fn is_name(name: &str) -> bool {
    let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    !name.is_empty() && !name.starts_with(['.', '-']) && name.chars().all(sound)
}

/// The last part of the image's name and a random number.
fn new_name(name: Option<&Name>, image: &str) -> Result<String> {
    let path = name.map_or(image, Name::path);
    let last = path.rsplit('/').next().unwrap_or_default().split([':', '@']).next().unwrap_or_default();
    let last: String = last.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let mut random = [0; 3];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
    let [a, b, c] = random;
    let last = match last.trim_start_matches(['.', '-']) {
        // An archive without a name.
        "" => "container",
        last => last,
    };
    Ok(format!("{last}-{a:02x}{b:02x}{c:02x}"))
}

/// Runs the runtime to its end. Signals go to it, as it would get them without us between.
fn wait(mut command: Command) -> Result<u8> {
    let forwarded =
        [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2];
    let mut set = SigSet::empty();
    forwarded.iter().for_each(|signal| set.add(*signal));
    set.add(Signal::SIGCHLD);
    let signals = || -> Result<SignalFd> {
        set.thread_block()?;
        Ok(SignalFd::new(&set)?)
    };
    let signals = signals().context(|| "receive signals")?;
    let mut child = command.spawn().context(|| format!("run {}", command.get_program().to_string_lossy()))?;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(code(status));
        }
        let Some(info) = signals.read_signal().context(|| "receive signals")? else { continue };
        // What the terminal sends goes to the whole foreground, the runtime among it.
        let from_kernel = info.ssi_code == libc::SI_KERNEL;
        let number = i32::try_from(info.ssi_signo).unwrap_or_default();
        if let Some(signal) = forwarded.iter().find(|signal| **signal as i32 == number && !from_kernel) {
            // It may have ended by now.
            let _ = kill(pid, *signal);
        }
    }
}

/// As a shell has it.
fn code(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(125);
    u8::try_from(code).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_containers() {
        for image in ["-", "debian:12", "oci:/x/-.y", "docker-archive:a b.tar"] {
            let name = new_name(None, image).unwrap();
            assert!(is_name(&name), "{image}: {name}");
        }
        for name in ["", ".", "..", "-x", "a/b", "a b", "a\n", "\u{e9}"] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
