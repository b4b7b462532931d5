//! An ordinary user whose service manager makes the scopes.

use std::fs;
use std::os::unix::fs::chown;

use integration::{Bundle, Cgroup, Context, Coracle};
use serde_json::{Value, json};

/// The one the guest has.
const USER: u32 = 1000;

/// A bundle of the user's, as `spec --rootless` has it.
fn bundle(t: &Context, resources: Value) -> Bundle {
    let itself = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    let (bundle, _) = super::bundle(t, resources);
    let bundle = bundle
        .without_namespace("network")
        .namespace(json!({"type": "user"}))
        .patch(json!({"linux": {"cgroupsPath": format!("user.slice:it:{}", t.unique()), "uidMappings": itself, "gidMappings": itself}}))
        .edit(|config| {
            for mount in config["mounts"].as_array_mut().unwrap() {
                if mount["destination"] == "/sys" {
                    *mount = json!({"destination": "/sys", "type": "none", "source": "/sys",
                        "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]});
                } else if let Some(options) = mount["options"].as_array_mut() {
                    options.retain(|option| option != "gid=5");
                }
            }
        });
    for path in [bundle.path().to_owned(), bundle.rootfs()] {
        chown(&path, Some(USER), Some(USER)).unwrap();
    }
    fs::create_dir_all(t.root()).unwrap();
    chown(t.root(), Some(USER), Some(USER)).unwrap();
    bundle
}

fn user(coracle: Coracle) -> Coracle {
    coracle.launched(format!("user={USER}")).systemd()
}

pub fn lives(t: &Context) {
    let service = format!("user@{USER}.service");
    t.tool("/bin/systemctl", &["start", &service]).run().ok();
    let limits = json!({"memory": {"limit": 33_554_432}, "pids": {"limit": 25}, "cpu": {"shares": 1024}});
    let mut container = bundle(t, limits).with(user(t.coracle())).start();
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
    let coracle = user(t.coracle());
    let call = coracle.call(["create", "--bundle"]).arg(bundle.path()).arg(bundle.id());
    call.env("XDG_RUNTIME_DIR", &nowhere).run().fails().stderr("set XDG_RUNTIME_DIR");
    // Without systemd limits cannot be either, and what has none runs.
    let limited = json!({"linux": {"cgroupsPath": null, "resources": {"pids": {"limit": 25}}}});
    let plain = t.coracle().launched(format!("user={USER}"));
    let bundle = bundle.args(&["/guest", "exit", "3"]).with(plain).patch(limited);
    bundle.run().fails().stderr("not permitted to create a cgroup; have systemd make it");
    bundle.patch(json!({"linux": {"resources": null}})).run().code(3);
}
