//! Limits on the use of disks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration::{Cgroup, Context, need, requires, skip};
use serde_json::json;

use super::{Driver, Limited, MIB, bundle};

/// The disk below a path: its directory in /sys, and its number.
fn disk(path: &Path) -> (PathBuf, String) {
    let device = fs::metadata(path).unwrap().dev();
    let numbers = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let blocks = Path::new("/sys/dev/block");
    let Ok(link) = fs::read_link(blocks.join(numbers)) else { skip(format!("{} is on no disk", path.display())) };
    let mut place = blocks.join(link);
    if fs::symlink_metadata(place.join("partition")).is_ok() {
        place.pop();
    }
    let number = fs::read_to_string(place.join("dev")).unwrap().trim().to_owned();
    (place, number)
}

/// Both numbers of the disk below a path.
pub fn numbers_below(path: &Path) -> [u64; 2] {
    numbers(&disk(path).1)
}

fn numbers(device: &str) -> [u64; 2] {
    let (major, minor) = device.split_once(':').unwrap();
    [major.parse().unwrap(), minor.parse().unwrap()]
}

pub fn throttle(t: &Context, driver: Driver) {
    requires!(need::controller("blkio"));
    if !Cgroup::is_v2() {
        requires!(need::path("/sys/fs/cgroup/blkio/blkio.throttle.read_bps_device"));
    }
    let (_, number) = disk(&t.path("."));
    let [major, minor] = numbers(&number);
    let limits = |bytes: u64, times: u64| {
        let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
        json!({"throttleReadBpsDevice": rate(bytes), "throttleWriteBpsDevice": rate(2 * bytes),
            "throttleReadIOPSDevice": rate(times), "throttleWriteIOPSDevice": rate(2 * times)})
    };
    let bundle = bundle(t, driver, json!({"blockIO": limits(MIB, 1000)}));
    let file = bundle.rootfs().join("file");
    fs::write(&file, vec![1; 2 * MIB as usize]).unwrap();
    fs::File::open(file).unwrap().sync_all().unwrap();
    let limited = Limited::start(&bundle);
    let holds = |bytes: u64, times: u64| {
        let line = |rate: u64| format!("{number} {rate}");
        let (rbps, wbps, riops, wiops) = (line(bytes), line(2 * bytes), line(times), line(2 * times));
        let max = format!("{number} rbps={bytes} wbps={} riops={times} wiops={}", 2 * bytes, 2 * times);
        let v1 = [
            ("blkio.throttle.read_bps_device", rbps.as_str()),
            ("blkio.throttle.write_bps_device", &wbps),
            ("blkio.throttle.read_iops_device", &riops),
            ("blkio.throttle.write_iops_device", &wiops),
        ];
        limited.cgroup.holds(&v1, &[("io.max", &max)]);
    };
    let took = || {
        let begin = Instant::now();
        limited.does(&["pull", "/file", "2097152"]).ok();
        begin.elapsed()
    };
    holds(MIB, 1000);
    let slow = took();
    assert!(slow > Duration::from_millis(1300), "{slow:?}");
    limited.update(&json!({"blockIO": limits(1000 * MIB, 5000)})).ok();
    holds(1000 * MIB, 5000);
    let fast = took();
    assert!(2 * fast < slow, "{fast:?} after {slow:?}");
}

pub fn weight(t: &Context, driver: Driver) {
    requires!(need::controller("blkio"));
    let (place, number) = disk(&t.path("."));
    let scheduler = place.join("queue/scheduler");
    if need::disposable().is_ok() {
        fs::write(&scheduler, "bfq").unwrap();
    }
    let bfq = fs::read_to_string(scheduler).is_ok_and(|text| text.contains("[bfq]"));
    requires!(if bfq { Ok(()) } else { Err(format!("disk {number} is not scheduled by bfq")) });
    let [major, minor] = numbers(&number);
    if Cgroup::is_v2() {
        let rate = json!([{"major": major, "minor": minor, "rate": 1000 * MIB}]);
        let limited = Limited::new(t, driver, json!({"blockIO": {"throttleReadBpsDevice": rate}}));
        let file = limited.cgroup.directory("blkio").join("io.bfq.weight");
        requires!(need::path(file.to_str().unwrap()));
    }
    let limits = |weight: u64| {
        let device = json!([{"major": major, "minor": minor, "weight": weight / 2}]);
        json!({"blockIO": {"weight": weight, "weightDevice": device}})
    };
    let limited = Limited::new(t, driver, limits(600));
    let holds = |weight: u64| {
        let device = format!("{number} {}", weight / 2);
        let all = format!("default {weight}\n{device}");
        let plain = weight.to_string();
        limited
            .cgroup
            .holds(&[("blkio.bfq.weight", &plain), ("blkio.bfq.weight_device", &device)], &[("io.bfq.weight", &all)]);
    };
    holds(600);
    limited.update(&limits(200)).ok();
    holds(200);
}
