//! JSON as the tests use it: merge patches (RFC 7396) and a reader for the report of `guest probe`.

use serde_json::Value;

/// Applies a merge patch: objects are merged member by member, null removes, anything else replaces.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (key, value) in patch {
        if value.is_null() {
            members.remove(key);
        } else {
            merge(members.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The report of `guest probe`.
#[derive(Clone, Debug)]
pub struct Facts(pub Value);

impl Facts {
    /// The fact at a JSON pointer; panics when there is no such member, so that a typing mistake cannot pass.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or_else(|| panic!("the report has no {pointer}"))
    }

    /// Fails unless the fact at the pointer is this value.
    #[track_caller]
    pub fn is(&self, pointer: &str, value: &Value) -> &Facts {
        assert_eq!(self.at(pointer), value, "fact {pointer}");
        self
    }

    /// What is on top at a mount point, if anything is mounted there.
    pub fn mount(&self, point: &str) -> Option<&Value> {
        self.0["mounts"].as_array()?.iter().rfind(|mount| mount["point"] == point)
    }

    /// Options of the mount and of its file system at a mount point; panics when nothing is mounted there.
    #[track_caller]
    pub fn mount_options(&self, point: &str) -> Vec<String> {
        let mount = self.mount(point).unwrap_or_else(|| panic!("nothing is mounted on {point}"));
        let list = |key: &str| mount[key].as_array().cloned().unwrap_or_default();
        let both = list("options").into_iter().chain(list("super"));
        both.filter_map(|option| option.as_str().map(str::to_owned)).collect()
    }

    /// The strings of a list; panics when the fact is none.
    #[track_caller]
    pub fn strings(&self, pointer: &str) -> Vec<&str> {
        let list = self.at(pointer).as_array().unwrap_or_else(|| panic!("{pointer} is no list"));
        list.iter().filter_map(Value::as_str).collect()
    }
}
