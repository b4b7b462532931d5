//! Which requirement is covered by which test.

use std::collections::BTreeMap;

use crate::registry::Test;

/// Number, level and short title of every requirement.
fn requirements() -> impl Iterator<Item = (u16, &'static str, &'static str)> {
    include_str!("../data/spec-numbers.tsv").lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?.parse().ok()?, fields.next()?, fields.next()?))
    })
}

/// Prints each requirement with its tests, then the uncovered ones and totals.
pub fn print(tests: &[Test]) {
    let mut covered: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for test in tests {
        test.covers.iter().for_each(|number| covered.entry(*number).or_default().push(test.name));
    }
    let (mut total, mut have) = ([0, 0], [0, 0]);
    let mut missing = Vec::new();
    for (number, level, title) in requirements() {
        let must = usize::from(!level.starts_with("MUST"));
        let names = covered.remove(&number).unwrap_or_default();
        if let (Some(total), Some(have)) = (total.get_mut(must), have.get_mut(must)) {
            *total += 1;
            *have += usize::from(!names.is_empty());
        }
        println!("{number}\t{level}\t{title}\t{}", names.join(" "));
        if names.is_empty() && must == 0 {
            missing.push(format!("{number}\t{level}\t{title}"));
        }
    }
    println!("\nMUSTs without a test:\n{}", missing.join("\n"));
    covered
        .iter()
        .for_each(|(number, names)| println!("no requirement has the number {number} of {}", names.join(" ")));
    println!("\ncovered: {} of {} MUSTs, {} of {} others", have[0], total[0], have[1], total[1]);
}
