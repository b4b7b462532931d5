//! Network devices given to the container.

use std::fs;

use integration::{Bundle, Context, Test, need, requires, test};
use serde_json::{Value, json};

/// A pair of interfaces, gone when either is gone with its namespace.
struct Pair(String);

impl Pair {
    fn make(t: &Context) -> Pair {
        let name = t.unique().replace("it", "i").replace('-', "x");
        let name = name.get(name.len().saturating_sub(12)..).unwrap_or(&name).to_owned();
        let made =
            t.tool("/usr/sbin/ip", &["link", "add", &name, "type", "veth", "peer", "name", &format!("{name}p")]).run();
        requires!(if made.code == 0 { Ok(()) } else { Err(format!("no virtual interfaces: {}", made.stderr.trim())) });
        Pair(name)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let peer = format!("{}p", self.0);
        drop(std::process::Command::new("/usr/sbin/ip").args(["link", "del", &peer]).output());
    }
}

fn devices(t: &Context, devices: Value) -> Bundle {
    t.bundle().patch(json!({"linux": {"netDevices": devices}}))
}

pub const TESTS: &[Test] = &[
    test("network: a device is moved in, with its name or another", &[290, 291, 296], |t| {
        requires!(need::program("/usr/sbin/ip"));
        for wanted in [None, Some("eth7")] {
            let pair = Pair::make(t);
            let name = wanted.unwrap_or(&pair.0);
            let entry = wanted.map_or_else(|| json!({}), |name| json!({"name": name}));
            let facts = devices(t, json!({&pair.0: entry})).facts();
            assert!(facts.strings("/links").contains(&name), "{}", facts.at("/links"));
        }
    })
    .known(&[("runc 1.1", "does not know netDevices")]),
    test("network: addresses come along", &[295], |t| {
        requires!(need::program("/usr/sbin/ip"));
        let pair = Pair::make(t);
        t.tool("/usr/sbin/ip", &["addr", "add", "10.11.12.13/24", "dev", &pair.0]).run().ok();
        let mut container = devices(t, json!({&pair.0: {}})).args(&["/guest", "trap"]).start();
        assert_eq!(container.line(), "ready");
        let trie = fs::read_to_string(format!("/proc/{}/net/fib_trie", container.pid())).unwrap();
        assert!(trie.contains("10.11.12.13"), "{trie}");
    })
    .known(&[("runc 1.1", "does not know netDevices")]),
    test("network: unknown devices and taken names are refused", &[292, 293, 206], |t| {
        requires!(need::program("/usr/sbin/ip"));
        devices(t, json!({"nosuchlink": {}})).run().fails();
        let pair = Pair::make(t);
        devices(t, json!({&pair.0: {"name": "lo"}})).run().fails();
        assert!(fs::symlink_metadata(format!("/sys/class/net/{}", pair.0)).is_ok(), "the device is gone from the host");
        devices(t, json!({&pair.0: {"name": "a/b"}})).run().fails();
        devices(t, json!({&pair.0: {}})).without_namespace("network").run().fails();
    })
    .known(&[("runc 1.1", "does not know netDevices")]),
    test("network: the kernel numbers a name with a template", &[294], |t| {
        requires!(need::program("/usr/sbin/ip"));
        let pair = Pair::make(t);
        let facts = devices(t, json!({&pair.0: {"name": "eth%d"}})).facts();
        assert!(facts.strings("/links").contains(&"eth0"), "{}", facts.at("/links"));
    })
    .known(&[("runc 1.1", "does not know netDevices")]),
];
