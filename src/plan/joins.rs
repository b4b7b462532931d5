//! How the container's process gets into its namespaces.
//!
//! Most are made by the one clone. What is joined instead, the process joins itself, but not everything can be
//! entered by the process that is to live in it: pid and time namespaces hold for children only, and after a user
//! namespace is joined, what it is to own must be made by a process that is already in it. The parent enters and
//! leaves pid and time namespaces around the clone; where that is not enough there is a *relay*, a process that
//! enters what has to be entered, clones the container's process as its own sibling, and ends.

use oci_spec::runtime::{LinuxTimeOffset, Spec};

use crate::capabilities::SYS_ADMIN;
use crate::host::Host;
use crate::host_step::HostStep;
use crate::id_maps;
use crate::invalid::{Invalid, c_string, escape};
use crate::namespaces::{Kind, Wanted};
use crate::source::Source;
use crate::step::{Point, Step};
use crate::{Plan, Relay, Result};

/// The cgroup namespace is not among them: it is rooted where its creator is when it is made, which is after the
/// move into the cgroup. The time namespace cannot be made by a clone.
const BY_CLONE: [Kind; 6] = [Kind::User, Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts];

/// The mount namespace last: nothing of the host can be named after it.
const JOINED: [Kind; 7] = [Kind::Ipc, Kind::Uts, Kind::Network, Kind::Cgroup, Kind::Pid, Kind::Time, Kind::Mount];

/// Plans the clone, what happens around it, and the steps until the process is in all its namespaces.
pub fn all(plan: &mut Plan, spec: &Spec, wanted: &Wanted, host: &Host, needs_cgroup_join: bool) -> Result<()> {
    let privileged = host.capable(SYS_ADMIN);
    if !privileged && host.euid != 0 && !wanted.has(Kind::User) {
        return Err(Invalid::new("/linux/namespaces", "rootless container requires user namespaces"));
    }
    id_maps::check(spec, wanted)?;
    let offsets = offsets(spec, wanted)?;
    let by_clone = |kind: &&Kind| wanted.is_new(**kind) && (**kind != Kind::Ipc || !wanted.has(Kind::User));
    plan.clone = BY_CLONE.iter().filter(by_clone).fold(0, |f, kind| f | kind.flag() as u64);
    if needs_cgroup_join {
        plan.host.push((Point::Mapped, HostStep::JoinCgroup));
    }
    if wanted.is_new(Kind::User) {
        plan.host.push((Point::Mapped, HostStep::IdMaps(id_maps::plan(spec, host))));
    }
    let oom_score_adj = spec.process().as_ref().and_then(|process| process.oom_score_adj());
    if let (Some(value), false) = (oom_score_adj, privileged) {
        // As long as the process is this user's own: once it is root of the namespace its files in /proc are not.
        plan.host.push((Point::Mapped, HostStep::OomScoreAdj(value)));
    }
    let user_first = !privileged && wanted.is_new(Kind::User);
    let others = JOINED.iter().any(|kind| wanted.path(*kind).is_some());
    let early = others || user_first && wanted.is_new(Kind::Time);
    // Root of a user namespace does not get back into pid and time namespaces that are the host's.
    let inside = wanted.path(Kind::Pid).is_some() || wanted.path(Kind::Time).is_some() || offsets.is_some();
    let no_way_back = host.in_userns && inside;
    if wanted.path(Kind::User).is_some() || wanted.is_new(Kind::User) && early || no_way_back {
        let relay = relay(plan, wanted, privileged, offsets)?;
        plan.relay = Some(relay);
    } else {
        plan.time_offsets = offsets;
    }
    if !plan.host.is_empty() {
        // Maps are for the process that the clone with the user namespace makes.
        match &mut plan.relay {
            Some(relay) if plan.clone & libc::CLONE_NEWUSER as u64 == 0 => {
                relay.steps.insert(0, Step::Sync(Point::Mapped));
            }
            _ => plan.init.push(Step::Sync(Point::Mapped)),
        }
    }
    if plan.relay.is_none() {
        direct(plan, wanted);
    }
    if wanted.is_new(Kind::Cgroup) {
        plan.init.push(Step::Unshare(Kind::Cgroup));
    }
    Ok(())
}

/// Becomes root of the user namespace, once everything is open that only the caller's own user can reach.
pub fn become_root(plan: &mut Plan, wanted: &Wanted) {
    if wanted.has(Kind::User) {
        plan.init.push(Step::BecomeRoot);
        // Its message queues belong to whoever makes it: to the container's root, not to the runtime's user.
        if wanted.is_new(Kind::Ipc) {
            plan.init.push(Step::Unshare(Kind::Ipc));
        }
    }
}

/// What waits for the process to be in all its namespaces.
pub fn joined(plan: &mut Plan, spec: &Spec, wanted: &Wanted) {
    let (uids, gids) = id_maps::configured(spec);
    if wanted.path(Kind::User).is_some() && !(uids.is_empty() && gids.is_empty()) {
        let step = HostStep::CheckIdMaps { uids: uids.to_vec(), gids: gids.to_vec() };
        plan.host.push((Point::Joined, step));
    }
    if plan.host_steps(Point::Joined).next().is_some() {
        plan.init.push(Step::Sync(Point::Joined));
    }
}

/// Without a relay: the parent enters pid and time namespaces for the clone, the process itself the others.
fn direct(plan: &mut Plan, wanted: &Wanted) {
    for kind in JOINED {
        let Some(slot) = source(plan, wanted, kind) else { continue };
        match kind {
            Kind::Pid | Kind::Time => plan.around_clone.push((slot, kind)),
            _ => plan.init.push(Step::Join { slot, kind }),
        }
    }
}

fn relay(plan: &mut Plan, wanted: &Wanted, privileged: bool, offsets: Option<String>) -> Result<Relay> {
    let mut relay = Relay::default();
    let mut user = None;
    if wanted.is_new(Kind::User) && !privileged {
        relay.clone = libc::CLONE_NEWUSER as u64;
        plan.clone &= !relay.clone;
    } else if let Some(slot) = source(plan, wanted, Kind::User) {
        user = Some(Step::Join { slot, kind: Kind::User });
    }
    // With the host's privilege everything can be joined as long as this process has it; without, only what the
    // user namespace owns, once inside.
    if !privileged {
        relay.steps.extend(user.take());
    }
    for kind in JOINED {
        if let Some(slot) = source(plan, wanted, kind) {
            relay.steps.push(Step::Join { slot, kind });
        }
    }
    if let Some(text) = offsets {
        relay.steps.push(Step::Unshare(Kind::Time));
        if !text.is_empty() {
            if !privileged && wanted.path(Kind::User).is_some() {
                let problem = "cannot be set without privilege in a user namespace given by path";
                return Err(Invalid::new("/linux/timeOffsets", problem));
            }
            let proc = plan.proc();
            relay.steps.push(Step::TimeOffsets { proc, text: c_string("/linux/timeOffsets", text)? });
        }
    }
    relay.steps.extend(user);
    Ok(relay)
}

fn source(plan: &mut Plan, wanted: &Wanted, kind: Kind) -> Option<crate::Slot> {
    let (pointer, path) = wanted.joined(kind)?;
    let source = Source::Namespace { kind, path: path.clone(), pointer, not_ours: None };
    Some(plan.source(source))
}

/// The lines of /proc/PID/timens_offsets for a new time namespace; `None` without one.
fn offsets(spec: &Spec, wanted: &Wanted) -> Result<Option<String>> {
    const AT: &str = "/linux/timeOffsets";
    let map = spec.linux().as_ref().and_then(|l| l.time_offsets().as_ref()).filter(|map| !map.is_empty());
    let Some(map) = map else { return Ok(wanted.is_new(Kind::Time).then(String::new)) };
    if !wanted.has(Kind::Time) {
        return Err(Invalid::new(AT, "needs a time namespace"));
    }
    if !wanted.is_new(Kind::Time) {
        return Err(Invalid::new(AT, "cannot be set for a time namespace given by path"));
    }
    let mut clocks: Vec<(&String, &LinuxTimeOffset)> = map.iter().collect();
    clocks.sort_by_key(|(clock, _)| *clock);
    let mut text = String::new();
    for (clock, offset) in clocks {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            let pointer = format!("{AT}/{}", escape(clock));
            return Err(Invalid::new(pointer, "unknown clock: monotonic or boottime"));
        }
        let (secs, nanosecs) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        if nanosecs >= 1_000_000_000 {
            let problem = format!("{nanosecs} is not less than a second");
            return Err(Invalid::new(format!("{AT}/{clock}/nanosecs"), problem));
        }
        text.push_str(&format!("{clock} {secs} {nanosecs}\n"));
    }
    Ok(Some(text))
}
