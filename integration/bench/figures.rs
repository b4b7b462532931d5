//! What was measured: rows of cgroups, part, verb and runtime, each with named numbers.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// A verb or another thing that was measured, of a runtime.
#[derive(Clone, Debug)]
pub struct Row {
    pub verb: String,
    pub runtime: String,
    pub numbers: Value,
}

/// All rows, as docs/performance.json has them.
#[derive(Debug, Default)]
pub struct Figures {
    machine: Value,
    rows: Vec<Value>,
}

impl Figures {
    /// Those of a file; none when there is no such file.
    pub fn load(path: &Path) -> Figures {
        let value: Value =
            fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let rows = value["rows"].as_array().cloned().unwrap_or_default();
        Figures { machine: value["machine"].clone(), rows }
    }

    pub fn save(&self, path: &Path) {
        let lines: Vec<String> = self.rows.iter().map(ToString::to_string).collect();
        let text = format!("{{\"machine\": {},\n\"rows\": [\n{}\n]}}\n", self.machine, lines.join(",\n"));
        fs::write(path, text).expect("write the figures");
    }

    pub fn describe(&mut self, machine: Value) {
        self.machine = machine;
    }

    pub fn machine(&self) -> &Value {
        &self.machine
    }

    pub fn add(&mut self, cgroups: &str, part: &str, rows: Vec<Row>) {
        self.rows.extend(rows.into_iter().map(|row| {
            let mut value = Map::new();
            for (key, text) in [("cgroups", cgroups), ("part", part), ("verb", &row.verb), ("runtime", &row.runtime)] {
                value.insert(key.to_owned(), json!(text));
            }
            value.extend(row.numbers.as_object().cloned().unwrap_or_default());
            Value::Object(value)
        }));
    }

    /// Takes the parts that `newer` has from there.
    pub fn replace(&mut self, newer: &Figures) {
        let same = |a: &Value, b: &Value| a["cgroups"] == b["cgroups"] && a["part"] == b["part"];
        self.rows.retain(|row| !newer.rows.iter().any(|other| same(row, other)));
        self.rows.extend(newer.rows.iter().cloned());
    }

    /// The different values of a member among the rows of a part, in their order.
    pub fn all(&self, cgroups: &str, part: &str, member: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for row in self.rows.iter().filter(|row| row["cgroups"] == cgroups && row["part"] == part) {
            let value = row[member].as_str().unwrap_or_default();
            if !found.iter().any(|known| known == value) {
                found.push(value.to_owned());
            }
        }
        found
    }

    /// The row of a runtime's verb.
    pub fn row(&self, cgroups: &str, part: &str, verb: &str, runtime: &str) -> Option<&Value> {
        let is = |row: &&Value, member: &str, value: &str| row[member] == value;
        self.rows.iter().find(|row| {
            is(row, "cgroups", cgroups) && is(row, "part", part) && is(row, "verb", verb) && is(row, "runtime", runtime)
        })
    }
}
