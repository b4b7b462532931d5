//! An ordinary user whose service manager makes the scopes.

use std::fs;

use integration::{Bundle, Cgroup, Context};
use serde_json::{Value, json};

use crate::rootless::bundle_of;

/// The one the guest has.
const USER: u32 = 1000;

/// A bundle of the user's, whose scopes its service manager makes.
fn bundle(t: &Context, resources: Value) -> Bundle {
    let itself = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    let path = format!("user.slice:it:{}", t.unique());
    let bundle = bundle_of(t, USER, &itself).args(&["/guest", "trap"]);
    let coracle = bundle.coracle().clone().systemd();
    bundle.patch(json!({"linux": {"cgroupsPath": path, "resources": resources}})).with(coracle)
}

pub fn lives(t: &Context) {
    let service = format!("user@{USER}.service");
    t.tool("/bin/systemctl", &["start", &service]).run().ok();
    let limits = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 25}, "cpu": {"shares": 1024}});
    let mut container = bundle(t, limits).start();
    assert_eq!(container.line(), "ready");
    let cgroup = Cgroup::of(container.pid());
    let directory = cgroup.directory("");
    assert!(directory.to_string_lossy().contains(&format!("{service}/user.slice/it-")), "{}", directory.display());
    cgroup.holds(&[], &[("memory.max", "33554432"), ("pids.max", "25"), ("cpu.weight", "100")]);
    container.call("update").args(["--pids-limit", "26"]).run().ok();
    cgroup.holds(&[], &[("pids.max", "26")]);
    // As it sees it: a further process is in the scope too, and not beside it.
    container.exec(["/guest", "read", "/proc/self/cgroup"]).ok().says("0::/");
    container.call("pause").run().ok();
    assert_eq!(container.status(), "paused");
    container.call("resume").run().ok();
    drop(container);
    assert!(fs::symlink_metadata(&directory).is_err());
    t.tool("/bin/systemctl", &["stop", &service, &format!("user-runtime-dir@{USER}.service")]).run().ok();
}

pub fn is_told(t: &Context) {
    let nowhere = t.path("nowhere");
    let bundle = bundle(t, json!({}));
    bundle.save();
    let call = bundle.coracle().call(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id());
    call.env("XDG_RUNTIME_DIR", &nowhere).run().fails().stderr("set XDG_RUNTIME_DIR");
    // Without systemd limits cannot be either, and what has none runs.
    let limited = json!({"linux": {"cgroupsPath": null, "resources": {"pids": {"limit": 25}}}});
    let plain = t.coracle().launched(format!("user={USER}"));
    let bundle = bundle.args(&["/guest", "exit", "3"]).with(plain).patch(limited);
    bundle.run().fails().stderr("not permitted to create a cgroup; have systemd make it");
    bundle.patch(json!({"linux": {"resources": null}})).run().code(3);
}
