//! Masked and read-only paths, and tunables.

use std::fs;

use integration::{Test, test};
use serde_json::json;

pub const TESTS: &[Test] = &[
    test("paths: masked ones hold nothing", &[418], |t| {
        let masked = json!(["/etc/passwd", "/tmp", "/proc/uptime", "/dev/full", "/link"]);
        let bundle = t.bundle().file("/tmp/secret", "x").file("/etc/other", "x").link("/etc/other", "/link");
        let bundle = bundle.patch(json!({"root": {"readonly": false}, "linux": {"maskedPaths": masked}}));
        let paths = ["/guest", "probe", "/etc/passwd", "/tmp", "/proc/uptime", "/etc/other"];
        let facts = bundle.args(&paths).facts();
        for path in ["~1etc~1passwd", "~1tmp", "~1proc~1uptime", "~1etc~1other"] {
            facts.is(&format!("/paths/{path}/size"), &json!(0));
        }
        facts.is("/paths/~1tmp/write", &json!("EROFS"));
    }),
    test("paths: the default masks", &[418], |t| {
        let paths = ["/guest", "probe", "/proc/timer_list", "/proc/keys", "/sys/firmware", "/proc/acpi"];
        let facts = t.bundle().args(&paths).facts();
        for path in &paths[2..] {
            let fact = &facts.at("/paths")[path];
            assert!(fact.is_null() || fact["size"] == 0, "{path}: {fact}");
        }
    }),
    test("paths: masks of missing paths are skipped", &[420], |t| {
        t.bundle()
            .patch(json!({"linux": {"maskedPaths": ["/nosuch", "/nosuch/below"], "readonlyPaths": ["/nosuch"]}}))
            .run()
            .ok();
    }),
    test("paths: a relative mask is refused or ignored", &[419], |t| {
        let output = t
            .bundle()
            .patch(json!({"linux": {"maskedPaths": ["etc/passwd"]}}))
            .args(&["/guest", "read", "/etc/passwd"])
            .run();
        assert!(output.code == 1 || output.stdout.contains("root"), "masked: {}", output.stdout);
    })
    .known(&[("runc 1.1", "takes it from the root")]),
    test("paths: read-only ones refuse writes and can be read", &[421], |t| {
        let patch = json!({"root": {"readonly": false}, "linux": {"readonlyPaths": ["/etc/passwd", "/tmp"]}});
        let facts = t.bundle().patch(patch).args(&["/guest", "probe", "/etc/passwd", "/tmp", "/etc"]).facts();
        facts.is("/paths/~1etc~1passwd/read", &json!("ok")).is("/paths/~1etc~1passwd/write", &json!("EROFS"));
        facts.is("/paths/~1tmp/write", &json!("EROFS")).is("/paths/~1etc/write", &json!("ok"));
    }),
    test("paths: read-only reaches the mounts below", &[421], |t| {
        let mount = json!({"destination": "/mnt/below", "type": "tmpfs", "source": "tmpfs"});
        let patch = json!({"root": {"readonly": false}, "linux": {"readonlyPaths": ["/mnt"]}});
        let facts = t.bundle().mount(mount).patch(patch).args(&["/guest", "probe", "/mnt", "/mnt/below"]).facts();
        facts.is("/paths/~1mnt/write", &json!("EROFS"));
    }),
    test("paths: tunables of the container's namespaces", &[386], |t| {
        let sysctl = json!({
            "net.core.somaxconn": "77", "net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "0 5", "kernel.msgmax": "4096",
            "kernel.shmmni": "100", "fs.mqueue.msg_max": "9", "kernel.sem": "100 200 30 40",
        });
        let facts = t.bundle().patch(json!({"linux": {"sysctl": sysctl}})).facts();
        for (name, value) in sysctl.as_object().unwrap() {
            assert_eq!(&facts.at("/sysctls")[name], value, "{name}");
        }
        let host = t.helper(&["probe"]).run().facts();
        assert_ne!(host.at("/sysctls")["kernel.msgmax"], "4096");
    }),
    test("paths: slashes in the name of a tunable", &[386], |t| {
        let facts = t.bundle().patch(json!({"linux": {"sysctl": {"net/ipv4/ip_forward": "1"}}})).facts();
        assert_eq!(facts.at("/sysctls")["net.ipv4.ip_forward"], "1");
    }),
    test("paths: tunables of the host are refused", &[387], |t| {
        let before = fs::read_to_string("/proc/sys/kernel/panic").unwrap();
        for (name, dropped) in [
            ("kernel.panic", ""),
            ("vm.swappiness", ""),
            ("kernel.hostname", ""),
            ("net.core.somaxconn", "network"),
            ("kernel.msgmax", "ipc"),
            ("kernel.domainname", "uts"),
            ("../../etc/passwd", ""),
            ("net/../kernel/panic", ""),
        ] {
            let bundle = t
                .bundle()
                .patch(json!({"hostname": null, "linux": {"sysctl": {name: "1"}}}))
                .without_namespace(dropped);
            bundle.run().fails();
        }
        assert_eq!(fs::read_to_string("/proc/sys/kernel/panic").unwrap(), before);
    }),
    test("paths: a tunable the kernel refuses is an error", &[206, 229], |t| {
        t.bundle().patch(json!({"linux": {"sysctl": {"net.core.nosuch": "1"}}})).run().fails().stderr("nosuch");
        t.bundle().patch(json!({"linux": {"sysctl": {"net.ipv4.ip_forward": "many"}}})).run().fails();
    }),
];
