//! The table of weaknesses in SECURITY.md, held against the tests there are.

use integration::{Test, test};

const SECURITY: &str = include_str!("../../../SECURITY.md");

/// The table's rows: the weakness, what is done, how the names of its tests begin, who shows it.
fn rows() -> Vec<[&'static str; 4]> {
    let (_, rest) = SECURITY.split_once("\n| weakness |").expect("SECURITY.md has the table");
    let lines = rest.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let mut fields = line.trim_matches('|').split('|').map(str::trim);
            std::array::from_fn(|_| fields.next().unwrap_or_else(|| panic!("four fields: {line}")))
        })
        .collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Every number of a CVE in a text.
fn numbers(text: &str) -> Vec<&str> {
    let ends = |rest: &str| rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
    text.split("CVE-").skip(1).map(|rest| &rest[..ends(rest)]).collect()
}

pub const TESTS: &[Test] =
    &[test("security: the table of weaknesses names every test there is, and no other", &[], |_| {
        let (rows, tests) = (rows(), crate::tests());
        assert!(rows.len() > 20, "{} rows", rows.len());
        for [weakness, done, named, _] in &rows {
            assert!(!done.is_empty() && quoted(named).next().is_some(), "{weakness}: what is done, and its test");
            for start in quoted(named) {
                assert!(
                    tests.iter().any(|test| test.name().starts_with(start)),
                    "{weakness}: no test is called {start}"
                );
            }
        }
        for test in &tests {
            let topic = test.name().starts_with("escapes: ") || test.name().contains("CVE-");
            let named = rows.iter().any(|[_, _, named, _]| quoted(named).any(|start| test.name().starts_with(start)));
            assert!(!topic || named, "no row names {}", test.name());
            for number in numbers(test.name()) {
                assert!(rows.iter().any(|[weakness, ..]| weakness.contains(number)), "no row is about CVE-{number}");
            }
        }
    })];
