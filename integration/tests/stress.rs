//! Random verbs by eight callers at once over twenty ids. Half of the ids have callers that are killed at random.
//!
//! The model: what a verb answers is one of the answers it may give; an id that nobody is killed at has been created
//! once more often than deleted exactly when it is there; `delete --force` always works. `STRESS=N` for N seconds.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use integration::{Call, Context, Coracle, Output, Running, Test, reap_orphans_but, test};
use nix::sys::signal::Signal;
use serde_json::Value;

const CALLERS: u64 = 8;
const IDS: usize = 20;
/// Ids below this one have callers that are never killed.
const CALM: usize = 10;

/// A verb, how often it comes, and what it may say when it fails.
struct Verb {
    words: &'static [&'static str],
    may_say: &'static [&'static str],
}

const GONE: &str = "does not exist";
const CREATE: &[&str] = &["already exists", "was deleted while it was created", "killed by SIGKILL during set-up"];
const EXEC: &[&str] = &[
    GONE,
    "cannot exec",
    "not running",
    "no such process",
    "during set-up",
    // What the kernel says of a clone into a pid namespace whose first process is dying.
    "clone the container's process: out of memory",
];
const VERBS: &[Verb] = &[
    Verb { words: &["create"], may_say: CREATE },
    Verb { words: &["create"], may_say: CREATE },
    Verb { words: &["start"], may_say: &[GONE, "cannot start", "connect to", "is gone"] },
    Verb { words: &["state"], may_say: &[GONE] },
    Verb { words: &["exec", "/guest", "exit", "0"], may_say: EXEC },
    Verb { words: &["kill", "KILL"], may_say: &[GONE, "not running"] },
    Verb { words: &["kill", "TERM"], may_say: &[GONE, "not running"] },
    Verb { words: &["pause"], may_say: &[GONE, "not running"] },
    Verb { words: &["resume"], may_say: &[GONE, "not paused"] },
    Verb { words: &["update", "--pids-limit", "50"], may_say: &[GONE, "not running"] },
    Verb { words: &["ps"], may_say: &[GONE] },
    Verb { words: &["delete"], may_say: &[GONE, "not stopped"] },
    Verb { words: &["delete"], may_say: &[GONE, "not stopped"] },
    Verb { words: &["delete", "--force"], may_say: &[] },
];

/// xorshift64*: quick, and the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit as u64).unwrap()
    }
}

/// What all callers share.
struct Field<'a> {
    coracle: &'a Coracle,
    bundle: &'a Path,
    ids: Vec<String>,
    /// Of each calm id: how often it was created and not deleted.
    balance: Vec<AtomicI64>,
    /// The harness's own children, which their callers wait for.
    own: Mutex<BTreeSet<i32>>,
    wrong: Mutex<Vec<String>>,
    calls: AtomicU64,
    succeeded: AtomicU64,
    killed: AtomicU64,
    /// The callers have ended, and nothing is left to do.
    done: AtomicBool,
    over: AtomicBool,
}

impl Field<'_> {
    fn call(&self, verb: &Verb, id: &str) -> Call {
        let (name, rest) = verb.words.split_first().unwrap();
        let call = self.coracle.call([name]).limit(Duration::from_secs(60));
        match *name {
            "create" => call.arg("--bundle").arg(self.bundle).arg(id),
            "exec" | "kill" => call.arg(id).args(rest),
            _ => call.args(rest).arg(id),
        }
    }

    /// Starts it without the reaper taking it for an orphan.
    fn spawn(&self, call: Call) -> Running {
        let mut own = self.own.lock().unwrap();
        let mut running = call.spawn();
        running.close_stdin();
        own.insert(running.pid());
        running
    }

    fn finish(&self, mut running: Running) -> Output {
        let output = running.wait();
        self.own.lock().unwrap().remove(&running.pid());
        output
    }

    fn caller(&self, random: &mut Random, end: Instant) {
        while Instant::now() < end {
            let number = random.below(IDS);
            let calm = number < CALM;
            // In the calm half the books are kept, which `delete --force` would not allow.
            let verbs = if calm { &VERBS[..VERBS.len() - 1] } else { VERBS };
            let verb = &verbs[random.below(verbs.len())];
            let running = self.spawn(self.call(verb, &self.ids[number]));
            self.calls.fetch_add(1, Ordering::Relaxed);
            if !calm && random.below(3) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(20_000) as u64));
                running.signal(Signal::SIGKILL);
                self.killed.fetch_add(1, Ordering::Relaxed);
                drop(self.finish(running));
                continue;
            }
            let output = self.finish(running);
            self.judge(verb, number, &output);
        }
    }

    /// What the last callers have executed in a container that the last but one has paused would never end.
    fn resume_all(&self, end: Instant) {
        while !self.done.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
            if Instant::now() > end {
                self.ids.iter().for_each(|id| drop(self.finish(self.spawn(self.coracle.call(["resume"]).arg(id)))));
            }
        }
    }

    fn judge(&self, verb: &Verb, number: usize, output: &Output) {
        let name = verb.words[0];
        // A program may be killed along with its container.
        let killed = name == "exec" && output.code == 137;
        if output.code == 0 || killed {
            self.succeeded.fetch_add(1, Ordering::Relaxed);
            if number < CALM && (name == "create" || name == "delete") {
                self.balance[number].fetch_add(if name == "create" { 1 } else { -1 }, Ordering::SeqCst);
            }
            return;
        }
        // A container of which a caller was killed may be in the middle of anything.
        let excused = number >= CALM && name != "delete";
        if !excused && !verb.may_say.iter().any(|text| output.stderr.contains(text)) {
            self.wrong.lock().unwrap().push(format!("{}: {} {}", output.command, output.code, output.stderr));
        }
    }
}

fn seconds() -> Duration {
    std::env::var("STRESS").ok().and_then(|text| text.parse().ok()).map_or(Duration::from_secs(10), Duration::from_secs)
}

fn stress(t: &Context) {
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |since| since.as_secs() | 1);
    let bundle = t.bundle().args(&["/guest", "mute"]);
    bundle.save();
    let field = Field {
        coracle: bundle.coracle(),
        bundle: bundle.path(),
        ids: (0..IDS).map(|_| bundle.id()).collect(),
        balance: (0..CALM).map(|_| AtomicI64::new(0)).collect(),
        own: Mutex::default(),
        wrong: Mutex::default(),
        calls: AtomicU64::new(0),
        succeeded: AtomicU64::new(0),
        killed: AtomicU64::new(0),
        done: AtomicBool::new(false),
        over: AtomicBool::new(false),
    };
    let end = Instant::now() + seconds();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !field.over.load(Ordering::SeqCst) {
                reap_orphans_but(&field.own);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        scope.spawn(|| field.resume_all(end));
        let (field, mix) = (&field, |number: u64| seed.wrapping_mul(number + 1));
        let callers: Vec<_> =
            (0..CALLERS).map(|n| scope.spawn(move || field.caller(&mut Random(mix(n)), end))).collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        field.done.store(true, Ordering::SeqCst);
        settle(field);
        field.over.store(true, Ordering::SeqCst);
    });
    let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (calls, succeeded, killed) = (number(&field.calls), number(&field.succeeded), number(&field.killed));
    println!("stress: {calls} calls, {succeeded} succeeded, {killed} killed, seed {seed}");
    let wrong = field.wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {calls}, seed {seed}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(succeeded > calls / 20, "only {succeeded} of {calls} calls succeeded");
}

/// When all is quiet: what is there is what the books say, and can be removed.
fn settle(field: &Field<'_>) {
    let run = |words: &[&str], id: &str| {
        let (name, rest) = words.split_first().unwrap();
        let call = field.coracle.call([name]).args(rest).arg(id);
        field.finish(field.spawn(call))
    };
    let mut wrong = Vec::new();
    for (number, id) in field.ids.iter().enumerate() {
        let state = run(&["state"], id);
        let there = state.code == 0;
        if let Some(balance) = field.balance.get(number).map(|balance| balance.load(Ordering::SeqCst))
            && balance != i64::from(there)
        {
            wrong.push(format!("{id}: created {balance} times more than deleted, and there: {there}"));
        }
        if there {
            let state: Value = serde_json::from_str(&state.stdout).unwrap();
            let alive = state["pid"].as_i64().is_some_and(|pid| pid > 0);
            if alive == (state["status"] == "stopped") {
                wrong.push(format!("{id}: {state}"));
            }
        }
        let deleted = run(&["delete", "--force"], id);
        if deleted.code != 0 {
            wrong.push(format!("delete --force {id}: {}", deleted.stderr));
        }
        if run(&["state"], id).code == 0 {
            wrong.push(format!("{id} is there after delete --force"));
        }
    }
    field.wrong.lock().unwrap().extend(wrong);
}

pub const TESTS: &[Test] =
    &[test("stress: random verbs by eight callers over twenty ids", &[], stress).limit(Duration::from_secs(4000))];
