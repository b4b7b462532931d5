//! Processor time, input and output, memory placement, and the execution domain.

use coracle_sys::sched::SchedAttr;
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag as Flag, LinuxSchedulerPolicy as Policy, MemoryPolicyFlagType as MemoryFlag,
    MemoryPolicyModeType as Mode, Process, Scheduler, Spec,
};

use crate::invalid::Invalid;
use crate::number_list;
use crate::step::Step;
use crate::{Plan, Result};

/// The highest memory node number set_mempolicy(2) takes a bit for, and more than any kernel has.
const MOST_NODES: usize = 32768;

/// Plans all of them; they need the rights that are dropped afterwards.
pub fn all(plan: &mut Plan, spec: &Spec, process: &Process) -> Result<()> {
    let linux = spec.linux().as_ref();
    plan.init.extend(process.scheduler().as_ref().map(scheduler).transpose()?);
    plan.init.extend(process.io_priority().as_ref().map(io_priority).transpose()?);
    if let Some(domain) = linux.and_then(|l| l.personality().as_ref()) {
        plan.init.push(personality(domain)?);
    }
    if let Some(policy) = linux.and_then(|l| l.memory_policy().as_ref()) {
        plan.init.push(memory_policy(policy)?);
    }
    Ok(())
}

fn scheduler(scheduler: &Scheduler) -> Result<Step> {
    let refuse = |field: &str, problem: String| Err(Invalid::new(format!("/process/scheduler/{field}"), problem));
    let policy = scheduler.policy();
    let (nice, priority) = (scheduler.nice().unwrap_or(0), scheduler.priority().unwrap_or(0));
    if !(-20..=19).contains(&nice) {
        return refuse("nice", format!("must be from -20 to 19, not {nice}"));
    }
    let fixed = matches!(policy, Policy::SchedFifo | Policy::SchedRr);
    if priority != 0 && !fixed {
        return refuse("priority", format!("goes with SCHED_FIFO and SCHED_RR, not with {policy}"));
    }
    if !(0..=99).contains(&priority) {
        return refuse("priority", format!("must be from 0 to 99, not {priority}"));
    }
    let times = [("runtime", scheduler.runtime()), ("deadline", scheduler.deadline()), ("period", scheduler.period())];
    let given = times.iter().find(|(_, time)| time.unwrap_or(0) != 0 && *policy != Policy::SchedDeadline);
    if let Some((field, _)) = given {
        return refuse(field, format!("goes with SCHED_DEADLINE, not with {policy}"));
    }
    let flags = scheduler.flags().iter().flatten().map(|flag| match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    });
    let time = |i: usize| times[i].1.unwrap_or(0);
    Ok(Step::Scheduler(SchedAttr {
        policy: match policy {
            Policy::SchedOther => 0,
            Policy::SchedFifo => 1,
            Policy::SchedRr => 2,
            Policy::SchedBatch => 3,
            Policy::SchedIso => 4,
            Policy::SchedIdle => 5,
            Policy::SchedDeadline => 6,
        },
        flags: flags.fold(0, |all, flag| all | flag),
        nice,
        priority: priority.unsigned_abs(),
        runtime: time(0),
        deadline: time(1),
        period: time(2),
        ..SchedAttr::default()
    }))
}

fn io_priority(priority: &LinuxIOPriority) -> Result<Step> {
    let level = u16::try_from(priority.priority()).ok().filter(|level| *level <= 7);
    let problem = || format!("must be from 0 to 7, not {}", priority.priority());
    Ok(Step::IoPriority {
        class: match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        },
        level: level.ok_or_else(|| Invalid::new("/process/ioPriority/priority", problem()))?,
    })
}

/// PER_LINUX or PER_LINUX32 (linux/personality.h).
fn personality(personality: &LinuxPersonality) -> Result<Step> {
    if let Some(flag) = personality.flags().iter().flatten().next() {
        return Err(Invalid::new("/linux/personality/flags/0", format!("no flags are supported, such as \"{flag}\"")));
    }
    Ok(Step::Personality(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0x0000,
        LinuxPersonalityDomain::PerLinux32 => 0x0008,
    }))
}

fn memory_policy(policy: &LinuxMemoryPolicy) -> Result<Step> {
    let pointer = "/linux/memoryPolicy/nodes";
    let text = policy.nodes().as_deref().unwrap_or_default();
    let nodes = if text.trim().is_empty() { Vec::new() } else { number_list::mask(pointer, text, MOST_NODES)? };
    let mode = match policy.mode() {
        Mode::MpolDefault => 0,
        Mode::MpolPreferred => 1,
        Mode::MpolBind => 2,
        Mode::MpolInterleave => 3,
        Mode::MpolLocal => 4,
        Mode::MpolPreferredMany => 5,
        Mode::MpolWeightedInterleave => 6,
    };
    let (without, needed) = (matches!(mode, 0 | 4), matches!(mode, 2 | 3 | 5 | 6));
    if without && !nodes.is_empty() {
        return Err(Invalid::new(pointer, format!("{} takes no nodes", policy.mode())));
    }
    if needed && nodes.is_empty() {
        return Err(Invalid::new(pointer, format!("{} needs nodes", policy.mode())));
    }
    let flags = policy.flags().iter().flatten().map(|flag| match flag {
        MemoryFlag::MpolFNumaBalancing => 1 << 13,
        MemoryFlag::MpolFRelativeNodes => 1 << 14,
        MemoryFlag::MpolFStaticNodes => 1 << 15,
    });
    Ok(Step::MemoryPolicy { mode: flags.fold(mode, |all, flag| all | flag), nodes })
}

#[cfg(test)]
mod tests {
    fn problem(scheduler: &str) -> Option<String> {
        super::scheduler(&serde_json::from_str(scheduler).unwrap()).err().map(|e| e.pointer)
    }

    #[test]
    fn a_scheduler_is_checked_before_the_kernel_sees_it() {
        for (text, pointer) in [
            (r#"{"policy":"SCHED_OTHER","nice":-20}"#, None),
            (r#"{"policy":"SCHED_OTHER","nice":20}"#, Some("/process/scheduler/nice")),
            (r#"{"policy":"SCHED_OTHER","priority":1}"#, Some("/process/scheduler/priority")),
            (r#"{"policy":"SCHED_FIFO","priority":99}"#, None),
            (r#"{"policy":"SCHED_FIFO","priority":100}"#, Some("/process/scheduler/priority")),
            (r#"{"policy":"SCHED_RR","runtime":1}"#, Some("/process/scheduler/runtime")),
            (r#"{"policy":"SCHED_DEADLINE","runtime":1,"deadline":2,"period":3}"#, None),
        ] {
            assert_eq!(problem(text).as_deref(), pointer, "{text}");
        }
    }
}
