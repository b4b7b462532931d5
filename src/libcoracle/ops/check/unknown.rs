//! Members that no version of the specification has there: they have no effect, and are mostly typing mistakes.

use serde_json::Value;

use super::finding::Findings;
use crate::bundle::members_unknown;

/// Those for other systems, which a configuration may well have.
const FOREIGN: [&str; 5] = ["/solaris", "/windows", "/vm", "/zos", "/freebsd"];

/// A note on each.
pub fn all(config: &Value, findings: &mut Findings) {
    for (pointer, known) in members_unknown(config) {
        if FOREIGN.contains(&pointer.as_str()) {
            findings.note(&pointer, "is for other systems, and has no effect here");
            continue;
        }
        let name = pointer.rsplit('/').next().unwrap_or_default();
        match known.iter().find(|known| is_near(name, known)) {
            Some(meant) => findings.warn(&pointer, format!("is not known and has no effect; {meant:?} may be meant")),
            None => findings.note(&pointer, "is not known and has no effect"),
        }
    }
}

/// Whether two names differ in case, or by one or two letters.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_lowercase(), other.to_lowercase());
    one == other || one.len().min(other.len()) > 3 && distance(&one, &other) <= 2
}

/// How many letters must be changed, added or left out (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let change = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        for (one, other) in
            [("capabilites", "capabilities"), ("noNewPrivs", "noNewPrivileges"), ("readOnly", "readonly")]
        {
            assert_eq!(is_near(one, other), one != "noNewPrivs", "{one}");
        }
        assert!(!is_near("cwd", "env"));
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
