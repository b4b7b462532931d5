//! Members that the tables of `schema` do not list.

use coracle_plan::invalid::escape;
use serde_json::Value;

use super::schema::{SPEC, Shape};

/// The pointer of each member of a configuration that is not known, and what is known beside it.
pub fn members_unknown(config: &Value) -> Vec<(String, Vec<&'static str>)> {
    let mut found = Vec::new();
    walk(config, &SPEC, String::new(), &mut found);
    found
}

fn walk(value: &Value, shape: &Shape, pointer: String, found: &mut Vec<(String, Vec<&'static str>)>) {
    let below = |name: &str| format!("{pointer}/{}", escape(name));
    match (shape, value) {
        (Shape::Object(fields), Value::Object(members)) => {
            for (name, member) in members {
                match fields.iter().find(|field| field.name == name) {
                    Some(field) => walk(member, &field.shape, below(name), found),
                    None => found.push((below(name), fields.iter().map(|field| field.name).collect())),
                }
            }
        }
        (Shape::Map(item), Value::Object(members)) => {
            members.iter().for_each(|(name, member)| walk(member, item, below(name), found));
        }
        (Shape::List(item) | Shape::Filled(item), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(i, member)| walk(member, item, format!("{pointer}/{i}"), found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_that_are_not_listed() {
        let config = serde_json::json!({
            "process": {"capabilites": {}, "user": {"uid": 0}}, "mounts": [{"destination": "/x"}, {"dest/x": "/x"}],
            "annotations": {"any": "thing"}
        });
        let found: Vec<String> = members_unknown(&config).into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(found, ["/mounts/1/dest~1x", "/process/capabilites"]);
    }
}
