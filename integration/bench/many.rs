//! Many containers: listed, one after the other, at once.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::Options;
use crate::bundle::{self, Place};
use crate::figures::Row;
use crate::life::able;
use crate::runtime::Runtime;
use crate::sample::{spread, summary};

const LISTED: [usize; 3] = [1, 100, 1000];
const IN_A_ROW: usize = 100;
const AT_ONCE: usize = 50;
const TIMES: usize = 3;

fn id(number: usize) -> String {
    format!("bench-{}-{number}", std::process::id())
}

fn row(verb: &str, runtime: &Runtime, numbers: Value) -> Row {
    Row { verb: verb.to_owned(), runtime: runtime.name.clone(), numbers }
}

/// `list` with ever more created containers.
pub fn lists(options: &Options, place: &Place, runtimes: &[Runtime]) -> Vec<Row> {
    let bundle = place.bundle("list-pause", bundle::spec());
    let mut rows = Vec::new();
    for runtime in able(runtimes.get(1..).unwrap_or_default(), &place.bundle("list", bundle::spec())) {
        let mut there = 0;
        for wanted in LISTED {
            for number in there..wanted {
                runtime.measure(&runtime.words("create", &bundle, &id(number)));
            }
            there = wanted;
            let list = runtime.words("list", &bundle, "");
            let samples: Vec<_> = (0..options.rounds).map(|_| runtime.measure(&list)).collect();
            rows.extend(summary(&samples).map(|numbers| row(&format!("list of {wanted}"), runtime, numbers)));
        }
        for number in 0..there {
            runtime.measure(&runtime.words("delete-force", &bundle, &id(number)));
        }
        Runtime::reap();
    }
    rows
}

/// All of them, `verb` at once.
fn at_once(runtime: &Runtime, verb: &str, bundle: &Path) -> f64 {
    let begin = Instant::now();
    let calls: Vec<_> = (0..AT_ONCE).map(|number| runtime.spawn(&runtime.words(verb, bundle, &id(number)))).collect();
    for mut call in calls {
        assert!(call.wait().expect("wait for a call").success(), "{} {verb}, {AT_ONCE} at once", runtime.name);
    }
    begin.elapsed().as_secs_f64() * 1e3
}

fn in_a_row(runtime: &Runtime, bundle: &Path) -> f64 {
    let begin = Instant::now();
    for number in 0..IN_A_ROW {
        for verb in ["create", "start", "kill"] {
            runtime.measure(&runtime.words(verb, bundle, &id(number)));
        }
        Runtime::reap();
        runtime.measure(&runtime.words("delete", bundle, &id(number)));
    }
    begin.elapsed().as_secs_f64() * 1e3
}

/// A hundred lives in a row, and fifty at once, by turns.
pub fn many(_: &Options, place: &Place, runtimes: &[Runtime]) -> Vec<Row> {
    let bundle = place.bundle("many-pause", bundle::spec());
    let able = able(runtimes, &place.bundle("many", bundle::spec()));
    let mut times: Vec<(String, &Runtime, Vec<f64>)> = Vec::new();
    for _ in 0..TIMES {
        for runtime in &able {
            let mut add =
                |verb: String, took: f64| match times.iter_mut().find(|(v, r, _)| *v == verb && r.name == runtime.name)
                {
                    Some((_, _, list)) => list.push(took),
                    None => times.push((verb, runtime, vec![took])),
                };
            add(format!("{IN_A_ROW} in a row"), in_a_row(runtime, &bundle));
            for verb in ["create", "start", "kill"] {
                add(format!("{AT_ONCE} at once: {verb}"), at_once(runtime, verb, &bundle));
            }
            Runtime::reap();
            add(format!("{AT_ONCE} at once: delete"), at_once(runtime, "delete", &bundle));
        }
    }
    let numbers = |list: &[f64]| {
        let (middle, low, high) = spread(list.to_vec())?;
        Some(json!({"wall_ms": middle.round(), "wall_low_ms": low.round(), "wall_high_ms": high.round()}))
    };
    times.iter().filter_map(|(verb, runtime, list)| Some(row(verb, runtime, numbers(list)?))).collect()
}
