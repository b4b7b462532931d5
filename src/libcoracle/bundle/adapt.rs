//! Changes a valid configuration to what the types behind it can take.
//!
//! They know neither null nor the sections of other systems, misspell a few words, and refuse capabilities that they do
//! not know. Most files need none of this and do not come here.

use oci_spec::runtime::Capability;
use serde_json::{Map, Value, json};

/// What the types call otherwise than the specification.
const RENAMED: [(&str, &str); 2] =
    [("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"), ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN")];

/// Sections that are for other systems, or that no version of the specification has at this place.
const FOREIGN: [&str; 6] = ["solaris", "windows", "vm", "zos", "uidMappings", "gidMappings"];

/// Adapts config.json, and says in `warnings` what is lost.
pub fn spec(config: &mut Value, warnings: &mut Vec<String>) {
    let Some(members) = config.as_object_mut() else { return };
    FOREIGN.iter().for_each(|name| drop(members.remove(*name)));
    if let Some(devices) = config.pointer_mut("/linux/netDevices").and_then(Value::as_object_mut) {
        devices.values_mut().filter(|device| device.is_null()).for_each(|device| *device = json!({}));
    }
    forget_nulls(config);
    if let Some(value) = config.pointer_mut("/process") {
        process(value, warnings);
    }
    if let Some(value) = config.pointer_mut("/linux/resources") {
        resources(value);
    }
}

/// Adapts the object `process`.
pub fn process(process: &mut Value, warnings: &mut Vec<String>) {
    forget_nulls(process);
    if let Some(members) = process.as_object_mut() {
        members.entry("user").or_insert_with(|| json!({"uid": 0, "gid": 0}));
    }
    drop_unknown_capabilities(process, warnings);
    if let Some(affinity) = process.pointer_mut("/execCPUAffinity").and_then(Value::as_object_mut) {
        affinity.retain(|_, list| list != "");
    }
    for flag in process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some((_, ours)) = RENAMED.iter().find(|(name, _)| flag == name) {
            *flag = json!(ours);
        }
    }
}

/// Adapts the object `linux.resources`.
pub fn resources(resources: &mut Value) {
    forget_nulls(resources);
    if let Some(members) = resources.as_object_mut() {
        members.retain(|name, pids| name != "pids" || pids.get("limit").is_some());
    }
    for rule in list(resources, "/devices") {
        rule.retain(|name, value| name != "type" || value != "");
    }
    // The largest number the kernel counts pages to; beyond it there is no limit either way.
    for limit in list(resources, "/hugepageLimits").filter_map(|entry| entry.get_mut("limit")) {
        if limit.as_u64().is_some_and(|limit| limit > i64::MAX as u64) {
            *limit = json!(i64::MAX);
        }
    }
}

fn list<'a>(value: &'a mut Value, pointer: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let entries = value.pointer_mut(pointer).and_then(Value::as_array_mut);
    entries.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Null is as good as nothing, as it is to the readers most writers were tried with.
pub fn forget_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(forget_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_nulls),
        _ => {}
    }
}

/// A capability that the kernel or the caller does not know is logged, not refused (config.md, capabilities).
fn drop_unknown_capabilities(process: &mut Value, warnings: &mut Vec<String>) {
    let Some(sets) = process.pointer_mut("/capabilities").and_then(Value::as_object_mut) else { return };
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(|name| {
            let known = serde_json::from_value::<Capability>(name.clone()).is_ok();
            if !known {
                let text = format!("ignoring unknown or unavailable capabilities: [{}]", name.as_str().unwrap_or("?"));
                if !warnings.contains(&text) {
                    warnings.push(text);
                }
            }
            known
        });
    }
}
