//! Images that are hostile, odd or broken, each with what has to come of it: as a plain tree and as layers that are
//! mounted, unpacked by one thread and by several. All ways must agree, and nothing outside may be touched.
//!
//! `cargo test -p coracle-image --test corpus -- [FILTER…]`; the last line is `N passed, N failed, N skipped`.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panic")]

mod archive;
mod blobs;
mod cases;
mod changes;
mod deeds;
mod documents;
mod limits;
mod links;
mod names;
mod numbers;
mod overlay;
mod pax;
mod peers;
mod tree;
mod user;
mod way;
mod whiteouts;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use cases::{Case, Want};
use deeds::{DEEDS, Deed};
use way::{Unpacked, WAYS, World};

fn main() -> ExitCode {
    // Some tests start this program again.
    let args: Vec<String> = std::env::args().collect();
    let child: Option<fn(&Path)> = match args.get(1).map(String::as_str) {
        Some("--unpack") => Some(deeds::child),
        Some("--tree") => Some(user::say_tree),
        Some("--cases") => Some(user::say_cases),
        _ => None,
    };
    if let (Some(child), Some(place)) = (child, args.get(2)) {
        child(place.as_ref());
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = args.into_iter().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let cases = cases::all();
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter));
    let cases: Vec<&Case> = cases.iter().filter(|case| wanted(case.name)).collect();
    let deeds: Vec<&Deed> = DEEDS.iter().filter(|(name, _)| wanted(name)).collect();
    let world = match World::new() {
        Ok(world) => world,
        Err(reason) => {
            println!("skipped: {reason}");
            println!("0 passed, 0 failed, {} skipped", cases.len() + deeds.len());
            return ExitCode::SUCCESS;
        }
    };
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    let mut count = |name: &str, begin: Instant, outcome: Outcome| {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Failed(what) => (failed += 1, println!("FAILED  {name}: {what}")).1,
            Outcome::Skipped(why) => (skipped += 1, println!("skipped {name}: {why}")).1,
        }
        if begin.elapsed().as_secs() >= 5 {
            println!("slow    {name}: {:?}", begin.elapsed());
        }
    };
    for case in cases {
        let begin = Instant::now();
        count(case.name, begin, check(case, &world).map_or_else(Outcome::Failed, |()| Outcome::Passed));
    }
    for (name, deed) in deeds {
        let begin = Instant::now();
        count(
            name,
            begin,
            match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| deed(&world))) {
                Ok(Ok(())) => Outcome::Passed,
                Ok(Err(why)) => Outcome::Skipped(why),
                Err(_) => Outcome::Failed("see above".to_owned()),
            },
        );
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// Tries the case in every way and judges what comes of it.
fn check(case: &Case, world: &World) -> Result<(), String> {
    let judge = |outcome: &Unpacked| match (outcome, case.want) {
        (Ok(_), Want::Reject) => Err("accepted".to_owned()),
        (Err(error), Want::Contain) => Err(format!("refused: {error}")),
        (Err(error), _) if !error.contains("layer sha") && !case.says_no_layer => {
            Err(format!("the error names no layer: {error}"))
        }
        (Err(_), _) => Ok(()),
        (Ok(tree), _) => std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.check)(tree)))
            .map_err(|_| "the tree is wrong (see above)".to_owned()),
    };
    agreed(case, world, judge).map(drop)
}

/// What comes of the case in every way, if that is the same.
fn agreed(case: &Case, world: &World, judge: impl Fn(&Unpacked) -> Result<(), String>) -> Result<Unpacked, String> {
    let mut first: Option<Unpacked> = None;
    for way in WAYS {
        let outcome = world.unpack(case, way).and_then(|outcome| judge(&outcome).map(|()| outcome));
        let outcome = outcome.map_err(|what| format!("{way:?}: {what}"))?;
        match first {
            None => first = Some(outcome),
            Some(ref before) => same(before, &outcome).map_err(|what| format!("{way:?} differs from flat: {what}"))?,
        }
    }
    first.ok_or_else(|| "there is no way".to_owned())
}

/// Both are refused, or have the same tree.
fn same(one: &Unpacked, other: &Unpacked) -> Result<(), String> {
    let say = |outcome: &Unpacked| outcome.as_ref().err().cloned().unwrap_or_else(|| "accepted".to_owned());
    match (one, other) {
        (Ok(one), Ok(other)) => one.difference(other).map_or(Ok(()), Err),
        (Err(_), Err(_)) => Ok(()),
        _ => Err(format!("one says \"{}\", the other \"{}\"", say(one), say(other))),
    }
}
