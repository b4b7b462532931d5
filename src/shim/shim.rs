//! What is done with tasks: the verbs behind the requests. The table is locked for moments; the runtime runs without it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use containerd_shim_protos::api::{CreateTaskRequest, DeleteResponse, ExecProcessRequest, Mount};
use containerd_shim_protos::events::task::{TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskIO, TaskStart};
use containerd_shim_protos::topics::{
    TASK_CREATE_EVENT_TOPIC, TASK_DELETE_EVENT_TOPIC, TASK_EXEC_ADDED_EVENT_TOPIC, TASK_EXEC_STARTED_EVENT_TOPIC,
    TASK_START_EVENT_TOPIC,
};
use nix::unistd::Pid;

use crate::config;
use crate::console::{Socket, Terminal};
use crate::error::{Doing, Error, Result};
use crate::events::{Events, timestamp};
use crate::exits::{Children, Exit};
use crate::io::{Held, Stdio, Whose};
use crate::options::Options;
use crate::process::{Phase, Process};
use crate::runtime::Runtime;
use crate::tasks::{Container, Tasks, read_pid};
use crate::{log, mounts};

/// How long a process may take to be gone that was killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The shim.
pub struct Shim {
    /// containerd's.
    pub namespace: String,
    pub children: Arc<Children>,
    pub events: Arc<Events>,
    tasks: Mutex<Tasks>,
}

impl Shim {
    pub fn new(namespace: String, events: Arc<Events>) -> Shim {
        Shim { namespace, children: Arc::default(), events, tasks: Mutex::default() }
    }

    pub fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime of the container `id`.
    pub fn runtime(&self, id: &str) -> Result<Arc<Runtime>> {
        Ok(self.tasks().get(id)?.runtime.clone())
    }

    /// Notes every child that ends, for ever.
    pub fn follow(&self) -> ! {
        loop {
            let pid = self.children.wait();
            let mut tasks = self.tasks();
            let Some(exit) = self.children.reap(pid) else { continue };
            let Some((id, container)) = tasks.ended(pid, exit, &self.events) else { continue };
            if !container.ends_whole {
                // Nobody waits for it: its end is noted here.
                let mut kill = container.runtime.command("kill");
                let killed = self.children.spawn(kill.args(["--all", &id, "KILL"]));
                let _ = killed.inspect_err(|error| log::error(format!("kill what is left of {id}: {error}")));
            }
        }
    }

    /// Makes the container of a request; its first process waits to be started.
    pub fn create(&self, request: &CreateTaskRequest) -> Result<u32> {
        let bundle = PathBuf::from(&request.bundle);
        let options = Options::from_any(request.options.as_ref())?;
        options.save(&bundle)?;
        let runtime = Arc::new(Runtime::new(self.children.clone(), &self.namespace, &bundle, options));
        let stdio = Stdio {
            stdin: request.stdin.clone(),
            stdout: request.stdout.clone(),
            stderr: request.stderr.clone(),
            terminal: request.terminal,
        };
        let checkpoint = Some(&request.checkpoint).filter(|path| !path.is_empty()).map(PathBuf::from);
        let container = Container {
            ends_whole: config::has_pid_namespace(&bundle),
            bundle: bundle.clone(),
            runtime: runtime.clone(),
            init: Process::new(stdio.clone(), None),
            execs: Default::default(),
            checkpoint: checkpoint.clone(),
        };
        self.tasks().add(&request.id, container)?;
        let made = self.make(request, &runtime, &stdio, checkpoint.is_some());
        let (pid, held) = made.inspect_err(|_| self.undo(&request.id))?;
        let mut tasks = self.tasks();
        let init = &mut tasks.get(&request.id)?.init;
        (init.held, init.phase) = (held, Phase::Created);
        self.events.publish(TASK_CREATE_EVENT_TOPIC, &created(request, pid));
        tasks.tell(&request.id, &self.events);
        Ok(pid)
    }

    fn make(
        &self,
        request: &CreateTaskRequest,
        runtime: &Runtime,
        stdio: &Stdio,
        restored: bool,
    ) -> Result<(u32, Held)> {
        let bundle = Path::new(&request.bundle);
        mounts::mount_all(&request.rootfs, &bundle.join("rootfs"))?;
        if restored {
            return Ok((0, Held::default()));
        }
        let pid_file = bundle.join("init.pid");
        let mut command = runtime.command("create");
        command.arg("--bundle").arg(bundle).arg("--pid-file").arg(&pid_file);
        first_process_options(&mut command, &runtime.options);
        let (pid, held) = self.spawn((&request.id, ""), runtime, command, stdio, &pid_file)?;
        match coracle_cgroup::of(Pid::from_raw(pid as i32)).and_then(|cgroup| cgroup.oom()) {
            Ok(Some(oom)) => self.events.watch(&request.id, oom),
            Ok(None) => {}
            Err(error) => log::error(format!("watch the memory of {}: {error}", request.id)),
        }
        Ok((pid, held))
    }

    /// Runs a command that makes a process with this standard input, output and error. Returns the process.
    fn spawn(
        &self,
        (id, exec): (&str, &str),
        runtime: &Runtime,
        mut command: Command,
        stdio: &Stdio,
        pid_file: &Path,
    ) -> Result<(u32, Held)> {
        let Options { io_uid: uid, io_gid: gid, .. } = runtime.options;
        let whose = Whose { children: &self.children, namespace: &self.namespace, container: id, uid, gid };
        let (given, mut held) = if stdio.terminal { stdio.open_for_terminal(&whose)? } else { stdio.open(&whose)? };
        let mut terminal = None;
        if stdio.terminal {
            let socket = Socket::bind()?;
            command.arg("--console-socket").arg(socket.path());
            terminal = Some((socket, given));
        } else {
            given.attach(&mut command);
        }
        command.arg(id);
        self.tasks().expect();
        let ran = runtime.run(&mut command);
        // The copies in there would keep pipes open.
        drop(command);
        let pid = ran.and_then(|()| read_pid(pid_file));
        self.tasks().expected(id, exec, *pid.as_ref().unwrap_or(&0));
        if let Some((socket, given)) = terminal.filter(|_| pid.is_ok()) {
            held.terminal = Some(Terminal::connect(socket.receive()?, given)?);
        }
        Ok((pid?, held))
    }

    /// Takes back what a failed creation has made.
    fn undo(&self, id: &str) {
        let Some(container) = self.tasks().remove(id) else { return };
        if let Err(error) = clean_up(&container.runtime, id, &container.rootfs()) {
            log::error(format!("clean up after {id}: {error}"));
        }
        self.events.forget(id);
    }

    /// Lets the first process of a container run, or runs an added one.
    pub fn start(&self, id: &str, exec: &str) -> Result<u32> {
        if exec.is_empty() { self.start_first(id) } else { self.start_added(id, exec) }
    }

    fn start_first(&self, id: &str) -> Result<u32> {
        let (runtime, checkpoint, stdio) = {
            let mut tasks = self.tasks();
            let container = tasks.get(id)?;
            container.init.begin()?;
            (container.runtime.clone(), container.checkpoint.clone(), container.init.stdio.clone())
        };
        let started = match checkpoint {
            None => runtime.run(runtime.command("start").arg(id)),
            Some(images) => self.restore(id, &runtime, &images, &stdio),
        };
        let mut tasks = self.tasks();
        let init = &mut tasks.get(id)?.init;
        let pid = init.pid;
        init.phase = if started.is_ok() { Phase::Running } else { Phase::Created };
        if started.is_ok() {
            let event = TaskStart { container_id: id.to_owned(), pid, ..TaskStart::default() };
            self.events.publish(TASK_START_EVENT_TOPIC, &event);
        }
        tasks.tell(id, &self.events);
        started.map(|()| pid)
    }

    fn restore(&self, id: &str, runtime: &Runtime, images: &Path, stdio: &Stdio) -> Result<()> {
        let bundle = self.tasks().get(id)?.bundle.clone();
        let pid_file = bundle.join("init.pid");
        let mut command = runtime.command("restore");
        command.arg("--detach").arg("--bundle").arg(&bundle).arg("--pid-file").arg(&pid_file);
        command.arg("--image-path").arg(images).arg("--work-path").arg(runtime.criu_work());
        first_process_options(&mut command, &runtime.options);
        let (_, held) = self.spawn((id, ""), runtime, command, stdio, &pid_file)?;
        self.tasks().get(id)?.init.held = held;
        Ok(())
    }

    fn start_added(&self, id: &str, exec: &str) -> Result<u32> {
        let (runtime, bundle, stdio, spec) = {
            let mut tasks = self.tasks();
            let container = tasks.get(id)?;
            let process = container.process(exec)?;
            process.begin()?;
            let (stdio, spec) = (process.stdio.clone(), std::mem::take(&mut process.spec));
            (container.runtime.clone(), container.bundle.clone(), stdio, spec)
        };
        let started = self.run_added((id, exec), &runtime, &bundle, &stdio, &spec);
        let mut tasks = self.tasks();
        let process = tasks.process(id, exec)?;
        let outcome = match started {
            Ok((pid, held)) => {
                (process.held, process.phase) = (held, Phase::Running);
                let (container_id, exec_id) = (id.to_owned(), exec.to_owned());
                let event = TaskExecStarted { container_id, exec_id, pid, ..TaskExecStarted::default() };
                self.events.publish(TASK_EXEC_STARTED_EVENT_TOPIC, &event);
                Ok(pid)
            }
            Err(error) => {
                process.stop(Exit { code: 255, at: std::time::SystemTime::now() });
                Err(error)
            }
        };
        tasks.tell(id, &self.events);
        outcome
    }

    fn run_added(
        &self,
        (id, exec): (&str, &str),
        runtime: &Runtime,
        bundle: &Path,
        stdio: &Stdio,
        spec: &[u8],
    ) -> Result<(u32, Held)> {
        let (spec_file, pid_file) = (bundle.join(format!("{exec}.json")), bundle.join(format!("{exec}.pid")));
        write(&spec_file, spec)?;
        let mut command = runtime.command("exec");
        command.args(["--detach", "--process"]).arg(&spec_file).arg("--pid-file").arg(&pid_file);
        let started = self.spawn((id, exec), runtime, command, stdio, &pid_file);
        let _ = (std::fs::remove_file(&spec_file), std::fs::remove_file(&pid_file));
        started
    }

    /// Adds a process to a container, to be started later.
    pub fn exec(&self, request: ExecProcessRequest) -> Result<()> {
        let (id, exec) = (&request.id, &request.exec_id);
        if exec.is_empty() || exec.contains('/') {
            return Err(Error::invalid(format!("add process: bad id {exec:?}")));
        }
        let mut tasks = self.tasks();
        let container = tasks.get(id)?;
        if exec == id || container.execs.contains_key(exec) {
            return Err(Error::already_exists(format!("process {exec} exists already")));
        }
        if container.init.exit.is_some() {
            return Err(Error::precondition(format!("add process: container {id} has stopped")));
        }
        let stdio =
            Stdio { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr, terminal: request.terminal };
        let spec = request.spec.into_option().map(|any| any.value).unwrap_or_default();
        container.execs.insert(exec.clone(), Process::new(stdio, Some(spec)));
        let (container_id, exec_id) = (id.clone(), exec.clone());
        let event = TaskExecAdded { container_id, exec_id, ..TaskExecAdded::default() };
        self.events.publish(TASK_EXEC_ADDED_EVENT_TOPIC, &event);
        Ok(())
    }

    /// Removes a process that has ended or was never started; the first one with its container.
    pub fn delete(&self, id: &str, exec: &str) -> Result<DeleteResponse> {
        if !exec.is_empty() {
            let mut tasks = self.tasks();
            tasks.process(id, exec)?.deletable()?;
            let process = tasks.get(id)?.execs.remove(exec);
            drop(tasks);
            return Ok(process.map(deleted).unwrap_or_default());
        }
        let (runtime, rootfs, end) = {
            let mut tasks = self.tasks();
            let container = tasks.get(id)?;
            container.init.deletable()?;
            (container.runtime.clone(), container.rootfs(), container.init.wait())
        };
        clean_up(&runtime, id, &rootfs)?;
        // Of one that was never started, and killed by this.
        let _ = end.recv_timeout(PATIENCE);
        let Some(container) = self.tasks().remove(id) else { return Ok(DeleteResponse::default()) };
        let response = deleted(container.init);
        let event = TaskDelete {
            container_id: id.to_owned(),
            pid: response.pid,
            exit_status: response.exit_status,
            exited_at: response.exited_at.clone(),
            ..TaskDelete::default()
        };
        self.events.publish(TASK_DELETE_EVENT_TOPIC, &event);
        self.events.forget(id);
        Ok(response)
    }
}

/// Deletes the container `id` if the runtime has it, and unmounts its root filesystem.
pub fn clean_up(runtime: &Runtime, id: &str, rootfs: &Path) -> Result<()> {
    if runtime.knows(id)? {
        runtime.run(runtime.command("delete").args(["--force", id]))?;
    }
    mounts::unmount(rootfs)
}

fn first_process_options(command: &mut Command, options: &Options) {
    if options.no_pivot_root {
        command.arg("--no-pivot");
    }
    if options.no_new_keyring {
        command.arg("--no-new-keyring");
    }
}

/// What is left of a process to tell.
fn deleted(process: Process) -> DeleteResponse {
    if let Some(terminal) = &process.held.terminal {
        terminal.drain();
    }
    let exit = process.exit.unwrap_or_else(Exit::killed);
    DeleteResponse {
        pid: process.pid,
        exit_status: exit.code,
        exited_at: Some(timestamp(exit.at)).into(),
        ..DeleteResponse::default()
    }
}

fn created(request: &CreateTaskRequest, pid: u32) -> TaskCreate {
    let io = TaskIO {
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
        ..TaskIO::default()
    };
    TaskCreate {
        container_id: request.id.clone(),
        bundle: request.bundle.clone(),
        rootfs: request.rootfs.iter().map(Mount::clone).collect(),
        io: Some(io).into(),
        checkpoint: request.checkpoint.clone(),
        pid,
        ..TaskCreate::default()
    }
}

/// Writes a file that is the runtime's to read and may hold secrets.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| std::io::Write::write_all(&mut file, content))
        .doing(|| format!("write {}", path.display()))
}
