//! A process of a container: the first one, or one that was added (`exec`).

use std::time::SystemTime;

use containerd_shim_protos::api::{StateResponse, Status};
use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Result};
use crate::events::timestamp;
use crate::exits::Exit;
use crate::io::{Held, Stdio};

/// How far a process has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// The runtime is making it.
    #[default]
    Creating,
    /// It waits, or is yet to be made by the start.
    Created,
    /// The runtime is starting it. Its end is not told before its start is.
    Starting,
    Running,
    Paused,
    /// Its end was told.
    Stopped(Exit),
}

#[derive(Default)]
pub struct Process {
    /// 0: there is none yet.
    pub pid: u32,
    pub phase: Phase,
    /// How it ended, whether or not that was told.
    pub exit: Option<Exit>,
    pub stdio: Stdio,
    pub held: Held,
    /// What to run, in the runtime's terms; only of an added process that was not started.
    pub spec: Vec<u8>,
    waiters: Vec<Sender<Exit>>,
}

impl Process {
    /// One that is yet to be made, by the runtime or, if `spec` says what to run, by its start.
    pub fn new(stdio: Stdio, spec: Option<Vec<u8>>) -> Process {
        let phase = if spec.is_some() { Phase::Created } else { Phase::Creating };
        Process { stdio, phase, spec: spec.unwrap_or_default(), ..Process::default() }
    }

    /// Becomes `Starting`.
    pub fn begin(&mut self) -> Result<()> {
        if self.phase != Phase::Created || self.exit.is_some() {
            return Err(Error::precondition(format!("start process: it is {}", self.phase.name())));
        }
        self.phase = Phase::Starting;
        Ok(())
    }

    /// Whether it has a process id that is its own.
    pub fn is_alive(&self) -> bool {
        self.pid != 0 && self.exit.is_none()
    }

    /// Whether its end is known and may be told now.
    pub fn ends(&self) -> Option<Exit> {
        let told = matches!(self.phase, Phase::Creating | Phase::Starting | Phase::Stopped(_));
        self.exit.filter(|_| !told)
    }

    /// Its end is told.
    pub fn stop(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.phase = Phase::Stopped(exit);
        for waiter in self.waiters.drain(..) {
            let _ = waiter.try_send(exit);
        }
    }

    /// Gets its end when that is told, or was.
    pub fn wait(&mut self) -> Receiver<Exit> {
        let (sender, receiver) = bounded(1);
        if let Phase::Stopped(exit) = self.phase {
            let _ = sender.try_send(exit);
        } else {
            self.waiters.push(sender);
        }
        receiver
    }

    /// Its end, if it has stopped or never ran.
    ///
    /// # Errors
    /// When it runs: it cannot be deleted then.
    pub fn deletable(&self) -> Result<()> {
        match self.phase {
            Phase::Created | Phase::Stopped(_) => Ok(()),
            phase => Err(Error::precondition(format!("delete process: it is {}", phase.name()))),
        }
    }

    /// What containerd is told of it.
    pub fn state(&self) -> StateResponse {
        let mut state = StateResponse {
            pid: self.pid,
            status: self.phase.status().into(),
            stdin: self.stdio.stdin.clone(),
            stdout: self.stdio.stdout.clone(),
            stderr: self.stdio.stderr.clone(),
            terminal: self.stdio.terminal,
            exited_at: Some(timestamp(SystemTime::UNIX_EPOCH)).into(),
            ..StateResponse::default()
        };
        if let Phase::Stopped(exit) = self.phase {
            state.exit_status = exit.code;
            state.exited_at = Some(timestamp(exit.at)).into();
        }
        state
    }
}

impl Phase {
    fn status(self) -> Status {
        match self {
            Phase::Creating | Phase::Created | Phase::Starting => Status::CREATED,
            Phase::Running => Status::RUNNING,
            Phase::Paused => Status::PAUSED,
            Phase::Stopped(_) => Status::STOPPED,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Phase::Creating => "being created",
            Phase::Created => "created",
            Phase::Starting => "being started",
            Phase::Running => "running",
            Phase::Paused => "paused",
            Phase::Stopped(_) => "stopped",
        }
    }
}
