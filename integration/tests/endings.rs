//! The end of containers that do not want to: processes that fork without end, with every signal blocked, in nested cgroups.

use std::fs;
use std::time::{Duration, Instant};

use integration::{Bundle, Cgroup, Context, Coracle, Test, need, reap_orphans, requires, test};
use serde_json::json;

use crate::cgroups::{limited, writable};

/// How long one may take to end. Each is gone in milliseconds on a machine with nothing else to do.
const LIMIT: Duration = Duration::from_secs(10);

/// A bundle of such a container, whose cgroups it may change.
fn bomb(t: &Context, coracle: Coracle, directories: &[&str]) -> Bundle {
    let (bundle, _) = limited(t, json!({}));
    let args = [&["/guest", "bomb", "8"], directories].concat();
    bundle.edit(writable).namespace(json!({"type": "cgroup"})).args(&args).with(coracle)
}

/// Ends containers of `bundle`, by turns with `kill --all` and with `delete --force`.
fn end(bundle: &Bundle, runs: usize, controller: &str) {
    for run in 0..runs {
        let mut container = bundle.start();
        assert_eq!(container.line(), "ready");
        let cgroup = Cgroup::of(container.pid()).directory(controller);
        assert!(fs::symlink_metadata(cgroup.join("a/b/c")).is_ok(), "{} is not nested", cgroup.display());
        let start = Instant::now();
        if run % 2 == 0 {
            container.call("kill").args(["--all", "KILL"]).run().ok();
            assert_eq!(container.wait(), 137);
            container.delete().ok();
        } else {
            container.call("delete").arg("--force").run().ok();
            assert_eq!(container.wait(), 137);
        }
        // Left to this process by their container, they would use up the machine's process ids.
        reap_orphans(0);
        assert!(start.elapsed() < LIMIT, "run {run} took {:?}", start.elapsed());
        assert!(fs::symlink_metadata(&cgroup).is_err(), "run {run}: {} stays", cgroup.display());
    }
}

/// In a pid namespace of its own, with whose first process all others end, and without one.
fn both(bundle: Bundle, runs: usize, controller: &str) {
    end(&bundle, runs / 2, controller);
    end(&bundle.without_namespace("pid"), runs / 2, controller);
}

const V1: [&str; 3] = ["/sys/fs/cgroup/freezer", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"];

pub const TESTS: &[Test] = &[
    test("endings: a hundred times what does not want to, cgroup v1", &[], |t| {
        requires!(need::v1("freezer"));
        requires!(need::unified());
        both(bomb(t, t.coracle().launched("v1="), &V1), 100, "freezer");
    }),
    test("endings: a hundred times what does not want to, cgroup v2", &[], |t| {
        requires!(need::unified());
        let coracle = if Cgroup::is_v2() { t.coracle() } else { t.coracle().v2() };
        both(bomb(t, coracle, &["/sys/fs/cgroup"]), 100, "");
    }),
    test("endings: what does not want to, in scopes of systemd", &[], |t| {
        requires!(need::systemd());
        let path = json!({"linux": {"cgroupsPath": format!("system.slice:it:{}", t.unique())}});
        both(bomb(t, t.coracle().systemd(), &["/sys/fs/cgroup"]).patch(path), 20, "");
    }),
    test("endings: what does not want to, without a freezer", &[], |t| {
        requires!(need::v1("freezer"));
        requires!(need::unified());
        let coracle = t.coracle().launched("v1=").launched("unmount=/sys/fs/cgroup/freezer");
        end(&bomb(t, coracle, &V1[1..]).without_namespace("pid"), 20, "pids");
    })
    .known(&[("runc", "needs the freezer")]),
];
