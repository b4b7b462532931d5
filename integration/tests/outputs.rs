//! What commands print, beside what another runtime prints of the same container: members by name and by kind.

use integration::{Context, Coracle, Test, need, requires, test};
use serde_json::{Value, json};

const RUNC: &str = "/usr/sbin/runc";

/// The shape of a value: members by name, the first of a list for all, and the kind of everything else.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::Array(list) => list.first().map(|first| json!([shape(first)])).unwrap_or_else(|| json!([])),
        Value::String(_) => json!("text"),
        Value::Number(_) => json!("number"),
        Value::Bool(_) => json!("truth"),
        Value::Null => Value::Null,
    }
}

/// What the commands say of a running container, of the same one when it has stopped, and as text.
fn answers(t: &Context, coracle: Coracle) -> (Value, [String; 2]) {
    let bundle = t.bundle().args(&["/guest", "trap"]).patch(json!({"annotations": {"a.b": "c"}})).with(coracle.clone());
    let mut container = bundle.start();
    assert_eq!(container.line(), "ready");
    let list = || coracle.call(["list", "--format", "json"]).run().json();
    let ps = container.call("ps").args(["--format", "json"]).run();
    let running = json!({"state": container.state(), "list": list(), "processes": if ps.code == 0 { ps.json() } else { json!([1]) }});
    let text = container.call("state").run().ok().stdout.clone();
    let table = coracle.call(["list"]).run().ok().stdout.clone();
    let pid = container.pid().to_string();
    container.kill("KILL").ok();
    container.wait();
    let stopped = json!({"state": container.state(), "list": list()});
    let same = |text: String| {
        let created = running["state"]["created"].as_str().unwrap_or_default();
        let text = text.replace(&pid, "PID").replace(created, "CREATED").replace(container.id(), "ID");
        text.replace(bundle.path().to_str().unwrap(), "BUNDLE").replace("1.0.2-dev", "1.3.0")
    };
    (
        json!({"running": running, "stopped": stopped}),
        [same(text), same(table).split_whitespace().collect::<Vec<_>>().join(" ")],
    )
}

pub const TESTS: &[Test] = &[
    test("outputs: state, list and ps have the shape of another runtime's", &[], |t| {
        requires!(need::program(RUNC));
        let ((ours, our_text), (theirs, their_text)) = (answers(t, t.coracle()), answers(t, t.peer(RUNC)));
        assert_eq!(shape(&ours), shape(&theirs));
        for pointer in [
            "/running/state/status",
            "/stopped/state/status",
            "/stopped/state/pid",
            "/running/state/annotations",
            "/running/state/owner",
            "/running/list/0/owner",
            "/stopped/list/0/status",
            "/stopped/list/0/pid",
        ] {
            assert_eq!(ours.pointer(pointer), theirs.pointer(pointer), "{pointer}");
        }
        assert_eq!(our_text, their_text);
    }),
    test("outputs: the configuration to begin with is another runtime's", &[], |t| {
        requires!(need::program(RUNC));
        let of = |coracle: Coracle, name: &str| -> Value {
            let directory = t.path(name);
            std::fs::create_dir(&directory).unwrap();
            coracle.bare().args(["spec", "--bundle"]).arg(&directory).run().ok();
            let mut spec = serde_json::from_slice(&std::fs::read(directory.join("config.json")).unwrap()).unwrap();
            // Each has its own name and version, and runc 1.1 ambient capabilities, which later ones have not.
            integration::merge(
                &mut spec,
                &json!({"hostname": null, "ociVersion": null, "process": {"capabilities": {"ambient": null}}}),
            );
            spec
        };
        assert_eq!(of(t.coracle(), "ours"), of(t.peer(RUNC), "theirs"));
    }),
    test("outputs: features have every member of another runtime's", &[], |t| {
        requires!(need::program(RUNC));
        fn lacks(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
            match (ours, theirs) {
                (Value::Object(ours), Value::Object(theirs)) => {
                    for (name, value) in theirs {
                        lacks(&format!("{path}/{name}"), ours.get(name).unwrap_or(&Value::Null), value, found);
                    }
                }
                (Value::Array(ours), Value::Array(theirs)) => {
                    found.extend(theirs.iter().filter(|one| !ours.contains(one)).map(|one| format!("{path}: {one}")));
                }
                (ours, theirs) if shape(ours) == shape(theirs) => {}
                _ => found.push(path.to_owned()),
            }
        }
        let of = |coracle: Coracle| coracle.bare().arg("features").run().json();
        let mut found = Vec::new();
        lacks("", &of(t.coracle()), &of(t.peer(RUNC)), &mut found);
        // The file systems that have access lists take these themselves; later versions of runc leave them to them.
        found.retain(|path| !path.ends_with("acl\""));
        // A commit is for the runtime that made it (features.md).
        found.retain(|path| path != "/annotations/org.opencontainers.runc.commit");
        assert_eq!(found, Vec::<String>::new());
    }),
];
