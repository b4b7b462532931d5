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
mod way;
mod whiteouts;

use std::process::ExitCode;
use std::time::Instant;

use cases::{Case, Want};
use deeds::{DEEDS, Deed};
use way::{Way, World};

fn main() -> ExitCode {
    // Some tests start this program again.
    let args: Vec<String> = std::env::args().collect();
    match args.get(1..) {
        Some([how, place]) if how == "--unpack" => {
            deeds::child(place.as_ref());
            return ExitCode::SUCCESS;
        }
        Some([how, place]) if how == "--rootless" => {
            peers::rootless_child(place.as_ref());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let filters: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let all = [
        names::cases(),
        links::cases(),
        whiteouts::cases(),
        overlay::cases(),
        numbers::cases(),
        pax::cases(),
        blobs::cases(),
        limits::cases(),
    ];
    let cases: Vec<Case> = all.into_iter().flatten().collect();
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

/// Tries the case in every way.
fn check(case: &Case, world: &World) -> Result<(), String> {
    let mut first: Option<(Way, Result<tree::Tree, String>)> = None;
    for way in [Way::Flat, Way::Layers { workers: 1 }, Way::Layers { workers: 4 }] {
        let outcome = world.unpack(case, way).map_err(|what| format!("{way:?}: {what}"))?;
        match (&outcome, case.want) {
            (Ok(_), Want::Reject) => return Err(format!("{way:?}: accepted")),
            (Err(error), Want::Contain) => return Err(format!("{way:?}: refused: {error}")),
            (Err(error), _) if !error.contains("layer sha") && !case.says_no_layer => {
                return Err(format!("{way:?}: the error names no layer: {error}"));
            }
            _ => {}
        }
        if let Ok(tree) = &outcome {
            let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (case.check)(tree)));
            checked.map_err(|_| format!("{way:?}: the tree is wrong (see above)"))?;
        }
        match (&first, &outcome) {
            (None, _) => first = Some((way, outcome)),
            (Some((_, Ok(before))), Ok(now)) => {
                if let Some(difference) = before.difference(now) {
                    return Err(format!("{way:?} differs from flat: {difference}"));
                }
            }
            (Some((_, Err(_))), Err(_)) => {}
            (Some((other, before)), now) => {
                let say = |outcome: &Result<tree::Tree, String>| match outcome {
                    Ok(_) => "accepted".to_owned(),
                    Err(error) => error.clone(),
                };
                return Err(format!("{other:?} says \"{}\", {way:?} says \"{}\"", say(before), say(now)));
            }
        }
    }
    Ok(())
}
