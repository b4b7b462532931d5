//! A further process in a container: what the container's own has joined or made, it joins; then it ends the same way.

use std::path::Path;

use oci_spec::runtime::{Process, Spec};

use crate::capabilities::SYS_ADMIN;
use crate::host::Host;
use crate::host_step::HostStep;
use crate::invalid::c_string;
use crate::namespaces::Kind;
use crate::source::{Slot, Source};
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Relay, Result, affinity, console, process};

/// The container a process is added to.
#[derive(Debug, Clone, Copy)]
pub struct Container<'a> {
    /// Its first process, by id and start time (clock ticks since boot).
    pub init: (i32, u64),
    /// `CLONE_NEW*` flags of the namespaces that are not the runtime's.
    pub namespaces: i32,
    /// Its root filesystem on the host.
    pub rootfs: &'a Path,
}

/// Plans `process` in `container`, whose configuration is `spec`.
///
/// # Errors
/// As those of [`Plan::create`], for what `process` says.
pub fn plan(
    spec: &Spec,
    process: &Process,
    container: Container<'_>,
    host: &Host,
    opts: &CreateOptions,
) -> Result<Plan> {
    process::check(process)?;
    let affinity = affinity::of(process)?;
    let mut plan = Plan { namespaces: container.namespaces, ..Plan::default() };
    if opts.needs_cgroup_join {
        plan.host.push((Point::Mapped, HostStep::JoinCgroup));
    }
    let directory = if container.namespaces & Kind::Mount.flag() == 0 {
        // Its root is not that of a mount namespace, but a directory it changed into.
        let at = c_string("/root/path", container.rootfs.as_os_str().as_encoded_bytes())?;
        Some(plan.source(Source::Directory(at)))
    } else {
        None
    };
    join(&mut plan, process.oom_score_adj(), container, host);
    plan.init.extend(directory.map(|slot| [Step::UseRootfs(slot), Step::Chroot]).into_iter().flatten());
    become_root(&mut plan, container);
    process::session(&mut plan, process, affinity.step(), host, opts)?;
    plan.initial_affinity = affinity.initial;
    console::exec(&mut plan, process, opts)?;
    console::pidfd(&mut plan, c"setns", opts);
    process::drop_privileges_and_exec(&mut plan, spec, process, host, opts)?;
    Ok(plan)
}

/// Has a process join the namespaces of `container`, and be root there.
pub(crate) fn enter(plan: &mut Plan, oom_score_adj: Option<i32>, container: Container<'_>, host: &Host) {
    join(plan, oom_score_adj, container, host);
    become_root(plan, container);
}

fn join(plan: &mut Plan, oom_score_adj: Option<i32>, container: Container<'_>, host: &Host) {
    let (pid, start_time) = container.init;
    let init = plan.source(Source::Process { pid, start_time });
    let inside = FOR_CHILDREN.iter().fold(0, |flags, kind| flags | kind.flag()) & container.namespaces;
    if container.namespaces & Kind::User.flag() != 0 && !host.capable(SYS_ADMIN) {
        if let Some(value) = oom_score_adj {
            plan.host.push((Point::Mapped, HostStep::OomScoreAdj(value)));
        }
        // Without privilege nothing can be joined but from inside the user namespace.
        by_relay(plan, container, init, inside | Kind::User.flag());
    } else if host.in_userns && inside != 0 {
        by_relay(plan, container, init, inside);
    } else {
        directly(plan, container, init);
    }
}

fn become_root(plan: &mut Plan, container: Container<'_>) {
    if container.namespaces & Kind::User.flag() != 0 {
        plan.init.push(Step::BecomeRoot);
    }
}

/// What holds for children only.
const FOR_CHILDREN: [Kind; 2] = [Kind::Pid, Kind::Time];

/// The parent joins what holds for children only, for the clone, and goes back.
fn directly(plan: &mut Plan, container: Container<'_>, init: Slot) {
    let mut rest = container.namespaces;
    for kind in FOR_CHILDREN.into_iter().filter(|kind| container.namespaces & kind.flag() != 0) {
        plan.around_clone.push((init, kind));
        rest &= !kind.flag();
    }
    plan.init.extend((!plan.host.is_empty()).then_some(Step::Sync(Point::Mapped)));
    plan.init.extend((rest != 0).then_some(Step::JoinAll { slot: init, flags: rest }));
}

/// `early` is joined by a process of its own: there is no way back out of a user namespace, nor for root of one into pid
/// and time namespaces that are the host's.
fn by_relay(plan: &mut Plan, container: Container<'_>, init: Slot, early: i32) {
    let rest = container.namespaces & !early;
    let mut steps: Vec<Step> = (!plan.host.is_empty()).then_some(Step::Sync(Point::Mapped)).into_iter().collect();
    steps.push(Step::JoinAll { slot: init, flags: early });
    plan.relay = Some(Relay { clone: 0, steps });
    plan.init.extend((rest != 0).then_some(Step::JoinAll { slot: init, flags: rest }));
}
