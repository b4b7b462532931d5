//! What holds for the order of every plan.

#![expect(clippy::unwrap_used, reason = "a test fails by panic")]

use coracle_plan::{CreateOptions, Host, HostStep, Plan, Point, Step};
use serde_json::{Value, json};

const EXAMPLE: &str = include_str!("../../../config.json.example");

/// Every combination of what changes the last steps.
fn plans() -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    for bits in 0..1u32 << 7 {
        let on = |bit: u32| bits & 1 << bit != 0;
        let mut config: Value = serde_json::from_str(EXAMPLE).unwrap();
        config["process"]["terminal"] = json!(on(0));
        config["process"]["noNewPrivileges"] = json!(on(1));
        config["process"]["user"] = json!({"uid": if on(2) { 1000 } else { 0 }, "gid": 5, "additionalGids": [7]});
        config["process"]["env"] = if on(3) { json!(["HOME=/x"]) } else { json!([]) };
        if on(4) {
            let action = if on(5) { "SCMP_ACT_NOTIFY" } else { "SCMP_ACT_ERRNO" };
            let listener = if on(5) { "/run/agent" } else { "" };
            let rules = json!([{"names": ["sync"], "action": action}]);
            config["linux"]["seccomp"] =
                json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": listener, "syscalls": rules});
        }
        let mut host = Host::rootful();
        if on(6) {
            host.hard_limits = [1; 16];
        }
        let options = CreateOptions {
            id: "web1".into(),
            bundle: "/bundle".into(),
            rootfs: "/bundle/rootfs".into(),
            gate: on(0) || on(2),
            needs_cgroup_join: on(3),
            ..CreateOptions::default()
        };
        let plan = Plan::create(&serde_json::from_value(config).unwrap(), &host, &options).unwrap();
        plans.push((format!("{bits:07b}\n{plan}"), plan));
    }
    plans
}

fn place(plan: &Plan, is: impl Fn(&Step) -> bool) -> Option<usize> {
    plan.init.iter().position(is)
}

#[test]
fn every_host_step_has_its_point_and_every_point_its_steps() {
    for (text, plan) in plans() {
        let reached: Vec<Point> = plan
            .init
            .iter()
            .filter_map(|step| match step {
                Step::Sync(point) => Some(*point),
                Step::SeccompListening(_) => Some(Point::Listening),
                _ => None,
            })
            .collect();
        for (point, step) in &plan.host {
            assert!(reached.contains(point), "{step} at {point:?} is never done\n{text}");
        }
        for point in &reached {
            assert!(*point == Point::Ready || plan.host_steps(*point).count() > 0, "{point:?} is idle\n{text}");
            assert_eq!(reached.iter().filter(|other| *other == point).count(), 1, "{point:?} twice\n{text}");
        }
        assert!(plan.host_steps(Point::Ready).any(|step| *step == HostStep::Limits), "{text}");
    }
}

#[test]
fn the_program_comes_last_and_alone_after_the_filter() {
    for (text, plan) in plans() {
        let last = plan.init.len() - 1;
        assert!(matches!(plan.init[last], Step::Exec { .. }), "{text}");
        if let Some(filter) = place(&plan, |step| matches!(step, Step::Seccomp(_))) {
            assert_eq!(filter, last - 1, "{text}");
        }
        if let Some(filter) = place(&plan, |step| matches!(step, Step::SeccompListening(_))) {
            let rest = &plan.init[filter + 1..last];
            assert!(rest.iter().all(|step| matches!(step, Step::Sync(Point::Ready) | Step::Gate(_))), "{text}");
        }
    }
}

#[test]
fn rights_are_dropped_in_the_order_the_kernel_allows() {
    for (text, plan) in plans() {
        let at = |is: fn(&Step) -> bool| place(&plan, is).unwrap();
        let order = [
            at(|s| matches!(s, Step::CloseFds { .. })),
            at(|s| matches!(s, Step::Groups(_))),
            at(|s| matches!(s, Step::ChdirEarly(_))),
            at(|s| matches!(s, Step::Bounding { .. })),
            at(|s| matches!(s, Step::KeepCaps)),
            at(|s| matches!(s, Step::SetGid(_))),
            at(|s| matches!(s, Step::SetUid(_))),
            at(|s| matches!(s, Step::Chdir(_))),
            at(|s| matches!(s, Step::VerifyCwd)),
            at(|s| matches!(s, Step::Capabilities { .. })),
            at(|s| matches!(s, Step::Ambient(_))),
            at(|s| matches!(s, Step::FindExecutable { .. })),
            at(|s| matches!(s, Step::Sync(Point::Ready))),
        ];
        assert!(order.is_sorted(), "{order:?}\n{text}");
        let needs_no_right = |step: &Step| {
            matches!(
                step,
                Step::Ambient(_)
                    | Step::NoNewPrivs
                    | Step::FindExecutable { .. }
                    | Step::Sync(Point::Ready)
                    | Step::Gate(_)
                    | Step::Rlimit { .. }
                    | Step::Seccomp(_)
                    | Step::SeccompListening(_)
                    | Step::Exec { .. }
            )
        };
        assert!(plan.init[order[9] + 1..].iter().all(needs_no_right), "{text}");
    }
}

#[test]
fn a_right_is_kept_for_the_filter_only_where_it_takes_one() {
    const SYS_ADMIN: u64 = 1 << 21;
    for (text, plan) in plans() {
        let filter = plan.init.iter().any(|step| matches!(step, Step::Seccomp(_) | Step::SeccompListening(_)));
        let unprivileged = plan.init.iter().any(|step| matches!(step, Step::NoNewPrivs));
        let permitted = plan.init.iter().find_map(|step| match step {
            Step::Capabilities { permitted, .. } => Some(permitted & SYS_ADMIN != 0),
            _ => None,
        });
        assert_eq!(permitted, Some(filter && !unprivileged), "{text}");
    }
}
