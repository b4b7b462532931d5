//! The commands of containerd's shim: `start`, which leaves a process that serves, and `delete`, which leaves nothing.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use integration::{Action, Bundle, Call, Called, Context, Fault, Trace};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::json;
use syscalls::Sysno;

use super::trial::Tried;
use super::verbs::quiet;

/// containerd's name for a set of containers.
const NAMESPACE: &str = "faults";

/// A command of the shim, and the container it is for.
pub struct Shimming<'t> {
    t: &'t Context,
    program: PathBuf,
    bundle: Bundle,
    id: String,
    delete: bool,
}

impl<'t> Shimming<'t> {
    pub fn new(t: &'t Context, name: &str) -> Shimming<'t> {
        let program = t.guest().with_file_name("containerd-shim-coracle-v2");
        let beside = t.coracle().program().with_file_name("containerd-shim-coracle-v2");
        let program = if beside.is_file() { beside } else { program };
        let bundle = t.bundle().args(&["/guest", "trap"]);
        bundle.save();
        // Where the shim keeps what an engine has set.
        let options = json!({"BinaryName": t.coracle().program(), "Root": t.path("shim-root")});
        fs::write(bundle.path().join("shim.json"), options.to_string()).unwrap();
        let id = bundle.id();
        Shimming { t, program, bundle, id, delete: name == "shim delete" }
    }

    fn command(&self, word: &str) -> Call {
        // No containerd listens there, which is no concern of `start` and `delete`.
        let address = self.t.path("containerd.sock");
        let call = Call::new(&self.program, self.t.guest(), self.bundle.path());
        call.args(["-namespace", NAMESPACE, "-id", &self.id, "-address"]).arg(address).arg(word)
    }

    fn attempt(&self, word: &str) -> Result<(), String> {
        quiet(&self.command(word), &self.t.path("quiet")).map_err(|problem| format!("{word}: {problem}"))
    }

    /// A call of the runtime, with the state directory that the shim gives it.
    fn runtime(&self, verb: &str) -> Call {
        self.t.coracle().bare().arg("--root").arg(self.t.path("shim-root").join(NAMESPACE)).arg(verb)
    }

    /// Where the shim listens, if `start` came so far as to tell.
    fn socket(&self) -> Option<String> {
        let address = fs::read_to_string(self.bundle.path().join("address")).ok()?;
        Some(address.trim_start_matches("unix://").to_owned())
    }

    /// The shim that serves is killed, as nobody tells it to end.
    fn kill(&self) {
        let pid = fs::read_to_string(self.bundle.path().join("shim.pid")).ok().and_then(|text| text.parse().ok());
        let Some(pid) = pid.map(Pid::from_raw) else { return };
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
        fs::remove_file(self.bundle.path().join("shim.pid")).unwrap();
    }

    /// What a successful command has brought about.
    fn done(&self) -> Result<(), String> {
        if self.delete {
            let state = self.runtime("state").arg(&self.id).run();
            return if state.code == 0 { Err("the container is there".into()) } else { Ok(()) };
        }
        let socket = self.socket().ok_or("there is no address")?;
        UnixStream::connect(&socket).map(drop).map_err(|error| format!("connect to {socket}: {error}"))
    }
}

/// Whether the fault was the end of a shim that had said that it serves, of which containerd learns by its socket: killed, or
/// without memory for what Rust cannot do without. Its other threads end it at any time after the fault was theirs.
fn ended_serving(fault: Fault, result: &Trace) -> bool {
    let word = Called { process: 1, nth: 0, call: Sysno::sendto };
    let place = |call: Called| result.calls.iter().position(|made| *made == call);
    let ends = match fault.action {
        Action::KillBefore | Action::KillAfter => true,
        Action::Fail(_) | Action::FailAfter(_) => matches!(fault.at.call, Sysno::mmap | Sysno::mremap | Sysno::brk),
    };
    let late = || place(word).is_some_and(|word| place(fault.at) >= Some(word));
    ends && (fault.at.process > word.process || fault.at.process == word.process && late())
}

impl Tried for Shimming<'_> {
    fn prepare(&self) {
        if self.delete {
            let made = self.runtime("create").arg("--bundle").arg(self.bundle.path()).arg(&self.id);
            quiet(&made, &self.t.path("quiet")).unwrap();
        }
    }

    fn call(&self) -> Call {
        self.command(if self.delete { "delete" } else { "start" })
    }

    fn judge(&self, fault: Fault, result: &Trace) -> Result<(), String> {
        if result.code == 0 && !ended_serving(fault, result) {
            self.done()?;
        }
        self.clean()?;
        self.prepare();
        self.attempt(if self.delete { "delete" } else { "start" }).map_err(|problem| format!("again: {problem}"))?;
        self.done()
    }

    /// As containerd does it: the shim is gone, then `delete`.
    fn clean(&self) -> Result<(), String> {
        self.kill();
        let socket = self.socket();
        self.attempt("delete")?;
        let _ = fs::remove_file(self.bundle.path().join("address"));
        match socket {
            Some(socket) if fs::symlink_metadata(&socket).is_ok() => Err(format!("{socket} is there")),
            _ => Ok(()),
        }
    }
}
