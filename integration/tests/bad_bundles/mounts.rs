//! Roots that are not there, and mounts that cannot be.

use std::fs;
use std::os::unix::fs::symlink;

use integration::Bundle;
use serde_json::{Value, json};

use super::Case;

/// The default mounts and one more.
fn mount(says: &'static str, mount: Value) -> Case {
    Case::new(says, move |bundle: Bundle| bundle.mount(mount.clone()))
}

fn root(says: &'static str, path: &'static str) -> Case {
    Case::patch(says, json!({"root": {"path": path}}))
}

pub fn cases() -> Vec<Case> {
    let maps = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
    vec![
        Case::patch("config.json /root: root must be specified", json!({"root": null})),
        Case::patch("config.json /root/path: must be given", json!({"root": {"path": null}})),
        root("config.json /root/path: must not be empty", ""),
        root("config.json /root/path: invalid rootfs", "nosuch"),
        root("no such file or directory (ENOENT)", "/nonexistent/rootfs"),
        root("config.json /root/path: invalid rootfs", "config.json"),
        root("not a directory (ENOTDIR)", "/dev/null"),
        Case::files("config.json /root/path: invalid rootfs", |bundle| {
            fs::rename(bundle.join("rootfs"), bundle.join("real")).unwrap();
            symlink("real", bundle.join("rootfs")).unwrap();
        }),
        Case::new("not an absolute path, or a symlink", |bundle| {
            symlink(bundle.path(), bundle.path().join("link")).unwrap();
            bundle.patch(json!({"root": {"path": "link/rootfs"}}))
        }),
        Case::files("open bundle", |bundle| fs::remove_dir_all(bundle).unwrap()),
        Case::files("open bundle", |bundle| {
            fs::remove_dir_all(bundle).unwrap();
            fs::write(bundle, "").unwrap();
        }),
        mount("/destination: must be given", json!({"type": "tmpfs"})),
        mount("/destination: must not be empty", json!({"destination": "", "type": "tmpfs", "source": "t"})),
        mount("/destination: contains a NUL byte", json!({"destination": "/a\u{0}", "type": "tmpfs", "source": "t"})),
        mount("/source: contains a NUL byte", json!({"destination": "/mnt", "source": "/tmp\u{0}", "options": ["bind"]})),
        mount("mount nosuchfs on /mnt", json!({"destination": "/mnt", "type": "nosuchfs", "source": "x"})),
        mount("open mount source /nonexistent", json!({"destination": "/mnt", "source": "/nonexistent", "options": ["bind"]})),
        mount("config.json /mounts/7/source", json!({"destination": "/mnt", "options": ["bind"]})).taken("the bundle is the source then"),
        mount("sized=1", json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["sized=1"]})),
        mount("config.json /mounts/7/options", json!({"destination": "/mnt", "source": "/tmp", "options": ["bind", "size=1"]})).taken("it does not look"),
        mount("/mnt", json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["bogus"]})),
        mount("/proc", json!({"destination": "/proc", "source": "/tmp", "options": ["bind"]})),
        mount("config.json /mounts/7/destination: cannot be mounted upon because it is inside /proc", json!({"destination": "/proc/sys", "type": "tmpfs", "source": "t"})).taken("later versions refuse it"),
        mount("because it is inside /proc", json!({"destination": "/mnt/../proc/self/attr", "type": "tmpfs", "source": "t"})).taken("later versions refuse it"),
        mount("config.json /mounts/7", json!({"destination": "/", "type": "tmpfs", "source": "t"})),
        Case::new("mount proc on /proc", |bundle| {
            fs::remove_dir(bundle.rootfs().join("proc")).unwrap();
            bundle.link("/tmp", "proc")
        }),
        Case::new("mount sysfs on /sys", |bundle| {
            fs::remove_dir(bundle.rootfs().join("sys")).unwrap();
            bundle.link("tmp", "sys")
        }),
        mount("config.json /mounts/7/gidMappings", json!({"destination": "/mnt", "source": "/tmp", "options": ["bind"], "uidMappings": maps})).taken(OLD),
        mount("config.json /mounts/7/uidMappings", json!({"destination": "/mnt", "source": "/tmp", "options": ["bind"], "gidMappings": maps})).taken(OLD),
        mount("config.json /mounts/7", json!({"destination": "/mnt", "source": "/tmp", "options": ["bind", "idmap"]})).taken(OLD),
        mount("config.json /mounts/7", json!({"destination": "/mnt", "type": "tmpfs", "source": "t", "options": ["idmap"], "uidMappings": maps, "gidMappings": maps})),
        mount("/uidMappings/0/size: must be from 1", json!({"destination": "/mnt", "source": "/tmp", "options": ["bind"], "uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}]})).taken(OLD),
        Case::patch("config.json /linux/rootfsPropagation: unknown propagation", json!({"linux": {"rootfsPropagation": "sharedd"}})),
        Case::patch("config.json /linux/maskedPaths/0", json!({"linux": {"maskedPaths": ["proc/keys"]}})).taken("it does not look"),
        Case::patch("config.json /linux/readonlyPaths/0", json!({"linux": {"readonlyPaths": ["proc/keys"]}})).taken("it does not look"),
        Case::patch("config.json /linux/mountLabel", json!({"linux": {"mountLabel": "system_u:object_r:container_file_t:s0"}})),
    ]
}

const OLD: &str = "it knows no id-mapped mounts";
