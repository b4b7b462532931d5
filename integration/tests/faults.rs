//! Every system call of every verb fails once with each error it can return, and is the last of its process once:
//! nothing may leak, the truth must be told, and the verb must succeed the next time.
//!
//! By default a sample, the same each time and on each machine; `FAULTS=all` tries every one, `FAULTS=N` that many of a
//! verb. `FAULTS_SEED=N` draws another sample, `FAULTS_SEED=random` a new one each time. `FAULTS_TELL=1` names each before it is tried.

mod errnos;
mod images;
mod shims;
mod trial;
mod verbs;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use integration::{Context, Fault, Test, need, requires, test};
use serde_json::json;

use images::Imaging;
use shims::Shimming;
use trial::{Outcome, Tried};
use verbs::{Runtime, Subject, VERBS};

/// Faults of a verb that are tried unless more are asked for.
const BY_DEFAULT: usize = 30;
/// The same of `checkpoint`, which takes ten times as long.
const OF_CHECKPOINT: usize = 8;

/// What happened, by number.
#[derive(Default)]
struct Tally {
    tried: usize,
    survived: usize,
    failed: usize,
    missed: usize,
    unnamed: Vec<String>,
    violated: Vec<String>,
}

fn count(name: &str) -> usize {
    match std::env::var("FAULTS").as_deref() {
        Ok("all") => usize::MAX,
        Ok(number) => number.parse().expect("FAULTS is a number or `all`"),
        Err(_) if name == "checkpoint" => OF_CHECKPOINT,
        Err(_) => BY_DEFAULT,
    }
}

/// What the order of the faults follows from.
fn seed() -> usize {
    match std::env::var("FAULTS_SEED").as_deref() {
        Ok("random") => {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.subsec_micros() as usize)
        }
        Ok(number) => number.parse().expect("FAULTS_SEED is a number or `random`"),
        Err(_) => 1,
    }
}

/// The faults in the order that belongs to the seed: each has its place by itself, so that a call more or less in the
/// record, which depends on which process was quicker, leaves the sample as it is.
fn shuffled(mut faults: Vec<Fault>, seed: usize) -> Vec<Fault> {
    faults.sort_by_cached_key(|fault| {
        let mut hasher = DefaultHasher::new();
        (seed, fault.to_string()).hash(&mut hasher);
        hasher.finish()
    });
    faults
}

fn runtime(t: &Context, name: &str) {
    if name == "checkpoint" {
        requires!(need::criu());
    }
    let verb = VERBS.iter().find(|verb| verb.name == name).unwrap();
    // Of a version that older runtimes take, too.
    let bundle = t.bundle().patch((verb.patch)()).patch(json!({"ociVersion": "1.0.2"})).args(&["/guest", "trap"]);
    bundle.save();
    let coracle = t.coracle();
    let subject = Subject { bundle: &bundle, coracle: &coracle, id: bundle.id() };
    perform(t, name, &Runtime { subject, verb });
}

fn image(t: &Context, name: &str) {
    perform(t, name, &Imaging::new(t, name));
}

fn shim(t: &Context, name: &str) {
    perform(t, name, &Shimming::new(t, name));
}

fn perform(t: &Context, name: &str, tried: &dyn Tried) {
    let scratch = t.path("");
    let learn = || {
        let plain = trial::traced(tried, &scratch, None);
        assert!(plain.code == 0, "without a fault: {}", plain.text);
        tried.clean().unwrap();
        plain
    };
    // The first time there are directories to make that every other one finds.
    learn();
    let plain = learn();
    let faults = trial::faults(&plain.calls);
    let seed = seed();
    let (all, mut tally) = (faults.len(), Tally::default());
    for fault in shuffled(faults, seed).into_iter().take(count(name)) {
        let place = format!("{name}: {fault}");
        if std::env::var_os("FAULTS_TELL").is_some() {
            println!("{place}");
        }
        tally.tried += 1;
        match trial::trial(tried, &scratch, t.token(), fault) {
            Outcome::Survived => tally.survived += 1,
            Outcome::Failed => tally.failed += 1,
            Outcome::Missed => tally.missed += 1,
            Outcome::Unnamed(text) => told(&mut tally.unnamed, format!("{place}: {text}")),
            Outcome::Violated(text) => told(&mut tally.violated, format!("{place}: {text}")),
        }
    }
    report(name, seed, (plain.calls.len(), all), &tally);
}

/// At once, too, for runs that take long.
fn told(list: &mut Vec<String>, wrong: String) {
    println!("{wrong}");
    list.push(wrong);
}

fn report(name: &str, seed: usize, (calls, faults): (usize, usize), tally: &Tally) {
    let Tally { tried, survived, failed, missed, unnamed, violated } = tally;
    println!(
        "faults {name}: {calls} calls, {faults} faults, {tried} tried (seed {seed}): {survived} survived, {failed} failed cleanly, \
         {missed} missed, {} without the error's name, {} violations",
        unnamed.len(),
        violated.len()
    );
    let list: Vec<&str> = unnamed.iter().chain(violated).map(String::as_str).collect();
    assert!(list.is_empty(), "{}", list.join("\n"));
}

macro_rules! verb {
    ($name:literal) => {
        verb!($name, runtime)
    };
    ($name:literal, $of:ident) => {
        test(concat!("faults: ", $name), &[], |t| $of(t, $name)).limit(Duration::from_secs(4000))
    };
}

pub const TESTS: &[Test] = &[
    verb!("create"),
    verb!("create-rich"),
    verb!("create-userns"),
    verb!("run"),
    verb!("start"),
    verb!("exec"),
    verb!("kill"),
    verb!("pause"),
    verb!("resume"),
    verb!("update"),
    verb!("delete"),
    verb!("delete-force"),
    verb!("state"),
    verb!("list"),
    verb!("ps"),
    verb!("events"),
    verb!("checkpoint"),
    verb!("image pull", image),
    verb!("image bundle", image),
    verb!("image unpack", image),
    verb!("image run", image),
    verb!("image commit", image),
    verb!("image gc", image),
    verb!("image rm", image),
    verb!("image rm-container", image),
    verb!("shim start", shim),
    verb!("shim delete", shim),
];
