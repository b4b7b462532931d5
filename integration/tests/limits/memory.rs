//! Limits on memory.

use std::fs;
use std::time::{Duration, Instant};

use integration::{Cgroup, Context, need, requires};
use serde_json::json;

use super::{Driver, Limited, MIB, bundle, tried};

pub fn memory(t: &Context, driver: Driver) {
    requires!(need::controller("memory"));
    let limits = |limit: u64| json!({"memory": {"limit": limit * MIB, "reservation": limit * MIB / 2}});
    let limited = Limited::new(t, driver, limits(32));
    limited.cgroup.holds(
        &[("memory.limit_in_bytes", "33554432"), ("memory.soft_limit_in_bytes", "16777216")],
        &[("memory.max", "33554432"), ("memory.low", "16777216")],
    );
    let takes = ["alloc", "50331648"];
    limited.does(&takes).code(137);
    limited.update(&limits(128)).ok();
    limited.cgroup.holds(
        &[("memory.limit_in_bytes", "134217728"), ("memory.soft_limit_in_bytes", "67108864")],
        &[("memory.max", "134217728"), ("memory.low", "67108864")],
    );
    limited.does(&takes).ok();
    limited.update(&limits(16)).ok();
    limited.does(&takes).code(137);
    limited.update(&json!({"memory": {"limit": -1}})).ok();
    limited.cgroup.holds(&[], &[("memory.max", "max")]);
    limited.does(&takes).ok();
}

pub fn own_memory(t: &Context, driver: Driver) {
    requires!(need::controller("memory"));
    let bundle = bundle(t, driver, json!({"memory": {"limit": 16 * MIB}}));
    bundle.args(&["/guest", "alloc", "67108864"]).run().code(137);
}

/// Swap, of a file that is there for this test alone.
pub fn swap(t: &Context, driver: Driver) {
    requires!(need::controller("memory"));
    let limits = |memory: u64, both: u64| json!({"memory": {"limit": memory * MIB, "swap": both * MIB}});
    let limited = Limited::new(t, driver, limits(16, 16));
    limited.cgroup.holds(&[("memory.memsw.limit_in_bytes", "16777216")], &[("memory.swap.max", "0")]);
    let has_swap = Swap::on(t);
    let takes = ["alloc", "33554432"];
    limited.does(&takes).code(137);
    limited.update(&limits(16, 80)).ok();
    limited.cgroup.holds(&[("memory.memsw.limit_in_bytes", "83886080")], &[("memory.swap.max", "67108864")]);
    if has_swap.is_some() {
        limited.does(&takes).ok();
    }
    limited.update(&limits(16, 20)).ok();
    limited.cgroup.holds(&[("memory.memsw.limit_in_bytes", "20971520")], &[("memory.swap.max", "4194304")]);
    limited.does(&takes).code(137);
    tried(t, driver, limits(32, 16)).fails();
}

/// Swap space, where the machine may be changed.
struct Swap<'a>(&'a Context, String);

impl Swap<'_> {
    fn on(t: &Context) -> Option<Swap<'_>> {
        need::disposable().ok()?;
        let path = format!("/var/tmp/{}", t.unique());
        t.tool("/bin/dd", &["if=/dev/zero", &format!("of={path}"), "bs=1M", "count=64"]).run().ok();
        t.tool("/sbin/mkswap", &[&path]).run().ok();
        t.tool("/sbin/swapon", &[&path]).run().ok();
        Some(Swap(t, path))
    }
}

impl Drop for Swap<'_> {
    fn drop(&mut self) {
        self.0.tool("/sbin/swapoff", &[&self.1]).run().ok();
        std::fs::remove_file(&self.1).unwrap();
    }
}

/// What only v1 has.
pub fn swappiness(t: &Context, driver: Driver) {
    requires!(need::controller("memory"));
    let limits = |swappiness: u64, disable: bool| json!({"memory": {"limit": 32 * MIB, "swappiness": swappiness, "disableOOMKiller": disable}});
    if Cgroup::is_v2() {
        for memory in [json!({"swappiness": 30}), json!({"disableOOMKiller": true})] {
            tried(t, driver, json!({"memory": memory})).fails().stderr("cgroup v2 has no such setting");
        }
        return;
    }
    let limited = Limited::new(t, driver, limits(30, true));
    let killer = || limited.cgroup.number("memory.oom_control", "oom_kill_disable");
    limited.cgroup.holds(&[("memory.swappiness", "30")], &[]);
    assert_eq!(killer(), 1);
    // Nobody is killed: who wants more waits until there is more.
    let mut greedy = limited.container.call("exec").args(["/guest", "alloc", "50331648"]).spawn();
    let end = Instant::now() + Duration::from_secs(20);
    while limited.cgroup.number("memory.oom_control", "under_oom") == 0 {
        assert!(Instant::now() < end, "never out of memory");
        std::thread::sleep(Duration::from_millis(5));
    }
    limited.update(&json!({"memory": {"limit": 128 * MIB}})).ok();
    greedy.wait().ok();
    limited.update(&limits(40, false)).ok();
    limited.cgroup.holds(&[("memory.swappiness", "40")], &[]);
    assert_eq!(killer(), 0);
    limited.does(&["alloc", "50331648"]).code(137);
}

/// Huge pages of the machine, for the time of a test.
struct HugePages(String);

const HUGE_PAGES: &str = "/proc/sys/vm/nr_hugepages";

impl HugePages {
    fn have(count: u32) -> HugePages {
        let before = fs::read_to_string(HUGE_PAGES).unwrap_or_default();
        drop(fs::write(HUGE_PAGES, count.to_string()));
        HugePages(before)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        drop(fs::write(HUGE_PAGES, &self.0));
    }
}

/// Huge pages, on v2. Without systemd that is a tree beside the one of v1, too.
pub fn huge_pages(t: &Context, driver: Driver) {
    requires!(need::v2("hugetlb"));
    requires!(need::path("/sys/kernel/mm/hugepages/hugepages-2048kB"));
    let limits = |limit: u64| json!({"hugepageLimits": [{"pageSize": "2MB", "limit": limit * MIB}]});
    let bundle = bundle(t, driver, limits(2));
    let coracle = bundle.coracle().clone();
    let limited = Limited::start(&bundle.with(if driver == Driver::Cgroupfs { coracle.v2() } else { coracle }));
    let holds = |bytes: &str| {
        let read = |file: &str| limited.cgroup.read(file);
        assert_eq!((read("hugetlb.2MB.max"), read("hugetlb.2MB.rsvd.max")), (bytes.into(), bytes.into()));
    };
    holds("2097152");
    let _pages = HugePages::have(8);
    let free = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").unwrap();
    requires!(if free.trim() == "8" { Ok(()) } else { Err(format!("{} huge pages", free.trim())) });
    limited.does(&["huge", "2097152"]).ok();
    limited.does(&["huge", "4194304"]).fails().stderr("Out of memory");
    limited.update(&limits(8)).ok();
    holds("8388608");
    limited.does(&["huge", "4194304"]).ok();
}
