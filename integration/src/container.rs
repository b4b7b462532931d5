//! A container that is deleted when the test is done with it.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use crate::call::{Call, Running};
use crate::cgroup::Cgroup;
use crate::output::Output;
use crate::runtime::Coracle;

/// A container id, with the output of its program when it was detached.
#[derive(Debug)]
pub struct Container {
    id: String,
    coracle: Coracle,
    running: Option<Running>,
    pid: Option<i32>,
    /// Detached further processes: children of the harness, without whose end that of the first is not complete.
    others: RefCell<Vec<i32>>,
}

impl Container {
    /// Stands for the id, whether there is such a container or not yet.
    pub fn named(coracle: &Coracle, id: &str) -> Container {
        Container { id: id.into(), coracle: coracle.clone(), running: None, pid: None, others: RefCell::default() }
    }

    /// The one of that id, which somebody else has made.
    #[track_caller]
    pub fn known(coracle: &Coracle, id: &str) -> Container {
        let mut container = Container::named(coracle, id);
        container.pid = container.state()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        container
    }

    /// Waits for the verb that makes it and keeps its streams, which the container inherited.
    #[track_caller]
    pub fn attach(&mut self, mut running: Running) -> Output {
        let output = running.wait();
        self.running = Some(running);
        if output.code == 0 {
            self.pid = self.state()["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0);
        }
        output
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The host's pid of its first process; panics when `create` or `run` did not succeed.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.pid.expect("a container with a process")
    }

    /// The cgroup of its first process.
    #[track_caller]
    pub fn cgroup(&self) -> Cgroup {
        Cgroup::of(self.pid())
    }

    /// A call of a verb with the id after it, to be completed.
    pub fn call(&self, verb: &str) -> Call {
        self.coracle.call([verb]).arg(&self.id)
    }

    /// `start`.
    pub fn start(&self) -> Output {
        self.call("start").run()
    }

    /// `kill ID SIGNAL`.
    pub fn kill(&self, signal: &str) -> Output {
        self.call("kill").arg(signal).run()
    }

    /// `delete`.
    pub fn delete(&self) -> Output {
        self.call("delete").run()
    }

    /// `exec ID ARGS…`.
    pub fn exec<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Output {
        self.call("exec").args(args).run()
    }

    /// `exec OPTIONS ID ARGS…`.
    pub fn exec_with(&self, options: &[&str], args: &[&str]) -> Output {
        self.exec_call(options, args).run()
    }

    /// A call `exec OPTIONS ID ARGS…`, to be completed.
    pub fn exec_call(&self, options: &[&str], args: &[&str]) -> Call {
        self.coracle.call(["exec"]).args(options).arg(&self.id).args(args)
    }

    /// `exec --detach OPTIONS ID ARGS…`, which must succeed; the host's pid of the process.
    #[track_caller]
    pub fn exec_detached(&self, options: &[&str], args: &[&str]) -> i32 {
        let file = self.coracle.root().with_file_name(format!("{}.pid", self.id));
        let call = self.coracle.call(["exec", "--detach", "--pid-file"]).arg(&file).args(options);
        call.arg(&self.id).args(args).run().ok();
        let pid = fs::read_to_string(&file).unwrap().parse().unwrap();
        fs::remove_file(file).unwrap();
        self.others.borrow_mut().push(pid);
        pid
    }

    /// The answer of `state`, which must succeed.
    #[track_caller]
    pub fn state(&self) -> Value {
        self.call("state").run().json()
    }

    /// The status that `state` tells.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the first process has ended; its exit code, or 128 and the number of the signal that killed it.
    ///
    /// The harness is the child subreaper, so that a detached container's process becomes its child.
    #[track_caller]
    pub fn wait(&mut self) -> i32 {
        let pid = Pid::from_raw(self.pid());
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => return code,
                Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
                Ok(_) => std::thread::sleep(Duration::from_millis(2)),
                Err(error) => panic!("wait for {pid}: {error}"),
            }
            assert!(Instant::now() < end, "container {} did not end", self.id);
        }
    }

    /// The next line the detached container wrote to standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.running.as_mut().expect("a detached container").line()
    }

    /// All output until its end.
    #[track_caller]
    pub fn output(&mut self) -> Output {
        self.running.as_mut().expect("a detached container").rest()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        for pid in self.others.take() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = waitpid(Pid::from_raw(pid), None);
        }
        // Unknown ids are no error with --force; a test that got this far has judged all it wanted to.
        let deleted = std::panic::catch_unwind(|| self.coracle.call(["delete", "--force"]).arg(&self.id).run());
        if !std::thread::panicking() && deleted.is_err() {
            eprintln!("delete --force {} did not end", self.id);
        }
    }
}
