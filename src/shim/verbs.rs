//! What is done with tasks that are there: the verbs that do not change the table.

use std::os::fd::AsFd;
use std::process::Stdio;

use containerd_shim_protos::api::{
    CheckpointTaskRequest, KillRequest, ProcessInfo, ResizePtyRequest, UpdateTaskRequest,
};
use containerd_shim_protos::events::task::{TaskCheckpointed, TaskPaused, TaskResumed};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci::{CheckpointOptions, ProcessDetails};
use containerd_shim_protos::topics::{
    TASK_CHECKPOINTED_EVENT_TOPIC, TASK_PAUSED_EVENT_TOPIC, TASK_RESUMED_EVENT_TOPIC,
};
use coracle_sys::clone::{pidfd_open, pidfd_send_signal};
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::error::{Doing, Error, Result};
use crate::events::to_any;
use crate::metrics;
use crate::process::Phase;
use crate::shim::{Shim, write};

impl Shim {
    /// Sends a signal to a process, or to all of a container.
    pub fn kill(&self, request: &KillRequest) -> Result<()> {
        let (id, exec, signal) = (&request.id, &request.exec_id, request.signal as i32);
        let gone = || Error::not_found("process already finished");
        if !exec.is_empty() {
            // Locked, so that the number stays this process's.
            let mut tasks = self.tasks();
            let process = tasks.process(id, exec)?;
            if !process.is_alive() {
                let ended = process.exit.is_some();
                return Err(if ended {
                    gone()
                } else {
                    Error::precondition(format!("process {exec} was not started"))
                });
            }
            return match send(process.pid, signal) {
                Err(Errno::ESRCH) => Err(gone()),
                sent => sent.doing(|| format!("send signal {signal} to process {exec}")),
            };
        }
        let runtime = {
            let mut tasks = self.tasks();
            let container = tasks.get(id)?;
            if container.init.exit.is_some() && !request.all {
                return Err(gone());
            }
            container.runtime.clone()
        };
        let mut command = runtime.command("kill");
        if request.all {
            command.arg("--all");
        }
        runtime.run(command.args([id, &signal.to_string()])).map_err(|error| {
            // It may have ended in between, or be a zombie that was not looked at.
            let ended = self
                .tasks()
                .get(id)
                .is_ok_and(|container| container.init.exit.is_some() || is_zombie(container.init.pid));
            if ended { gone() } else { error }
        })
    }

    /// Stops all processes of a container where they are.
    pub fn pause(&self, id: &str) -> Result<()> {
        let runtime = self.runtime(id)?;
        runtime.run(runtime.command("pause").arg(id))?;
        self.set_paused(id, Phase::Running, Phase::Paused)?;
        let event = TaskPaused { container_id: id.to_owned(), ..TaskPaused::default() };
        self.events.publish(TASK_PAUSED_EVENT_TOPIC, &event);
        Ok(())
    }

    /// Lets them go on.
    pub fn resume(&self, id: &str) -> Result<()> {
        let runtime = self.runtime(id)?;
        runtime.run(runtime.command("resume").arg(id))?;
        self.set_paused(id, Phase::Paused, Phase::Running)?;
        let event = TaskResumed { container_id: id.to_owned(), ..TaskResumed::default() };
        self.events.publish(TASK_RESUMED_EVENT_TOPIC, &event);
        Ok(())
    }

    /// Unless it has ended meanwhile.
    fn set_paused(&self, id: &str, from: Phase, to: Phase) -> Result<()> {
        let mut tasks = self.tasks();
        let init = &mut tasks.get(id)?.init;
        if init.phase == from {
            init.phase = to;
        }
        Ok(())
    }

    /// All processes of a container, with the names of those that were added by name.
    pub fn pids(&self, id: &str) -> Result<Vec<ProcessInfo>> {
        let runtime = self.runtime(id)?;
        let mut command = runtime.command("ps");
        let printed = runtime.output(command.args(["--format", "json", id]).stdout(Stdio::piped()))?;
        let pids: Vec<u32> = serde_json::from_slice(&printed)
            .map_err(|error| Error::new(format!("read the processes of {id}: {error}")))?;
        let mut tasks = self.tasks();
        let execs = &tasks.get(id)?.execs;
        let info = |pid| {
            let named = execs.iter().find(|(_, process)| process.is_alive() && process.pid == pid);
            let info = named.and_then(|(exec, _)| {
                to_any("containerd.runc.v1", &ProcessDetails { exec_id: exec.clone(), ..ProcessDetails::default() })
                    .ok()
            });
            ProcessInfo { pid, info: info.into(), ..ProcessInfo::default() }
        };
        Ok(pids.into_iter().map(info).collect())
    }

    /// Sets the limits of a container.
    pub fn update(&self, request: &UpdateTaskRequest) -> Result<()> {
        let (runtime, bundle) = {
            let mut tasks = self.tasks();
            let container = tasks.get(&request.id)?;
            (container.runtime.clone(), container.bundle.clone())
        };
        let resources = request.resources.as_ref().ok_or_else(|| Error::invalid("update: no resources are given"))?;
        let file = bundle.join("resources.json");
        write(&file, &resources.value)?;
        let updated = runtime.run(runtime.command("update").arg("--resources").arg(&file).arg(&request.id));
        let _ = std::fs::remove_file(&file);
        updated
    }

    /// What a container uses.
    pub fn stats(&self, id: &str) -> Result<Any> {
        let pid = {
            let mut tasks = self.tasks();
            let init = &tasks.get(id)?.init;
            if !init.is_alive() {
                return Err(Error::not_found(format!("container {id} does not run")));
            }
            init.pid
        };
        metrics::of(Pid::from_raw(pid as i32))
    }

    pub fn resize(&self, request: &ResizePtyRequest) -> Result<()> {
        let mut tasks = self.tasks();
        let process = tasks.process(&request.id, &request.exec_id)?;
        let size = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        match &process.held.terminal {
            Some(terminal) => terminal.resize(size(request.height), size(request.width)),
            // An engine sets the size before the start, too; a process without a terminal has none.
            None => Ok(()),
        }
    }

    /// The client has closed its end of standard input, and this is the other one.
    pub fn close_input(&self, id: &str, exec: &str) -> Result<()> {
        self.tasks().process(id, exec)?.held.stdin = None;
        Ok(())
    }

    /// Saves the state of a container.
    pub fn checkpoint(&self, request: &CheckpointTaskRequest) -> Result<()> {
        let id = &request.id;
        let runtime = self.runtime(id)?;
        let value = request.options.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
        let options = CheckpointOptions::parse_from_bytes(value)
            .map_err(|error| Error::invalid(format!("read checkpoint options: {error}")))?;
        let mut command = runtime.command("checkpoint");
        let work = if options.work_path.is_empty() { runtime.criu_work() } else { (&options.work_path).into() };
        let images = if options.image_path.is_empty() { &request.path } else { &options.image_path };
        command.arg("--image-path").arg(images).arg("--work-path").arg(work);
        let flags = [
            (!options.exit, "--leave-running"),
            (options.open_tcp, "--tcp-established"),
            (options.external_unix_sockets, "--ext-unix-sk"),
            (options.terminal, "--shell-job"),
            (options.file_locks, "--file-locks"),
        ];
        command.args(flags.into_iter().filter(|(given, _)| *given).map(|(_, flag)| flag));
        command.args(options.empty_namespaces.iter().flat_map(|name| ["--empty-ns", name]));
        if !options.cgroups_mode.is_empty() {
            command.args(["--manage-cgroups-mode", &options.cgroups_mode]);
        }
        runtime.run(command.arg(id))?;
        let (container_id, checkpoint) = (id.clone(), images.clone());
        let event = TaskCheckpointed { container_id, checkpoint, ..TaskCheckpointed::default() };
        self.events.publish(TASK_CHECKPOINTED_EVENT_TOPIC, &event);
        Ok(())
    }
}

/// By descriptor, as there are more signals than have names.
fn send(pid: u32, signal: i32) -> nix::Result<()> {
    let process = pidfd_open(Pid::from_raw(pid as i32))?;
    pidfd_send_signal(process.as_fd(), signal)
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')) || stat.is_empty()
}
