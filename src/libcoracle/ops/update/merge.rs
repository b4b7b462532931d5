//! `linux.resources` as JSON: what an update adds to what holds already.

use serde_json::{Map, Value};

/// Numbers that are as good as absent when they are 0, as in all clients.
const NOT_ZERO: &[(&str, &[&str])] = &[
    ("memory", &["limit", "reservation", "swap", "kernel", "kernelTCP"]),
    ("cpu", &["shares", "quota", "period", "realtimeRuntime", "realtimePeriod"]),
    ("blockIO", &["weight", "leafWeight"]),
];

/// Lists whose entries are about different things, and the members that name them.
const KEYED: &[(&str, &[&str])] = &[
    ("weightDevice", &["major", "minor"]),
    ("throttleReadBpsDevice", &["major", "minor"]),
    ("throttleWriteBpsDevice", &["major", "minor"]),
    ("throttleReadIOPSDevice", &["major", "minor"]),
    ("throttleWriteIOPSDevice", &["major", "minor"]),
    ("hugepageLimits", &["pageSize"]),
    ("priorities", &["name"]),
];

/// `asked` without what asks for nothing: null, empty texts and objects, zeros that stand for them, and the rules for
/// devices, which an update never touches.
pub fn pruned(mut asked: Value) -> Value {
    let Some(members) = asked.as_object_mut() else { return Value::Object(Map::new()) };
    members.remove("devices");
    for (name, numbers) in NOT_ZERO {
        if let Some(part) = members.get_mut(*name).and_then(Value::as_object_mut) {
            part.retain(|name, value| value.as_i64() != Some(0) || !numbers.contains(&name.as_str()));
        }
    }
    members.values_mut().filter_map(Value::as_object_mut).for_each(|part| part.retain(|_, value| !is_nothing(value)));
    members.retain(|_, part| !is_nothing(part));
    asked
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `asked` with what cannot be set without another value, from `stored`: quota and period are one file on v2, a limit
/// on swap is counted from the one on memory there, and the configuration may want memory limits checked.
pub fn completed(mut asked: Value, stored: &Value) -> Value {
    for (part, given, other) in [
        ("cpu", "quota", "period"),
        ("cpu", "period", "quota"),
        ("memory", "swap", "limit"),
        ("memory", "limit", "checkBeforeUpdate"),
    ] {
        let Some(members) = asked.get_mut(part).and_then(Value::as_object_mut) else { continue };
        if members.contains_key(given)
            && !members.contains_key(other)
            && let Some(value) = stored.get(part).and_then(|part| part.get(other)).filter(|value| !value.is_null())
        {
            members.insert(other.to_owned(), value.clone());
        }
    }
    asked
}

/// `stored` with what was `asked` for in the place of what it had.
pub fn merged(mut stored: Value, asked: Value) -> Value {
    let had = |part: &str, name: &str| asked.get(part).is_some_and(|part| part.get(name).is_some());
    // Shares mean nothing while a cgroup is idle, and are forgotten by the kernel.
    let shares = had("cpu", "idle") && !had("cpu", "shares");
    let swap = had("memory", "limit") && !had("memory", "swap");
    overlay("", &mut stored, asked);
    if let Some(cpu) = stored.get_mut("cpu").and_then(Value::as_object_mut).filter(|_| shares) {
        cpu.remove("shares");
    }
    if let Some(memory) = stored.get_mut("memory").and_then(Value::as_object_mut).filter(|_| swap) {
        // Swap alone stays what it was, so a limit on both together is no longer what was written down.
        let bytes = |name: &str| memory.get(name).and_then(Value::as_i64).unwrap_or_default();
        if bytes("swap") > 0 && bytes("swap") < bytes("limit") {
            memory.remove("swap");
        }
    }
    stored
}

fn overlay(name: &str, below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                overlay(&name, below.entry(&name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(below), Value::Array(above)) => {
            let Some((_, keys)) = KEYED.iter().find(|(keyed, _)| *keyed == name) else {
                *below = above;
                return;
            };
            for entry in above {
                let same = |other: &&mut Value| keys.iter().all(|key| other.get(*key) == entry.get(*key));
                match below.iter_mut().find(same) {
                    Some(other) => overlay("", other, entry),
                    None => below.push(entry),
                }
            }
        }
        (below, above) => *below = above,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_asks_for_nothing() {
        let asked = json!({
            "devices": [{"allow": true}],
            "memory": {"limit": 0, "swap": null, "checkBeforeUpdate": false},
            "cpu": {"shares": 0, "burst": 0, "idle": 0, "cpus": ""},
            "pids": {"limit": 0},
            "blockIO": {"weight": 0, "weightDevice": []},
            "network": null,
        });
        let left =
            json!({"memory": {"checkBeforeUpdate": false}, "cpu": {"burst": 0, "idle": 0}, "pids": {"limit": 0}});
        assert_eq!(pruned(asked), left);
        assert_eq!(pruned(Value::Null), json!({}));
    }

    #[test]
    fn what_goes_together() {
        let stored = json!({
            "cpu": {"quota": 5000, "period": 20000, "shares": 7},
            "memory": {"limit": 100, "swap": 200, "checkBeforeUpdate": true},
        });
        let cases = [
            (json!({"cpu": {"quota": 1}}), json!({"cpu": {"quota": 1, "period": 20000}})),
            (json!({"cpu": {"period": 1}}), json!({"cpu": {"period": 1, "quota": 5000}})),
            (json!({"cpu": {"period": 1, "quota": 2}}), json!({"cpu": {"period": 1, "quota": 2}})),
            (json!({"cpu": {"shares": 1}}), json!({"cpu": {"shares": 1}})),
            (json!({"memory": {"swap": 1}}), json!({"memory": {"swap": 1, "limit": 100, "checkBeforeUpdate": true}})),
            (json!({"memory": {"limit": 1}}), json!({"memory": {"limit": 1, "checkBeforeUpdate": true}})),
            (
                json!({"memory": {"limit": 1, "checkBeforeUpdate": false}}),
                json!({"memory": {"limit": 1, "checkBeforeUpdate": false}}),
            ),
            (json!({"pids": {"limit": 1}}), json!({"pids": {"limit": 1}})),
        ];
        for (asked, want) in cases {
            assert_eq!(completed(asked.clone(), &stored), want, "{asked}");
            assert_eq!(completed(asked.clone(), &json!({})), asked);
        }
    }

    #[test]
    fn what_is_in_force_then() {
        let device = |major, rate| json!({"major": major, "minor": 0, "rate": rate});
        let cases = [
            (json!({}), json!({"pids": {"limit": 1}}), json!({"pids": {"limit": 1}})),
            (
                json!({"pids": {"limit": 1}}),
                json!({"cpu": {"quota": 2}}),
                json!({"pids": {"limit": 1}, "cpu": {"quota": 2}}),
            ),
            (
                json!({"cpu": {"shares": 5, "cpus": "0"}}),
                json!({"cpu": {"idle": 1}}),
                json!({"cpu": {"idle": 1, "cpus": "0"}}),
            ),
            (
                json!({"cpu": {"idle": 1}}),
                json!({"cpu": {"idle": 0, "shares": 9}}),
                json!({"cpu": {"idle": 0, "shares": 9}}),
            ),
            (
                json!({"memory": {"limit": 1, "swap": 3}}),
                json!({"memory": {"limit": 2}}),
                json!({"memory": {"limit": 2, "swap": 3}}),
            ),
            (
                json!({"memory": {"limit": 1, "swap": 3}}),
                json!({"memory": {"limit": 4}}),
                json!({"memory": {"limit": 4}}),
            ),
            (
                json!({"blockIO": {"throttleReadBpsDevice": [device(8, 1), device(9, 1)]}}),
                json!({"blockIO": {"throttleReadBpsDevice": [device(9, 2), device(7, 2)]}}),
                json!({"blockIO": {"throttleReadBpsDevice": [device(8, 1), device(9, 2), device(7, 2)]}}),
            ),
            (
                json!({"unified": {"a": "1", "b": "2"}}),
                json!({"unified": {"a": "3"}}),
                json!({"unified": {"a": "3", "b": "2"}}),
            ),
            (json!({"memory": null}), json!({"memory": {"limit": 1}}), json!({"memory": {"limit": 1}})),
        ];
        for (stored, asked, want) in cases {
            assert_eq!(merged(stored.clone(), asked.clone()), want, "{stored} {asked}");
        }
    }
}
