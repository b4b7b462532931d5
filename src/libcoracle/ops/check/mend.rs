//! Taking a fault out of a configuration, as small as it can be, so that the next one shows.

use std::collections::BTreeMap;

use coracle_plan::Invalid;
use nix::unistd::getegid;
use serde_json::{Value, json};

use crate::ops::spec::spec;

/// A configuration with faults taken out.
pub struct Mend {
    config: Value,
    /// What a value that must be there is replaced with.
    defaults: Value,
    /// Of each list that lost entries, by its original pointer: the original places of those left.
    places: BTreeMap<String, Vec<usize>>,
    /// What was tried at each pointer, how often, and what was wrong there.
    tried: BTreeMap<String, Vec<String>>,
}

/// What has a meaning for everything else is not taken out as a whole.
const KEEP: [&str; 7] = ["", "/process", "/root", "/linux", "/linux/resources", "/hooks", "/process/user"];

impl Mend {
    /// `euid` tells for whom the replacements must work.
    pub fn new(config: Value, euid: u32) -> Mend {
        let rootless = (euid != 0).then(|| (euid, getegid().as_raw()));
        let mut defaults = serde_json::to_value(spec(rootless, false)).unwrap_or_default();
        let all = json!([{"containerID": 0, "hostID": 0, "size": u32::MAX}]);
        if rootless.is_none()
            && let Some(linux) = defaults["linux"].as_object_mut()
        {
            // Only looked at where a user namespace lacks them.
            linux.insert("uidMappings".to_owned(), all.clone());
            linux.insert("gidMappings".to_owned(), all);
        }
        Mend { config, defaults, places: BTreeMap::new(), tried: BTreeMap::new() }
    }

    /// The configuration as it is now.
    pub fn text(&self) -> String {
        self.config.to_string()
    }

    /// Where `invalid` is in the configuration as it was written, unless it only follows from another fault, or repeats
    /// it for a neighbour in a list.
    pub fn news(&self, invalid: &Invalid) -> Option<String> {
        let pointer = self.original(&invalid.pointer);
        let mended = self.tried.contains_key(&pointer);
        let list = pointer.rsplit_once('/').filter(|(_, last)| last.parse::<usize>().is_ok()).map(|(list, _)| list);
        let neighbour = list.is_some_and(|list| {
            let near = |other: &str| other.rsplit_once('/').is_some_and(|(other, _)| other == list);
            self.tried.iter().any(|(other, said)| near(other) && said.contains(&invalid.problem))
        });
        (!mended && !neighbour).then_some(pointer)
    }

    /// Changes what `invalid` points to, or if that was not enough, what it is part of. `false` if there is nothing left
    /// to change.
    pub fn mend(&mut self, invalid: &Invalid) -> bool {
        let pointer = invalid.pointer.as_str();
        let said = self.tried.entry(self.original(pointer)).or_default();
        let again = !said.is_empty();
        said.push(invalid.problem.clone());
        let there = self.config.pointer(pointer).is_some();
        if !again && self.replace(pointer) {
            return true;
        }
        if there && !KEEP.contains(&pointer) {
            return self.remove(pointer);
        }
        let mut above = pointer;
        while let Some((parent, _)) = above.rsplit_once('/') {
            above = parent;
            if KEEP.contains(&above) {
                return false;
            }
            if self.config.pointer(above).is_some() {
                return self.remove(above);
            }
        }
        false
    }

    /// Puts the default in the place, if there is another one. What is in a list has none.
    fn replace(&mut self, pointer: &str) -> bool {
        let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
        let Some(default) = self.defaults.pointer(pointer).cloned() else { return false };
        if parts(pointer).any(|part| part.parse::<usize>().is_ok()) {
            return false;
        }
        let Some(members) = self.config.pointer_mut(parent).and_then(Value::as_object_mut) else { return false };
        members.insert(unescape(name), default.clone()).is_none_or(|old| old != default)
    }

    fn remove(&mut self, pointer: &str) -> bool {
        let Some((parent, name)) = pointer.rsplit_once('/') else { return false };
        let list = self.original(parent);
        match self.config.pointer_mut(parent) {
            Some(Value::Object(members)) => members.remove(&unescape(name)).is_some(),
            Some(Value::Array(items)) => {
                let Some(index) = name.parse().ok().filter(|index| *index < items.len()) else { return false };
                self.places.entry(list).or_insert_with(|| (0..items.len()).collect()).remove(index);
                items.remove(index);
                true
            }
            _ => false,
        }
    }

    /// `pointer`, as of now, in the configuration as it was written.
    fn original(&self, pointer: &str) -> String {
        parts(pointer).fold(String::new(), |before, part| {
            let place = self.places.get(&before).zip(part.parse::<usize>().ok());
            match place.and_then(|(places, index)| places.get(index)) {
                Some(index) => format!("{before}/{index}"),
                None => format!("{before}/{part}"),
            }
        })
    }
}

fn parts(pointer: &str) -> impl Iterator<Item = &str> {
    pointer.split('/').skip(1)
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_those_of_the_file_whatever_was_taken_out_before() {
        let config = json!({"mounts": [{"a": 0}, {"a": 1}, {"a": 2}, {"a": 3}], "process": {"args": []}});
        let mut mend = Mend::new(config, 0);
        let invalid = |pointer: &str| Invalid::new(pointer, "x");
        assert!(mend.mend(&invalid("/mounts/1/b")), "what lacks a member goes as a whole");
        assert_eq!(mend.original("/mounts/1/a"), "/mounts/2/a");
        assert!(mend.mend(&invalid("/mounts/1")));
        assert_eq!(mend.text(), r#"{"mounts":[{"a":0},{"a":3}],"process":{"args":[]}}"#);
        assert_eq!(mend.original("/mounts/1"), "/mounts/3");
        assert_eq!(mend.news(&invalid("/mounts/1")), None, "the same as its neighbour's");
        assert!(mend.mend(&invalid("/process/args")));
        assert_eq!(mend.config["process"]["args"], json!(["sh"]));
        assert!(mend.mend(&invalid("/process")), "the default takes its place, once");
        assert!(!mend.mend(&invalid("/process")));
    }
}
