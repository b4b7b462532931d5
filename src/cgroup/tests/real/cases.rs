//! What holds in every layout, unless the case says otherwise: lifetimes and processes.

use coracle_cgroup::{Layout, Mode, open};
use nix::libc::{SIGKILL, SIGTERM};

use crate::Outcome;
use crate::group::{ByHand, Shell, at, directories, make, name, read, wait};
use crate::{kernel, rootless};

type Case = fn(&Layout) -> Outcome;

/// The cases by name.
pub const ALL: &[(&str, Case)] = &[
    ("dropped is removed", dropped_is_removed),
    ("kept is found again", kept_is_found_again),
    ("what was there before stays", what_was_there_before_stays),
    ("parents made are removed unless shared", parents_made_are_removed_unless_shared),
    ("a cgroup with processes is refused", a_cgroup_with_processes_is_refused),
    ("a frozen cgroup is refused", a_frozen_cgroup_is_refused),
    ("gone is no error", gone_is_no_error),
    ("another cgroup at the same path is left alone", another_at_the_same_path_is_left_alone),
    ("signals reach nested cgroups", signals_reach_nested_cgroups),
    ("kill outruns forks", kill_outruns_forks),
    ("below a threaded cgroup", below_a_threaded_cgroup),
    ("frozen processes stand still and can be killed", frozen_processes_stand_still_and_can_be_killed),
    ("the root is refused", the_root_is_refused),
    ("pids limit", kernel::pids_limit),
    ("memory limits up and down", kernel::memory_limits_up_and_down),
    ("cpu limits up and down", kernel::cpu_limits_up_and_down),
    ("cpuset", kernel::cpuset),
    ("io weight", kernel::io_weight),
    ("hugetlb limit", kernel::hugetlb_limit),
    ("unified", kernel::unified),
    ("refused limits say why", kernel::refused_limits_say_why),
    ("device rules", kernel::device_rules),
    ("device rules are exchanged", kernel::device_rules_are_exchanged),
    ("nobody gets no cgroup", rootless::nobody_gets_no_cgroup),
    ("a delegated cgroup is used", rootless::a_delegated_cgroup_is_used),
    ("clone into the cgroup", kernel::clone_into_the_cgroup),
];

fn dropped_is_removed(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "drop").unwrap();
    let all = directories(&cgroup);
    assert!(!all.is_empty());
    assert!(all.iter().all(|dir| dir.is_dir()), "{all:?}");
    let mut shell = Shell::run(&*cgroup, "sleep 1000 & sleep 1000");
    drop(cgroup);
    assert!(!all.iter().any(|dir| dir.is_dir()), "{all:?}");
    assert!(shell.0.try_wait().unwrap().is_some(), "what was in it is gone too");
    Ok(())
}

fn kept_is_found_again(layout: &Layout) -> Outcome {
    let mut cgroup = make(layout, "keep").unwrap();
    let all = directories(&cgroup);
    let saved = serde_json::to_string(&cgroup.location()).unwrap();
    let kept = cgroup.keep();
    let mut shell = Shell::run(&*kept, "sleep 1000");
    drop(kept);
    assert!(all.iter().all(|dir| dir.is_dir()));
    let found = open(&serde_json::from_str(&saved).unwrap()).unwrap();
    wait("sleep to start", || found.pids().unwrap().len() == 2);
    assert!(found.pids().unwrap().contains(&shell.pid()));
    assert_eq!(found.needs_add(), layout.mode() != Mode::V2);
    assert_eq!(found.dir().is_some(), layout.mode() != Mode::V1);
    found.kill(SIGKILL).unwrap();
    shell.0.wait().unwrap();
    found.remove().unwrap();
    assert!(!all.iter().any(|dir| dir.is_dir()));
    found.remove().unwrap();
    Ok(())
}

fn what_was_there_before_stays(layout: &Layout) -> Outcome {
    let probe = make(layout, "before").unwrap();
    let all = directories(&probe);
    drop(probe);
    let before: Vec<_> = all.iter().map(|dir| ByHand::new(dir.clone())).collect();
    let cgroup = make(layout, "before").unwrap();
    cgroup.remove().unwrap();
    drop(cgroup);
    assert!(before.iter().all(|dir| dir.is_dir()));
    Ok(())
}

fn parents_made_are_removed_unless_shared(layout: &Layout) -> Outcome {
    let path = |leaf: &str| format!("/{}/deep/{leaf}", name("parents"));
    let first = at(layout, &path("a")).unwrap();
    let second = at(layout, &path("b")).unwrap();
    let (firsts, seconds) = (directories(&first), directories(&second));
    drop(first);
    assert!(seconds.iter().all(|dir| dir.is_dir()));
    assert!(!firsts.iter().any(|dir| dir.is_dir()));
    drop(second);
    // The parents were the first one's to remove, and it could not.
    let shared: Vec<_> = seconds.iter().filter_map(|dir| dir.parent()).collect();
    assert!(shared.iter().all(|dir| dir.is_dir()));
    for dir in shared {
        std::fs::remove_dir(dir).unwrap();
        std::fs::remove_dir(dir.parent().unwrap()).unwrap();
    }
    let third = at(layout, &path("c")).unwrap();
    let tops: Vec<_> = directories(&third).iter().map(|dir| dir.ancestors().nth(2).unwrap().to_owned()).collect();
    drop(third);
    assert!(!tops.iter().any(|dir| dir.is_dir()), "{tops:?}");
    Ok(())
}

fn a_cgroup_with_processes_is_refused(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "busy").unwrap();
    let _shell = Shell::run(&*cgroup, "exec sleep 1000");
    let error = make(layout, "busy").unwrap_err();
    assert_eq!(error.to_string(), "container's cgroup is not empty: 1 process(es) found");
    assert_eq!(cgroup.pids().unwrap().len(), 1, "nothing was done to it");
    Ok(())
}

fn a_frozen_cgroup_is_refused(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "frozen").unwrap();
    cgroup.freeze(true).unwrap();
    assert_eq!(make(layout, "frozen").unwrap_err().to_string(), "container's cgroup unexpectedly frozen");
    let below = at(layout, &format!("/{}/below", name("frozen"))).unwrap_err();
    assert_eq!(below.to_string(), "container's cgroup unexpectedly frozen");
    cgroup.freeze(false).unwrap();
    Ok(())
}

fn gone_is_no_error(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "gone").unwrap();
    let location = cgroup.location().clone();
    drop(cgroup);
    let gone = open(&location).unwrap();
    assert!(gone.pids().unwrap().is_empty() && !gone.is_frozen().unwrap() && gone.dir().is_none());
    gone.kill(SIGKILL).unwrap();
    gone.kill(SIGTERM).unwrap();
    gone.remove().unwrap();
    let error = gone.freeze(true).unwrap_err();
    assert_eq!(error.errno(), Some(nix::errno::Errno::ENOENT), "{error}");
    Ok(())
}

fn another_at_the_same_path_is_left_alone(layout: &Layout) -> Outcome {
    let old = make(layout, "again").unwrap();
    let location = old.location().clone();
    drop(old);
    let new = make(layout, "again").unwrap();
    let mut shell = Shell::run(&*new, "exec sleep 1000");
    let stale = open(&location).unwrap();
    stale.kill(SIGKILL).unwrap();
    stale.remove().unwrap();
    assert!(stale.pids().unwrap().is_empty());
    assert_eq!(new.pids().unwrap(), [shell.pid()]);
    assert!(shell.0.try_wait().unwrap().is_none());
    Ok(())
}

fn signals_reach_nested_cgroups(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "nested").unwrap();
    for dir in directories(&cgroup) {
        std::fs::create_dir_all(dir.join("a/b")).unwrap();
    }
    let mut outer = Shell::run(&*cgroup, "exec sleep 1000");
    let mut inner = Shell::run(&*cgroup, "exec sleep 1000");
    for dir in directories(&cgroup) {
        let below = dir.join("a/b");
        for file in ["cpuset.cpus", "cpuset.mems"] {
            // Only v1 asks for it.
            if let Ok(value) = std::fs::read(dir.join(file)) {
                let _ = std::fs::write(dir.join("a").join(file), &value);
                let _ = std::fs::write(below.join(file), &value);
            }
        }
        std::fs::write(below.join("cgroup.procs"), inner.pid().to_string()).unwrap();
    }
    let mut pids = cgroup.pids().unwrap();
    pids.sort();
    let mut want = [outer.pid(), inner.pid()];
    want.sort();
    assert_eq!(pids, want);
    cgroup.kill(SIGTERM).unwrap();
    for shell in [&mut outer, &mut inner] {
        let status = shell.0.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGTERM));
    }
    assert!(!cgroup.is_frozen().unwrap());
    let all = directories(&cgroup);
    cgroup.remove().unwrap();
    assert!(!all.iter().any(|dir| dir.is_dir()));
    Ok(())
}

fn kill_outruns_forks(layout: &Layout) -> Outcome {
    for signal in [SIGKILL, SIGTERM] {
        let cgroup = make(layout, "forks").unwrap();
        // Each shell is replaced by its own child all the time, by a hundred lines at once.
        let mut shell = Shell::run(
            &*cgroup,
            "f() { sleep 0.01; f & }; i=0; while [ $i -lt 100 ]; do f & i=$((i+1)); done; sleep 1000",
        );
        wait("processes", || cgroup.pids().unwrap().len() > 50);
        cgroup.kill(signal).unwrap();
        shell.0.wait().unwrap();
        wait("all to end", || cgroup.pids().unwrap().is_empty());
        cgroup.remove().unwrap();
    }
    Ok(())
}

/// The kernel then has no cgroup.kill and no list of processes.
fn below_a_threaded_cgroup(layout: &Layout) -> Outcome {
    if layout.mode() != Mode::V2 {
        return Err("v1 has no such cgroups".into());
    }
    let outer = make(layout, "threads").unwrap();
    let threaded = ByHand::new(directories(&outer)[0].join("threaded"));
    std::fs::write(threaded.join("cgroup.type"), "threaded").unwrap();
    let inner = at(layout, &format!("/{}/threaded/inner", name("threads"))).unwrap();
    assert_eq!(read(&inner, "", "cgroup.type"), "threaded");
    let mut shell = Shell::run(&*inner, "sleep 1000 & exec sleep 1000");
    wait("processes", || inner.pids().unwrap().len() == 2);
    inner.kill(SIGKILL).unwrap();
    shell.0.wait().unwrap();
    let all = directories(&inner);
    inner.remove().unwrap();
    assert!(!all.iter().any(|dir| dir.is_dir()), "{all:?}");
    drop(inner);
    drop(threaded);
    Ok(())
}

fn frozen_processes_stand_still_and_can_be_killed(layout: &Layout) -> Outcome {
    let cgroup = make(layout, "still").unwrap();
    let mut shell = Shell::run(&*cgroup, "while :; do :; done");
    let time = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", shell.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split(' ').map(String::from).collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    };
    let start = time();
    wait("it to run", || time() > start);
    assert!(!cgroup.is_frozen().unwrap());
    cgroup.freeze(true).unwrap();
    assert!(cgroup.is_frozen().unwrap());
    let then = time();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(time(), then);
    cgroup.freeze(false).unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    wait("it to go on", || time() > then);
    cgroup.freeze(true).unwrap();
    cgroup.kill(SIGKILL).unwrap();
    shell.0.wait().unwrap();
    Ok(())
}

fn the_root_is_refused(layout: &Layout) -> Outcome {
    for path in ["/", "/..", "."] {
        let error = at(layout, path).unwrap_err();
        assert!(error.to_string().starts_with("cgroupsPath"), "{error}");
    }
    Ok(())
}
