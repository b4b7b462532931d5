//! The accepted differences: configuration, field, peer, reason. `*` stands for any text in the first three.

use std::collections::BTreeSet;
use std::sync::Mutex;

static USED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

fn lines() -> impl Iterator<Item = (usize, [&'static str; 4])> {
    let text = include_str!("../../data/differences.tsv").lines().enumerate().skip(1);
    text.filter_map(|(number, line)| {
        let mut fields = line.split('\t');
        Some((number, [fields.next()?, fields.next()?, fields.next()?, fields.next()?]))
    })
}

/// Whether the difference is explained; marks the explanation as used.
pub fn accepts(configuration: &str, field: &str, peer: &str) -> bool {
    let explains = |line: &[&str; 4]| {
        let pairs = [configuration, field, peer].into_iter().zip(line);
        pairs.into_iter().all(|(text, pattern)| matches(pattern, text))
    };
    let found: Vec<usize> = lines().filter(|(_, line)| explains(line)).map(|(number, _)| number).collect();
    USED.lock().unwrap().extend(&found);
    !found.is_empty()
}

/// Says that this run compares a peer with itself, where nothing is to be explained.
pub fn needless() {
    USED.lock().unwrap().extend(lines().map(|(number, _)| number));
}

/// One complaint for each explanation that was never used.
pub fn unused() -> Vec<String> {
    let used = USED.lock().unwrap();
    let idle = lines().filter(|(number, _)| !used.contains(number));
    idle.map(|(number, line)| format!("differences.tsv:{}: explains nothing: {}", number + 1, line.join(" | ")))
        .collect()
}

/// Whether the text fits the pattern, in which `*` stands for any run of characters.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| matches(rest, &tail[at..]))
        }),
    }
}
