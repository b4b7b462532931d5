//! A further process in a container: what the container's own has joined or made, it joins; then it ends the same way.

use oci_spec::runtime::{Process, Spec};

use crate::capabilities::SYS_ADMIN;
use crate::host::Host;
use crate::host_step::HostStep;
use crate::namespaces::Kind;
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Relay, Result, console, process};

/// The container a process is added to.
#[derive(Debug, Clone, Copy)]
pub struct Container {
    /// Its first process, by id and start time (clock ticks since boot).
    pub init: (i32, u64),
    /// `CLONE_NEW*` flags of the namespaces that are not the runtime's.
    pub namespaces: i32,
}

/// Plans `process` in `container`, whose configuration is `spec`.
pub fn plan(spec: &Spec, process: &Process, container: Container, host: &Host, opts: &CreateOptions) -> Result<Plan> {
    let mut plan = Plan { namespaces: container.namespaces, ..Plan::default() };
    let (pid, start_time) = container.init;
    let init = plan.source(Source::Process { pid, start_time });
    // These hold for children only: the parent joins them for the clone and goes back.
    let for_children = container.namespaces & (Kind::Pid.flag() | Kind::Time.flag());
    let user = container.namespaces & Kind::User.flag() != 0;
    let mut steps = Vec::new();
    if opts.needs_cgroup_join {
        plan.host.push((Point::Mapped, HostStep::JoinCgroup));
    }
    if user && !host.capable(SYS_ADMIN) {
        // Without privilege nothing can be joined but from inside the user namespace, which has no way back.
        if let Some(value) = process.oom_score_adj() {
            plan.host.push((Point::Mapped, HostStep::OomScoreAdj(value)));
        }
        steps.extend((!plan.host.is_empty()).then_some(Step::Sync(Point::Mapped)));
        steps.push(Step::JoinAll { slot: init, flags: Kind::User.flag() | for_children });
        plan.relay = Some(Relay { clone: 0, steps });
        plan.init.push(Step::JoinAll { slot: init, flags: container.namespaces & !Kind::User.flag() & !for_children });
    } else {
        for kind in [Kind::Pid, Kind::Time].into_iter().filter(|kind| for_children & kind.flag() != 0) {
            plan.around_clone.push((init, kind));
        }
        plan.init.extend((!plan.host.is_empty()).then_some(Step::Sync(Point::Mapped)));
        plan.init.push(Step::JoinAll { slot: init, flags: container.namespaces & !for_children });
    }
    if user {
        plan.init.push(Step::BecomeRoot);
    }
    process::session(&mut plan, process, host, opts)?;
    console::exec(&mut plan, process, opts)?;
    process::drop_privileges_and_exec(&mut plan, spec, process, host, opts)?;
    Ok(plan)
}
