//! What `check` says of the same bundles: the fault is found without running anything, wherever it can be.

use std::fs;

use integration::{Context, need, requires};
use serde_json::Value;

use super::{Case, calls, cgroups, mounts, namespaces, process, seccomp, text};

/// Every case: found, or said to be hidden and not found.
pub fn finds(t: &Context) {
    requires!(need::verb(t, "check"));
    let topics = [
        text::cases(),
        mounts::cases(),
        process::cases(),
        namespaces::cases(),
        cgroups::cases(),
        seccomp::cases(),
        calls::cases(),
    ];
    let cases: Vec<Case> = topics.into_iter().flatten().collect();
    let problems: Vec<String> = cases.iter().filter_map(|case| judge(t, case)).collect();
    let hidden = cases.iter().filter(|case| case.hidden.is_some()).count();
    println!("{} of {} faults are found, {hidden} are hidden", cases.len() - hidden - problems.len(), cases.len());
    assert!(problems.is_empty(), "{} of {} cases\n{}", problems.len(), cases.len(), problems.join("\n"));
}

/// What is wrong with the answer.
fn judge(t: &Context, case: &Case) -> Option<String> {
    let bundle = (case.breaks)(t.bundle());
    if !case.saved {
        bundle.save();
    }
    let output = t.coracle().call(["check", "--format", "json"]).arg(bundle.path()).run();
    drop(fs::remove_dir_all(bundle.path()));
    drop(fs::remove_file(bundle.path()));
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    let errors: Vec<String> = report["findings"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|finding| finding["level"] == "error")
        .map(|finding| {
            let (at, text) = (finding["at"].as_str().unwrap_or_default(), finding["text"].as_str().unwrap_or_default());
            if at.is_empty() { text.to_owned() } else { format!("config.json {at}: {text}") }
        })
        .collect();
    let found = output.code == 1 && errors.iter().any(|error| error.contains(case.says));
    match case.hidden {
        None if !found => {
            Some(format!("{}\n    check exits with {} and says {errors:#?} {}", case.says, output.code, output.stderr))
        }
        Some(_) if output.code != 0 => Some(format!("{}\n    is not hidden: {errors:#?} {}", case.says, output.stderr)),
        _ => None,
    }
}
