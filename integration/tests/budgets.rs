//! What the verbs cost, by counts that do not depend on the clock: none may grow past what is recorded in
//! `data/budgets.tsv`, apart from what differs from one run to the next.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use integration::{Call, Cgroup, Container, Context, Coracle, Test, need, requires, skip, test, trace};
use syscalls::Sysno;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/budgets.tsv");

/// How often a verb that took too much is tried again: a signal or a retry is no cost of the verb's.
const TRIES: usize = 3;

/// Numbers of one verb.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    calls: usize,
    execs: usize,
    forks: usize,
    faults: usize,
}

impl Counts {
    /// What may be more than recorded: the length of mountinfo and of /proc/PID/cgroup is the machine's.
    fn with_room(self) -> Counts {
        Counts { calls: self.calls + self.calls / 50 + 4, faults: self.faults + self.faults / 10 + 10, ..self }
    }

    fn fits(self, most: Counts) -> bool {
        self.calls <= most.calls && self.execs <= most.execs && self.forks <= most.forks && self.faults <= most.faults
    }

    fn least(self, other: Counts) -> Counts {
        Counts {
            calls: self.calls.min(other.calls),
            execs: self.execs.min(other.execs),
            forks: self.forks.min(other.forks),
            faults: self.faults.min(other.faults),
        }
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\t{}\t{}\t{}", self.calls, self.execs, self.forks, self.faults)
    }
}

type Table = BTreeMap<(String, String), Counts>;

fn recorded() -> Table {
    let text = fs::read_to_string(FILE).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let number = |at: usize| fields[at].parse().unwrap();
            let counts = Counts { calls: number(2), execs: number(3), forks: number(4), faults: number(5) };
            ((fields[0].to_owned(), fields[1].to_owned()), counts)
        })
        .collect()
}

fn record(layout: &str, found: &[(&str, Counts)]) {
    let text = fs::read_to_string(FILE).unwrap();
    let mut table = recorded();
    table.retain(|(known, _), _| known != layout);
    table.extend(found.iter().map(|(verb, counts)| ((layout.to_owned(), (*verb).to_owned()), *counts)));
    let comment = text.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n"));
    let lines = table.iter().map(|((layout, verb), counts)| format!("{layout}\t{verb}\t{counts}\n"));
    fs::write(FILE, comment.chain(lines).collect::<String>()).unwrap();
}

/// What `call` takes: once counted under a tracer, once measured.
type Taking<'a> = &'a dyn Fn(&Call) -> Counts;

fn traced(call: &Call, scratch: &Path) -> Counts {
    let trace = trace(call, scratch, None, None);
    assert!(trace.code == 0, "{call:?}: {}", trace.text);
    let count = |of: &[Sysno]| trace.calls.iter().filter(|called| of.contains(&called.call)).count();
    Counts {
        calls: trace.calls.len(),
        execs: count(&[Sysno::execve, Sysno::execveat]),
        forks: count(&[Sysno::clone, Sysno::clone3, Sysno::fork, Sysno::vfork]),
        faults: 0,
    }
}

fn measured(call: &Call, floor: &Path, scratch: &Path) -> Counts {
    let said = scratch.join("measured");
    let file = File::options().write(true).create(true).truncate(true).open(&said).unwrap();
    let mut command = call.clone().through(floor, &["measure"]).command();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let status = command.status().unwrap();
    let text = fs::read_to_string(said).unwrap();
    assert!(status.success(), "{call:?}: {text}");
    let faults = text.lines().last().and_then(|line| line.split(' ').nth(3)).unwrap();
    Counts { faults: faults.parse().unwrap(), ..Counts::default() }
}

/// A container's whole life, and another that is run in the foreground; what each verb took.
fn life(t: &Context, coracle: &Coracle, taking: Taking<'_>) -> Vec<(&'static str, Counts)> {
    let short = t.bundle().args(&["/guest", "exit", "0"]);
    short.save();
    let bundle = t.bundle().args(&["/guest", "trap"]);
    bundle.save();
    let id = bundle.id();
    let verb = |words: &[&str]| taking(&coracle.call(words));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let mut found = vec![("run", verb(&["run", "--bundle", &path(short.path()), &short.id()]))];
    found.push(("create", verb(&["create", "--bundle", &path(bundle.path()), &id])));
    let mut container = Container::known(coracle, &id);
    found.push(("state", verb(&["state", &id])));
    found.push(("list", verb(&["list"])));
    found.push(("start", verb(&["start", &id])));
    found.push(("exec", verb(&["exec", &id, "/guest", "exit", "0"])));
    found.push(("kill", verb(&["kill", &id, "KILL"])));
    container.wait();
    found.push(("delete", verb(&["delete", &id])));
    found
}

fn all(t: &Context, coracle: &Coracle) -> Vec<(&'static str, Counts)> {
    let scratch = t.path("");
    let counted = life(t, coracle, &|call| traced(call, &scratch));
    let measured = life(t, coracle, &|call| measured(call, t.floor(), &scratch));
    counted.iter().zip(measured).map(|((verb, c), (_, m))| (*verb, Counts { faults: m.faults, ..*c })).collect()
}

fn keep(t: &Context, coracle: &Coracle, layout: &str) {
    requires!(need::coracle(t));
    let updating = std::env::var_os("UPDATE").is_some();
    let table = recorded();
    if !updating && !table.keys().any(|(known, _)| known == layout) {
        skip(format!("nothing is recorded for cgroups {layout}"));
    }
    let most = |verb: &str| table.get(&(layout.to_owned(), verb.to_owned())).copied().unwrap_or_default().with_room();
    let mut found = all(t, coracle);
    for _ in 1..TRIES {
        if found.iter().all(|(verb, counts)| counts.fits(most(verb))) {
            break;
        }
        let again = all(t, coracle);
        found = found.iter().zip(again).map(|((verb, a), (_, b))| (*verb, a.least(b))).collect();
    }
    found.iter().for_each(|(verb, counts)| println!("budgets {layout}: {verb}\t{counts}"));
    if updating {
        return record(layout, &found);
    }
    let over = found.iter().filter(|(verb, counts)| !counts.fits(most(verb)));
    let over: Vec<String> = over.map(|(verb, counts)| format!("{verb}: {counts}, at most {}", most(verb))).collect();
    assert!(over.is_empty(), "{layout}: calls, execs, forks, faults:\n{}", over.join("\n"));
}

pub const TESTS: &[Test] = &[
    test("budgets: no verb takes more than is recorded", &[], |t| {
        let (names, coracle) = (Cgroup::controllers(), t.coracle());
        keep(t, &coracle, &names);
    }),
    test("budgets: no verb takes more than is recorded, v2 alone", &[], |t| {
        requires!(need::unified());
        if Cgroup::is_v2() {
            skip("the machine has v2 alone anyway");
        }
        keep(t, &t.coracle().v2(), &Cgroup::unified_controllers());
    }),
];
