//! A further process in a container: what the container's own has joined or made, it joins; then it ends the same way.

use oci_spec::runtime::{Process, Spec};

use crate::host::Host;
use crate::host_step::HostStep;
use crate::namespaces::Kind;
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{CreateOptions, Plan, Result, console, process};

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
    for kind in [Kind::Pid, Kind::Time] {
        if container.namespaces & kind.flag() != 0 {
            plan.around_clone.push((init, kind));
        }
    }
    if opts.needs_cgroup_join {
        plan.host.push((Point::Mapped, HostStep::JoinCgroup));
        plan.init.push(Step::Sync(Point::Mapped));
    }
    process::session(&mut plan, process, opts)?;
    let rest = container.namespaces & !(Kind::Pid.flag() | Kind::Time.flag());
    plan.init.push(Step::JoinAll { slot: init, flags: rest });
    if rest & Kind::User.flag() != 0 {
        plan.init.push(Step::BecomeRoot);
    }
    console::exec(&mut plan, process, opts)?;
    process::drop_privileges_and_exec(&mut plan, spec, process, host, opts)?;
    Ok(plan)
}
