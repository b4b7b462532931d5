//! Processes that end: the runtime's own, and those of containers, which become children of the shim when the runtime
//! that made them is gone (the shim is their subreaper).
//!
//! One thread waits for all of them and learns everything from wait(2), no signal is involved: what has ended stays a
//! zombie until it is looked at, so nothing can be missed and no process id can be taken for another's.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crossbeam_channel::{Receiver, Sender, bounded};
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

/// How and when a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, or 128 and the number of the signal that ended it.
    pub code: u32,
    pub at: SystemTime,
}

impl Exit {
    /// That of a process of which only this is known: it was killed, now at the latest.
    pub fn killed() -> Exit {
        Exit { code: 128 + nix::libc::SIGKILL as u32, at: SystemTime::now() }
    }
}

/// The children of the shim.
#[derive(Default)]
pub struct Children {
    /// Who waits for the end of a program the shim itself started.
    waiting: Mutex<HashMap<Pid, Sender<Exit>>>,
    spawned: Condvar,
}

impl Children {
    /// Starts `command`. Its end, and nobody else's, comes from the receiver.
    pub fn spawn(&self, command: &mut Command) -> std::io::Result<(std::process::Child, Receiver<Exit>)> {
        let (sender, receiver) = bounded(1);
        // Held over the spawn: the child may end before its id is known here.
        let mut waiting = self.lock();
        let child = command.spawn()?;
        waiting.insert(Pid::from_raw(child.id() as i32), sender);
        self.spawned.notify_one();
        Ok((child, receiver))
    }

    /// Waits until some child has ended, which stays as it is until it is [reaped](Children::reap).
    pub fn wait(&self) -> Pid {
        loop {
            match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        return pid;
                    }
                }
                // Descendants come with children only.
                Err(Errno::ECHILD) => {
                    let waiting = self.lock();
                    if waiting.is_empty() {
                        drop(self.spawned.wait(waiting).unwrap_or_else(PoisonError::into_inner));
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Takes leave of the child `pid`, whose id is free from then on. Returns its end, unless that was the business of
    /// whoever started it.
    pub fn reap(&self, pid: Pid) -> Option<Exit> {
        let mut waiting = self.lock();
        let code = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => code as u32,
            Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as u32,
            _ => return None,
        };
        let exit = Exit { code, at: SystemTime::now() };
        match waiting.remove(&pid) {
            Some(sender) => {
                let _ = sender.send(exit);
                None
            }
            None => Some(exit),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pid, Sender<Exit>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only one test may wait for the children of the test program.
    #[test]
    fn every_end_reaches_the_one_who_waits_for_it() {
        let children = Children::default();
        let receivers: Vec<_> = (0..20)
            .map(|code| {
                let mut command = Command::new("/bin/sh");
                let (_, receiver) = children.spawn(command.args(["-c", &format!("exit {code}")])).unwrap();
                (code, receiver)
            })
            .collect();
        let mut killed = Command::new("/bin/sh");
        let (_, killed) = children.spawn(killed.args(["-c", "kill -9 $$"])).unwrap();
        for _ in 0..=receivers.len() {
            let pid = children.wait();
            assert_eq!(children.reap(pid), None);
        }
        for (code, receiver) in receivers {
            assert_eq!(receiver.recv().unwrap().code, code);
        }
        assert_eq!(killed.recv().unwrap().code, 137);
    }
}
