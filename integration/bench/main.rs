//! Measures runtimes by turns, so that whatever else the machine does hits all of them, and writes what came out:
//! a table into docs/performance.md, docs/performance.json and docs/performance.svg. `hack/bench` calls it.
//!
//! ```text
//! bench [--rounds N] [--parts PART,…] [--docs DIRECTORY] --floor PATH --guest PATH RUNTIME…
//! ```

#![expect(clippy::expect_used, clippy::panic, reason = "a measurement that fails is none")]

mod bundle;
mod chart;
mod figures;
mod life;
mod machine;
mod many;
mod memory;
mod report;
mod runtime;
mod sample;

use std::path::PathBuf;
use std::process::Command;

use figures::Figures;
use runtime::Runtime;

/// What can be measured, in the order of the report.
pub const PARTS: [&str; 7] = ["spec", "docker", "namespaces", "rootless", "list", "many", "memory"];

/// The command line.
#[derive(Debug)]
pub struct Options {
    rounds: usize,
    parts: Vec<String>,
    docs: PathBuf,
    floor: PathBuf,
    guest: PathBuf,
    runtimes: Vec<PathBuf>,
    /// Measure in this process, for these cgroups, into this file.
    inside: Option<(String, PathBuf)>,
}

impl Options {
    fn read() -> Options {
        let mut options = Options {
            rounds: 30,
            parts: PARTS.iter().map(|part| (*part).to_owned()).collect(),
            docs: "docs".into(),
            floor: PathBuf::new(),
            guest: PathBuf::new(),
            runtimes: Vec::new(),
            inside: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().expect("an option has a value");
            match word.as_str() {
                "--rounds" => options.rounds = value().parse().expect("a number of rounds"),
                "--parts" => options.parts = value().split(',').map(str::to_owned).collect(),
                "--docs" => options.docs = value().into(),
                "--floor" => options.floor = value().into(),
                "--guest" => options.guest = value().into(),
                "--inside" => options.inside = Some((value(), value().into())),
                path => options.runtimes.push(path.into()),
            }
        }
        for part in &options.parts {
            assert!(PARTS.contains(&part.as_str()), "{part} is none of {}", PARTS.join(", "));
        }
        options
    }
}

fn main() {
    let options = Options::read();
    if let Some((cgroups, file)) = &options.inside {
        machine::enter(cgroups);
        return measure(&options, cgroups).save(file);
    }
    let kept = options.docs.join("performance.json");
    let mut figures = Figures::load(&kept);
    let file = std::env::temp_dir().join(format!("bench-{}.json", std::process::id()));
    for cgroups in machine::cgroups() {
        let own = std::env::current_exe().expect("the path of this program");
        let mut command = Command::new(own);
        command.args(std::env::args_os().skip(1)).arg("--inside").arg(cgroups).arg(&file);
        let mut child = command.spawn().expect("run this program");
        let done = child.wait().expect("wait for this program").success();
        let _ = std::fs::remove_dir_all(bundle::Place::of(child.id()));
        assert!(done, "measuring with cgroups {cgroups} failed");
        figures.replace(&Figures::load(&file));
    }
    let _ = std::fs::remove_file(&file);
    figures.describe(machine::describe(&options));
    figures.save(&kept);
    report::write(&figures, &options.docs.join("performance.md"));
    chart::write(&figures, &options.docs.join("performance.svg"));
}

fn measure(options: &Options, cgroups: &str) -> Figures {
    let place = bundle::Place::new(options);
    let runtimes = Runtime::all(options, &place);
    let mut figures = Figures::default();
    for part in &options.parts {
        eprintln!("bench: cgroups {cgroups}: {part}");
        let rows = match part.as_str() {
            "spec" | "docker" => life::whole(options, &place, &runtimes, part),
            "namespaces" => life::namespaces(options, &place, &runtimes),
            "rootless" => life::rootless(options, &place, &runtimes),
            "list" => many::lists(options, &place, &runtimes),
            "many" => many::many(options, &place, &runtimes),
            _ => memory::memory(&place, &runtimes),
        };
        figures.add(cgroups, part, rows);
    }
    figures
}
