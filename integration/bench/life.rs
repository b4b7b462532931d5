//! The verbs, one container at a time.

use std::path::Path;

use serde_json::json;

use crate::Options;
use crate::bundle::{self, Place};
use crate::figures::Row;
use crate::runtime::Runtime;
use crate::sample::{Sample, summary};

/// The verbs of a container's life, in order.
const LIFE: [&str; 6] = ["create", "state", "start", "exec", "kill", "delete"];

/// Samples of the verbs of a runtime.
struct Taken<'a> {
    runtime: &'a Runtime,
    samples: Vec<(String, Vec<Sample>)>,
}

impl<'a> Taken<'a> {
    fn new(runtime: &'a Runtime) -> Taken<'a> {
        Taken { runtime, samples: Vec::new() }
    }

    fn add(&mut self, verb: &str, sample: Sample) {
        match self.samples.iter_mut().find(|(known, _)| known == verb) {
            Some((_, list)) => list.push(sample),
            None => self.samples.push((verb.to_owned(), vec![sample])),
        }
    }

    fn rows(&self, calls: &[(String, Option<usize>)]) -> Vec<Row> {
        let row = |(verb, samples): &(String, Vec<Sample>)| {
            let mut numbers = summary(samples)?;
            if let Some((_, Some(count))) = calls.iter().find(|(known, _)| known == verb) {
                numbers["calls"] = json!(count);
            }
            Some(Row { verb: verb.clone(), runtime: self.runtime.name.clone(), numbers })
        };
        self.samples.iter().filter_map(row).collect()
    }
}

/// Those that can run the container at all; of the others it is said why not.
pub fn able<'a>(runtimes: &'a [Runtime], bundle: &Path) -> Vec<&'a Runtime> {
    let runs = |runtime: &&Runtime| match runtime.try_measure(&runtime.words("run", bundle, &id(runtime, "try"))) {
        Ok(_) => true,
        Err(said) => {
            eprintln!("bench: does not run here: {said}");
            false
        }
    };
    runtimes.iter().filter(runs).collect()
}

fn id(runtime: &Runtime, what: &str) -> String {
    format!("bench-{what}-{}-{}", runtime.name.replace(' ', "-"), std::process::id())
}

/// `run`, and a life verb by verb.
pub fn whole(options: &Options, place: &Place, runtimes: &[Runtime], part: &str) -> Vec<Row> {
    let config = if part == "docker" { bundle::docker() } else { bundle::spec() };
    let bundle = place.bundle(part, config);
    if part == "docker" {
        place.filter(&bundle, runtimes.get(1).expect("a runtime to measure"));
        place.program(&bundle, "true");
    }
    let able = able(runtimes, &bundle);
    let mut taken: Vec<Taken<'_>> = able.iter().map(|runtime| Taken::new(runtime)).collect();
    for _ in 0..options.rounds {
        for one in &mut taken {
            let words = one.runtime.words("run", &bundle, &id(one.runtime, "run"));
            one.add("run", one.runtime.measure(&words));
        }
        place.program(&bundle, "pause");
        for one in &mut taken {
            live(one, &bundle);
        }
        place.program(&bundle, "true");
    }
    taken.iter().flat_map(|one| one.rows(&calls(place, one.runtime, &bundle))).collect()
}

fn live(one: &mut Taken<'_>, bundle: &Path) {
    let id = id(one.runtime, "life");
    for verb in LIFE {
        one.add(verb, one.runtime.measure(&one.runtime.words(verb, bundle, &id)));
        if verb == "kill" {
            Runtime::reap();
        }
    }
}

fn calls(place: &Place, runtime: &Runtime, bundle: &Path) -> Vec<(String, Option<usize>)> {
    let scratch = place.path("");
    let id = id(runtime, "calls");
    let count = |verb: &str| (verb.to_owned(), runtime.calls(&runtime.words(verb, bundle, &id), &scratch));
    let mut counted = vec![count("run")];
    place.program(bundle, "pause");
    for verb in LIFE {
        counted.push(count(verb));
        if verb == "kill" {
            Runtime::reap();
        }
    }
    place.program(bundle, "true");
    counted
}

fn runs(options: &Options, runtimes: &[Runtime], bundle: &Path, verb: &str) -> Vec<Row> {
    let able = able(runtimes, bundle);
    let mut taken: Vec<Taken<'_>> = able.iter().map(|runtime| Taken::new(runtime)).collect();
    for _ in 0..options.rounds {
        for one in &mut taken {
            one.add(verb, one.runtime.measure(&one.runtime.words("run", bundle, &id(one.runtime, verb))));
        }
    }
    taken.iter().flat_map(|one| one.rows(&[])).collect()
}

/// `run` with each namespace alone, beside the mount namespace.
pub fn namespaces(options: &Options, place: &Place, runtimes: &[Runtime]) -> Vec<Row> {
    let others = runtimes.get(1..).unwrap_or_default();
    let kinds = ["mount", "pid", "network", "ipc", "uts", "cgroup", "user"];
    let one = |kind: &str| runs(options, others, &place.bundle(kind, bundle::alone(kind)), kind);
    kinds.iter().flat_map(|kind| one(kind)).collect()
}

/// `run` by an ordinary user.
pub fn rootless(options: &Options, place: &Place, runtimes: &[Runtime]) -> Vec<Row> {
    const USER: u32 = 1000;
    let theirs: Vec<Runtime> = runtimes.iter().skip(1).map(|runtime| runtime.of_user(USER)).collect();
    runs(options, &theirs, &place.bundle("rootless", bundle::rootless(USER)), "run")
}
