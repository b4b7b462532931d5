//! Makes two reports comparable, and lists where they differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

use integration::Bundle;
use serde_json::{Map, Value, json};

/// Removes from a report what differs between any two runs: ids, inodes, numbers of peer groups, times, paths.
pub fn normalise(mut facts: Value, bundle: &Bundle) -> Value {
    facts["mounts"] = mounts(&facts["mounts"]);
    facts["namespaces"] = namespaces(&facts["namespaces"]);
    facts["fds"] = descriptors(&facts["fds"]);
    facts["clocks"] = clocks(&facts["clocks"]);
    facts["identity"] = identity(&facts["identity"]);
    facts["dev"].as_object_mut().into_iter().for_each(|dev| dev.retain(|path, _| !path.starts_with("/dev/pts/")));
    let text = facts.to_string();
    let path = bundle.path().to_string_lossy().into_owned();
    let id = path.rsplit('/').next().unwrap_or_default().to_owned();
    // The container is the first of its bundle: its id is the bundle's name and "-1".
    let text = text.replace(&path, "BUNDLE").replace(&format!("{id}-1"), "ID").replace(&id, "BUNDLE");
    serde_json::from_str(&text).unwrap()
}

/// Mount point to facts; further mounts on the same point get a number. The order of the table says when a mount was
/// made, detached or not, rather than what covers what: it is left out.
fn mounts(list: &Value) -> Value {
    let mut found = Map::new();
    let mut order = Vec::new();
    for mount in list.as_array().into_iter().flatten() {
        let point = mount["point"].as_str().unwrap_or_default();
        let times = order.iter().filter(|other| *other == point).count();
        order.push(point.to_owned());
        let key = if times == 0 { point.to_owned() } else { format!("{point} ({})", times + 1) };
        let kinds = mount["propagation"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let kinds: BTreeSet<&str> = kinds.filter_map(|kind| kind.split(':').next()).collect();
        let root = mount["root"].as_str().unwrap_or_default();
        // Which directory of a device the null device comes from differs with the way it was made.
        let root =
            if mount["type"] == "proc" || mount["type"] == "cgroup2" { root } else { root.trim_start_matches('/') };
        found.insert(
            key,
            json!({
                "type": mount["type"], "source": mount["source"], "propagation": kinds, "root": root,
                "options": sorted(&mount["options"]), "super": sorted(&mount["super"]),
            }),
        );
    }
    Value::Object(found)
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut options: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    options.sort_unstable();
    options
}

/// Whether each namespace is the one of this process.
fn namespaces(map: &Value) -> Value {
    let kind = |name: &str, inode: &Value| {
        let host = fs::metadata(format!("/proc/self/ns/{name}")).map(|meta| meta.ino()).ok();
        if inode.as_u64() == host { "host" } else { "own" }
    };
    let list = map.as_object().into_iter().flatten();
    Value::Object(list.map(|(name, inode)| (name.clone(), json!(kind(name, inode)))).collect())
}

fn descriptors(map: &Value) -> Value {
    let target = |text: &Value| text.as_str().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
    let list = map.as_object().into_iter().flatten();
    Value::Object(list.map(|(number, text)| (number.clone(), json!(target(text)))).collect())
}

fn clocks(map: &Value) -> Value {
    json!({"offsets": map["offsets"]})
}

/// Which of the ids are the process's own, or 0 (outside of the namespace).
fn identity(map: &Value) -> Value {
    let said = |id: &Value| match id {
        id if *id == map["pid"] => "own",
        id if *id == 0 => "outside",
        _ => "other",
    };
    json!({"first": map["pid"] == 1, "parent": said(&map["ppid"]), "group": said(&map["pgid"]), "session": said(&map["sid"])})
}

/// Field, value here, value there, for every leaf that differs.
pub fn table(ours: &Value, theirs: &Value) -> Vec<(String, String, String)> {
    let (mut here, mut there) = (BTreeMap::new(), BTreeMap::new());
    flatten(String::new(), ours, &mut here);
    flatten(String::new(), theirs, &mut there);
    if here.contains_key("outcome") || there.contains_key("outcome") {
        // One of them refused: every other field would be a difference too, and say nothing more.
        let said = |leaves: &BTreeMap<String, String>| {
            let both = leaves.get("outcome").zip(leaves.get("words"));
            both.map_or_else(|| "accepted".into(), |(outcome, words)| format!("{outcome} {words}"))
        };
        let same = here.get("outcome") == there.get("outcome");
        return if same { Vec::new() } else { vec![("outcome".into(), said(&here), said(&there))] };
    }
    let fields: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let value =
        |leaves: &BTreeMap<String, String>, field: &str| leaves.get(field).cloned().unwrap_or_else(|| "-".into());
    let all = fields.into_iter().map(|field| (field.clone(), value(&here, field), value(&there, field)));
    all.filter(|(_, here, there)| here != there).collect()
}

fn flatten(path: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, value) in members {
                let path = if path.is_empty() { key.clone() } else { format!("{path} {key}") };
                flatten(path, value, leaves);
            }
        }
        _ => drop(leaves.insert(path, value.to_string())),
    }
}
