//! What `features` promises is kept; and what a configuration may not say is refused.

use std::fs;

use integration::{Context, Test, need, requires, test};
use serde_json::{Value, json};

fn features(t: &Context) -> Value {
    t.coracle().bare().arg("features").run().json()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

fn refused(t: &Context, patches: &[Value]) {
    for patch in patches {
        let output = t.bundle().patch(patch.clone()).run();
        assert_ne!(output.code, 0, "{patch} was accepted");
        output.fails();
    }
}

const OLD: &[(&str, &str)] = &[("runc 1.1", "has another features verb")];

pub const TESTS: &[Test] = &[
    test("features: versions, both accepted in a configuration", &[7, 427, 428, 429, 430], |t| {
        let features = features(t);
        let number = |text: &Value| -> Vec<u32> {
            text.as_str().unwrap().split(['.', '-']).take(3).map(|part| part.parse().unwrap()).collect()
        };
        let (least, most) = (&features["ociVersionMin"], &features["ociVersionMax"]);
        assert!(number(least) <= number(most), "{least} {most}");
        for version in [least, most] {
            t.bundle().patch(json!({"ociVersion": version})).run().ok();
        }
    }),
    test("features: members of the specification only, none of them null", &[426, 431, 435, 445, 447], |t| {
        let features = features(t);
        let known = [
            "ociVersionMin",
            "ociVersionMax",
            "hooks",
            "mountOptions",
            "linux",
            "annotations",
            "potentiallyUnsafeConfigAnnotations",
        ];
        let strange: Vec<&String> =
            features.as_object().unwrap().keys().filter(|key| !known.contains(&key.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert!(!has_null(&features), "{features}");
        assert!(features["annotations"].as_object().is_some_and(|map| map.values().all(Value::is_string)));
        assert_eq!(features["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert!(strings(&features["potentiallyUnsafeConfigAnnotations"]).contains(&"bundle".to_owned()));
    })
    .known(OLD),
    test("features: every listed hook runs", &[432], |t| {
        for hook in strings(&features(t)["hooks"]) {
            let path = if hook == "startContainer" { json!("/guest") } else { json!(t.guest()) };
            let hooks = json!({&hook: [{"path": path, "args": ["guest", "exit", "0"]}]});
            t.bundle().patch(json!({"hooks": hooks})).args(&["/guest", "print", &hook]).run().ok().says(&hook);
        }
    }),
    test("features: every listed mount option is taken", &[433, 434], |t| {
        let bundle = t.bundle();
        fs::create_dir(bundle.path().join("extra")).unwrap();
        let mut bundle = bundle;
        for (number, option) in
            strings(&features(t)["mountOptions"]).iter().enumerate().filter(|(_, option)| *option != "remount")
        {
            let point = format!("/mnt/{number}");
            bundle = bundle.directory(&point);
            let recursive = option.starts_with('r') && !["ro", "rw", "relatime"].contains(&option.as_str());
            let of_links = ["copy-symlink", "src-nofollow", "dest-nofollow"].contains(&option.as_str());
            let mount = if recursive || of_links || option == "bind" {
                json!({"destination": point, "source": "extra", "options": ["bind", option]})
            } else {
                json!({"destination": point, "type": "tmpfs", "source": "tmpfs", "options": [option]})
            };
            bundle = bundle.mount(mount);
        }
        bundle.run().ok();
    })
    .known(OLD),
    test("features: every listed namespace is made", &[436], |t| {
        let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        let names = strings(&features(t)["linux"]["namespaces"]);
        assert_eq!(names.len(), 8, "{names:?}");
        let bundle = names.iter().fold(t.bundle(), |bundle, name| bundle.namespace(json!({"type": name})));
        let facts = bundle.patch(json!({"linux": {"uidMappings": map, "gidMappings": map}})).facts();
        let host = t.helper(&["probe"]).run().facts();
        for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
            let field = format!("/namespaces/{name}");
            assert_ne!(facts.at(&field), host.at(&field), "{name}");
        }
    })
    .known(OLD),
    test("features: every listed memory policy is taken", &[443, 444], |t| {
        requires!(need::path("/proc/self/numa_maps"));
        let listed = features(t)["linux"]["memoryPolicy"].clone();
        for mode in strings(&listed["modes"]) {
            let nodes = if ["MPOL_DEFAULT", "MPOL_LOCAL"].contains(&mode.as_str()) { json!(null) } else { json!("0") };
            t.bundle().patch(json!({"linux": {"memoryPolicy": {"mode": mode, "nodes": nodes}}})).run().ok();
        }
        for flag in strings(&listed["flags"]) {
            t.bundle()
                .patch(json!({"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}}}))
                .run()
                .ok();
        }
        assert_eq!(strings(&listed["modes"]).len(), 7);
    })
    .known(OLD),
    test("features: the same member twice is refused", &[2], |t| {
        let bundle = t.bundle();
        bundle.save();
        let path = bundle.path().join("config.json");
        let text = fs::read_to_string(&path).unwrap().replacen('{', "{\"hostname\": \"first\",", 1);
        fs::write(&path, text).unwrap();
        let run = bundle.coracle().call(["run", "--bundle"]).arg(bundle.path()).arg(bundle.id()).run();
        run.fails();
    })
    .known(&[("runc", "takes the last one")]),
    test("features: cache control without a resctrl file system is refused", &[358, 376], |t| {
        requires!(if need::filesystem("resctrl").is_ok() { Err("this kernel has resctrl") } else { Ok(()) });
        refused(
            t,
            &[
                json!({"linux": {"intelRdt": {"l3CacheSchema": "L3:0=f"}}}),
                json!({"linux": {"intelRdt": {"closID": "moon"}}}),
            ],
        );
    })
    .known(&[("runc 1.1", "ignores it")]),
    test("features: schemata of the wrong form are refused", &[363, 364, 365], |t| {
        let rdt = |value: Value| json!({"linux": {"intelRdt": value}});
        refused(
            t,
            &[
                rdt(json!({"memBwSchema": "L3:0=f"})),
                rdt(json!({"memBwSchema": "MB:0=1\nMB:1=1"})),
                rdt(json!({"schemata": ["L3:0=f\nL3:1=f"]})),
            ],
        );
    })
    .known(&[("runc 1.1", "does not look at schemata")]),
    test("features: incomplete resources are refused", &[341, 342, 343, 347, 351], |t| {
        let resources = |value: Value| json!({"linux": {"resources": value}});
        refused(
            t,
            &[
                resources(json!({"blockIO": {"weightDevice": [{"weight": 100}]}})),
                resources(json!({"blockIO": {"weightDevice": [{"major": 7, "minor": 0}]}})),
                resources(json!({"blockIO": {"throttleReadBpsDevice": [{"major": 7, "minor": 0}]}})),
                resources(json!({"network": {"priorities": [{"name": "lo"}]}})),
                resources(json!({"rdma": {"mlx5_1": {}}})),
            ],
        );
    })
    .known(&[("runc", "takes absent members for 0")]),
];
