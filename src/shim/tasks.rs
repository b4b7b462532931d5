//! The table of containers and their processes, and what is said of the ends of these.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use containerd_shim_protos::events::task::TaskExit;
use containerd_shim_protos::topics::TASK_EXIT_EVENT_TOPIC;
use nix::unistd::Pid;

use crate::error::{Error, Result};
use crate::events::{Events, timestamp};
use crate::exits::Exit;
use crate::process::{Phase, Process};
use crate::record;
use crate::runtime::Runtime;

/// What the shim knows. A process id in here is that of a process which is there, dead or alive: none is reaped while the
/// table is not locked.
#[derive(Default)]
pub struct Tasks {
    containers: BTreeMap<String, Container>,
    /// Processes that have ended, while some are being started whose ids are not known yet.
    early: Vec<(Pid, Exit)>,
    starting: u32,
}

/// A container of this shim: one, or all of a pod.
pub struct Container {
    pub bundle: PathBuf,
    pub runtime: Arc<Runtime>,
    pub init: Process,
    pub execs: BTreeMap<String, Process>,
    /// Whether other processes end with the first one, as they do in a pid namespace of their own.
    pub ends_whole: bool,
    /// Images to restore it from when it is started.
    pub checkpoint: Option<PathBuf>,
}

impl Container {
    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// The first process, or the one added as `exec`.
    pub fn process(&mut self, exec: &str) -> Result<&mut Process> {
        if exec.is_empty() {
            return Ok(&mut self.init);
        }
        self.execs.get_mut(exec).ok_or_else(|| Error::not_found(format!("process {exec} does not exist")))
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        std::iter::once(&mut self.init).chain(self.execs.values_mut())
    }

    /// Tells the ends that may be told: that of the first process after those of all others.
    fn tell(&mut self, id: &str, events: &Events) {
        for (exec, process) in &mut self.execs {
            if let Some(exit) = process.ends() {
                process.stop(exit);
                events.publish(TASK_EXIT_EVENT_TOPIC, &ended(id, exec, process.pid, exit));
            }
        }
        let others = self.execs.values().any(|process| matches!(process.phase, Phase::Starting | Phase::Running));
        if let Some(exit) = self.init.ends().filter(|_| !others) {
            record::write(&self.bundle, self.init.pid, exit);
            self.init.stop(exit);
            events.publish_end(TASK_EXIT_EVENT_TOPIC, &ended(id, id, self.init.pid, exit), id);
        }
    }
}

fn ended(container: &str, process: &str, pid: u32, exit: Exit) -> TaskExit {
    TaskExit {
        container_id: container.to_owned(),
        id: process.to_owned(),
        pid,
        exit_status: exit.code,
        exited_at: Some(timestamp(exit.at)).into(),
        ..TaskExit::default()
    }
}

impl Tasks {
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
    }

    pub fn get(&mut self, id: &str) -> Result<&mut Container> {
        self.containers.get_mut(id).ok_or_else(|| Error::not_found(format!("container {id} does not exist")))
    }

    pub fn process(&mut self, id: &str, exec: &str) -> Result<&mut Process> {
        self.get(id)?.process(exec)
    }

    pub fn add(&mut self, id: &str, container: Container) -> Result<()> {
        if self.containers.contains_key(id) {
            return Err(Error::already_exists(format!("container {id} exists already")));
        }
        self.containers.insert(id.to_owned(), container);
        Ok(())
    }

    pub fn remove(&mut self, id: &str) -> Option<Container> {
        self.containers.remove(id)
    }

    /// The runtime is about to make a process. It may end before its id is known.
    pub fn expect(&mut self) {
        self.starting += 1;
    }

    /// The runtime has made the process `pid`, or none, for the process that was expected.
    pub fn expected(&mut self, id: &str, exec: &str, pid: u32) {
        self.starting -= 1;
        if let Ok(process) = self.process(id, exec)
            && pid != 0
        {
            process.pid = pid;
        }
        let early = self.early.iter().position(|(ended, _)| ended.as_raw() as u32 == pid);
        if let Some(early) = early {
            let (_, exit) = self.early.swap_remove(early);
            if let Ok(process) = self.process(id, exec) {
                process.exit = Some(exit);
            }
        }
        if self.starting == 0 {
            self.early = Vec::new();
        }
    }

    /// The process `pid` has ended. Returns the container's id if it was the first one of it.
    pub fn ended(&mut self, pid: Pid, exit: Exit, events: &Events) -> Option<(String, &Container)> {
        let number = pid.as_raw() as u32;
        for (id, container) in &mut self.containers {
            let found = container.processes().find(|process| process.is_alive() && process.pid == number);
            if let Some(process) = found {
                process.exit = Some(exit);
                container.tell(id, events);
                let first = container.init.pid == number;
                return first.then_some((id.clone(), container));
            }
        }
        if self.starting > 0 {
            self.early.push((pid, exit));
        }
        None
    }

    /// Tells the ends of processes of the container that had to wait.
    pub fn tell(&mut self, id: &str, events: &Events) {
        if let Some(container) = self.containers.get_mut(id) {
            container.tell(id, events);
        }
    }
}

/// The process id the runtime wrote to `file`.
pub fn read_pid(file: &Path) -> Result<u32> {
    let text =
        std::fs::read_to_string(file).map_err(|error| Error::new(format!("read {}: {error}", file.display())))?;
    text.trim().parse().map_err(|_| Error::new(format!("read {}: no process id: {text:?}", file.display())))
}
