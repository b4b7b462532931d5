//! Limits on processor time.

use std::time::{Duration, Instant};

use integration::{Cgroup, Context, need, requires};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Driver, Limited, tried};

pub fn quota(t: &Context, driver: Driver) {
    requires!(need::controller("cpu"));
    let limits = |quota: i64, period: u64| json!({"cpu": {"quota": quota, "period": period}});
    let limited = Limited::new(t, driver, limits(10_000, 50_000));
    limited
        .cgroup
        .holds(&[("cpu.cfs_quota_us", "10000"), ("cpu.cfs_period_us", "50000")], &[("cpu.max", "10000 50000")]);
    let throttled = || limited.cgroup.number("cpu.stat", "nr_throttled");
    let before = limited.used();
    limited.does(&["burn", "0.6"]).ok();
    let used = limited.used() - before;
    assert!(throttled() > 3 && used < Duration::from_millis(400), "{} times, {used:?}", throttled());
    limited.update(&limits(20_000, 100_000)).ok();
    limited
        .cgroup
        .holds(&[("cpu.cfs_quota_us", "20000"), ("cpu.cfs_period_us", "100000")], &[("cpu.max", "20000 100000")]);
    limited.update(&json!({"cpu": {"quota": -1}})).ok();
    limited.cgroup.holds(&[("cpu.cfs_quota_us", "-1")], &[("cpu.max", "max 100000")]);
    let last = throttled();
    limited.does(&["burn", "0.3"]).ok();
    assert_eq!(throttled(), last);
}

/// While both want all of a processor, the first one has most of it. The second is told to be weak when both run, for it
/// may take long to begin or to end when it is.
fn race(first: &Limited, second: &Limited, weak: &Value, strong: &Value) {
    // Started in the other order, the weak one would wait for its start.
    let burning = [second, first].map(|one| {
        let mut burning = one.container.call("exec").args(["/guest", "burn", "20"]).spawn();
        assert_eq!(burning.line(), "burning");
        burning
    });
    second.update(weak).ok();
    let before = (first.used(), second.used());
    std::thread::sleep(Duration::from_millis(800));
    let used = (first.used() - before.0, second.used() - before.1);
    second.update(strong).ok();
    assert!(used.0 > 3 * used.1, "{:?} against {:?}", used.0, used.1);
    for mut burning in burning {
        burning.signal(Signal::SIGTERM);
        burning.wait().code(128 + Signal::SIGTERM as i32);
    }
}

/// These limits, and one processor for all where it can be had.
fn on_one(limits: Value) -> Value {
    let mut limits = limits;
    if need::controller("cpuset").is_ok() {
        limits["cpus"] = json!("0");
    }
    json!({"cpu": limits})
}

pub fn shares(t: &Context, driver: Driver) {
    requires!(need::controller("cpu"));
    let limits = |shares: u64| json!({"cpu": {"shares": shares}});
    let holds =
        |limited: &Limited, v1: &str, v2: &str| limited.cgroup.holds(&[("cpu.shares", v1)], &[("cpu.weight", v2)]);
    let one = |shares: u64| Limited::new(t, driver, on_one(json!({"shares": shares})));
    let (heavy, light) = (one(10_240), one(128));
    holds(&heavy, "10240", "639");
    holds(&light, "128", "21");
    race(&heavy, &light, &json!({}), &json!({}));
    heavy.update(&limits(128)).ok();
    light.update(&limits(10_240)).ok();
    holds(&heavy, "128", "21");
    holds(&light, "10240", "639");
    race(&light, &heavy, &json!({}), &json!({}));
}

pub fn idle(t: &Context, driver: Driver) {
    requires!(need::controller("cpu"));
    let limited =
        Limited::new(t, driver, json!({"cpu": {"idle": 1, "quota": 40_000, "period": 80_000, "burst": 20_000}}));
    limited
        .cgroup
        .holds(&[("cpu.idle", "1"), ("cpu.cfs_burst_us", "20000")], &[("cpu.idle", "1"), ("cpu.max.burst", "20000")]);
    limited.update(&json!({"cpu": {"idle": 0, "burst": 10_000}})).ok();
    limited
        .cgroup
        .holds(&[("cpu.idle", "0"), ("cpu.cfs_burst_us", "10000")], &[("cpu.idle", "0"), ("cpu.max.burst", "10000")]);
    limited.update(&json!({"cpu": {"burst": 90_000}})).fails();
    limited.update(&json!({"cpu": {"idle": 2}})).fails();
    drop(limited);
    let [one, other] = [(); 2].map(|()| Limited::new(t, driver, on_one(json!({}))));
    let idle = |idle: u32| json!({"cpu": {"idle": idle}});
    race(&one, &other, &idle(1), &idle(0));
    race(&other, &one, &idle(1), &idle(0));
}

/// What was left over of one period is used in the next.
pub fn burst(t: &Context, driver: Driver) {
    requires!(need::controller("cpu"));
    let limits = |burst: u64| json!({"cpu": {"quota": 5_000, "period": 100_000, "burst": burst}});
    let limited = Limited::new(t, driver, limits(5_000));
    limited.cgroup.holds(&[("cpu.cfs_burst_us", "5000")], &[("cpu.max.burst", "5000")]);
    let bursts = || limited.cgroup.number("cpu.stat", "nr_bursts");
    let end = Instant::now() + Duration::from_secs(20);
    while bursts() == 0 {
        assert!(Instant::now() < end, "never more than its quota");
        // Some periods in which nearly nothing is used.
        limited.does(&["sleep", "0.4"]).ok();
        limited.does(&["burn", "0.2"]).ok();
    }
    limited.update(&limits(0)).ok();
    limited.cgroup.holds(&[("cpu.cfs_burst_us", "0")], &[("cpu.max.burst", "0")]);
    // One period may have begun with what was left over before.
    limited.does(&["burn", "0.2"]).ok();
    let before = bursts();
    limited.does(&["burn", "0.3"]).ok();
    assert_eq!(bursts(), before);
}

pub fn cpuset(t: &Context, driver: Driver) {
    requires!(need::controller("cpuset"));
    let limits = |cpus: &str| json!({"cpu": {"cpus": cpus, "mems": "0"}});
    let limited = Limited::new(t, driver, limits("0"));
    let holds = |cpus: &str| {
        let both = [("cpuset.cpus", cpus), ("cpuset.mems", "0")];
        limited.cgroup.holds(&both, &both);
    };
    let seen = || limited.does(&["probe"]).facts().at("/affinity").clone();
    holds("0");
    assert_eq!(seen(), json!([0]));
    limited.update(&limits("4711")).fails();
    holds("0");
    if need::processors(1).is_ok() {
        limited.update(&limits("1")).ok();
        holds("1");
        assert_eq!(seen(), json!([1]));
        limited.update(&limits("0-1")).ok();
        assert_eq!(seen(), json!([0, 1]));
    }
}

pub fn realtime(t: &Context, driver: Driver) {
    if Cgroup::is_v2() {
        let refused = tried(t, driver, json!({"cpu": {"realtimeRuntime": 5000}}));
        refused.fails().stderr("realtime");
        return;
    }
    requires!(need::path("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"));
    let limited = Limited::new(t, driver, json!({"cpu": {"realtimeRuntime": 5000, "realtimePeriod": 500_000}}));
    limited.cgroup.holds(&[("cpu.rt_runtime_us", "5000"), ("cpu.rt_period_us", "500000")], &[]);
    limited.update(&json!({"cpu": {"realtimeRuntime": 4000, "realtimePeriod": 400_000}})).ok();
    limited.cgroup.holds(&[("cpu.rt_runtime_us", "4000"), ("cpu.rt_period_us", "400000")], &[]);
}
