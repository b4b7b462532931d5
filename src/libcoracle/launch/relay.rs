//! The process between parent and child: it enters namespaces that hold for children only, or that own others yet
//! to be made, clones the container's process as the parent's child (`CLONE_PARENT`), and ends.

use std::os::fd::{AsFd, OwnedFd};

use coracle_plan::{Plan, Relay};
use coracle_sys::clone::{Fork, clone3, exit_now};
use coracle_sys::guard;

use super::init::{self, Init};
use super::packet::{self, Process};
use super::watch::Watched;
use crate::prepare::Filled;

/// Carries out the steps of `relay` and becomes the container's process, or ends; does not return.
pub fn run(plan: &Plan, relay: &Relay, slots: Vec<Filled>, socket: OwnedFd, watched: &Watched) -> ! {
    guard::forbid_allocation();
    let mut this = Init::new(Process::Relay, slots, socket, watched.watch(0));
    this.carry_out(&relay.steps);
    match clone3(plan.clone | libc::CLONE_PARENT as u64, None) {
        Ok(Fork::Child) => {
            let Init { slots, socket, .. } = this;
            init::run(&plan.init, slots, socket, watched.watch(relay.steps.len()))
        }
        Ok(Fork::Parent { pid, .. }) => {
            let told = packet::cloned(this.socket.as_fd(), pid);
            exit_now(i32::from(told.is_err()))
        }
        Err(errno) => {
            packet::failed(this.socket.as_fd(), Process::Relay, relay.steps.len(), errno, &[]);
            exit_now(1)
        }
    }
}
