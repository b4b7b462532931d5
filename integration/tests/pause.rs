//! pause and resume, against the kernel's own word on it in both versions of cgroups.

use integration::{Bundle, Container, Test, need, requires, test};
use serde_json::json;

use crate::cgroups::{limited, v1, v2};

fn running(bundle: &Bundle) -> Container {
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    container
}

/// Pauses, finds that nothing runs, and resumes; `frozen` asks the kernel.
fn stops_and_goes_on(bundle: &Bundle, frozen: &dyn Fn() -> bool) {
    let mut container = running(bundle);
    assert!(!frozen());
    container.call("pause").run().ok();
    assert!(frozen());
    assert_eq!(container.status(), "paused");
    assert_eq!(container.state()["pid"], container.pid());
    container.kill("USR1").ok();
    container.call("pause").run().fails().stderr("container not running");
    container.delete().fails().stderr("that is not stopped: paused");
    container.call("resume").run().ok();
    assert!(!frozen());
    assert_eq!(container.line(), "SIGUSR1");
    assert_eq!(container.status(), "running");
    container.call("resume").run().fails().stderr("container not paused");
    container.call("pause").run().ok();
    container.kill("KILL").ok();
    assert_eq!(container.wait(), 137);
    assert_eq!(container.status(), "stopped");
    container.call("pause").run().fails().stderr("container not running");
    container.call("resume").run().fails().stderr("container not paused");
    container.delete().ok();
}

pub const TESTS: &[Test] = &[
    test("pause: nothing runs until resume, v1", &[], |t| {
        requires!(need::v1("freezer"));
        let (bundle, name) = limited(t, json!({}));
        stops_and_goes_on(&bundle, &|| v1("freezer", &name, "freezer.state") == "FROZEN");
    }),
    test("pause: nothing runs until resume, v2", &[], |t| {
        requires!(need::unified());
        let (bundle, name) = limited(t, json!({}));
        let bundle = bundle.with(t.coracle().v2());
        stops_and_goes_on(&bundle, &|| v2(&name, "cgroup.events").contains("frozen 1"));
    }),
    test("pause: a created container can be paused, and not be started", &[], |t| {
        let mut container = t.bundle().args(&["/guest", "trap"]).create();
        container.call("pause").run().ok();
        assert_eq!(container.status(), "paused");
        container.start().fails();
        container.call("resume").run().ok();
        assert_eq!(container.status(), "created");
        container.start().ok();
        assert_eq!(container.line(), "ready");
    }),
    test("pause: forced delete ends a paused container", &[243], |t| {
        for v2 in [false, true] {
            if v2 {
                requires!(need::unified());
            }
            let coracle = if v2 { t.coracle().v2() } else { t.coracle() };
            let mut container = running(&t.bundle().args(&["/guest", "trap"]).with(coracle));
            container.call("pause").run().ok();
            container.call("delete").arg("--force").run().ok();
            assert_eq!(container.wait(), 137);
        }
    }),
    test("pause: with several processes, and none in between", &[], |t| {
        requires!(need::v1("freezer"));
        let (bundle, name) = limited(t, json!({}));
        let mut container = bundle.args(&["/guest", "fork", "20", "stay"]).start();
        assert_eq!(container.line(), "forked 20");
        for _ in 0..5 {
            container.call("pause").run().ok();
            assert_eq!(v1("freezer", &name, "freezer.state"), "FROZEN");
            container.call("resume").run().ok();
            assert_eq!(v1("freezer", &name, "freezer.state"), "THAWED");
        }
    }),
];
