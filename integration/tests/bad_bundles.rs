//! Bundles that cannot be run: what is said of each, and that nothing of it is left. One line a case.

mod calls;
mod cgroups;
mod check;
mod mounts;
mod namespaces;
mod process;
mod seccomp;
mod text;

use std::fs;
use std::path::Path;

use integration::{Bundle, Context, Coracle, Output, Test, need, requires, test};
use serde_json::Value;

/// What breaks a bundle.
pub struct Case {
    /// Part of the message.
    says: &'static str,
    breaks: Box<dyn Fn(Bundle) -> Bundle>,
    /// Whether breaking it wrote config.json.
    saved: bool,
    /// Options of `create`.
    options: &'static [&'static str],
    /// Why runc 1.1 takes it.
    taken: Option<&'static str>,
    /// Whether runc would not come back from it.
    hangs: bool,
    /// Why `check` cannot see it.
    hidden: Option<&'static str>,
}

impl Case {
    /// A case by what is done to a good bundle.
    pub fn new(says: &'static str, breaks: impl Fn(Bundle) -> Bundle + 'static) -> Case {
        Case { says, breaks: Box::new(breaks), saved: false, options: &[], taken: None, hangs: false, hidden: None }
    }

    /// A case by a merge patch of the configuration.
    pub fn patch(says: &'static str, patch: Value) -> Case {
        Case::new(says, move |bundle| bundle.patch(patch.clone()))
    }

    /// A case by something done to the files of a saved bundle, or to the text of config.json.
    pub fn files(says: &'static str, change: impl Fn(&Path) + 'static) -> Case {
        let breaks = move |bundle: Bundle| {
            bundle.save();
            change(bundle.path());
            bundle
        };
        Case { saved: true, ..Case::new(says, breaks) }
    }

    /// With these options of `create`.
    pub fn options(mut self, options: &'static [&'static str]) -> Case {
        self.options = options;
        self
    }

    /// runc 1.1 takes it, because.
    pub fn taken(mut self, reason: &'static str) -> Case {
        self.taken = Some(reason);
        self
    }

    /// Nothing of it shows before the container is made, because.
    pub fn hidden(mut self, reason: &'static str) -> Case {
        self.hidden = Some(reason);
        self
    }

    /// runc reads on and on.
    pub fn hangs(mut self) -> Case {
        self.hangs = true;
        self
    }
}

/// `create` of the broken bundle.
fn create(coracle: &Coracle, bundle: &Bundle, case: &Case, id: &str, log: &Path) -> Output {
    if !case.saved {
        bundle.save();
    }
    let call = coracle.call(["--log-format", "json", "--log"]).arg(log).arg("create").args(case.options);
    call.arg("--bundle").arg(bundle.path()).arg(id).run()
}

/// What is there of a container that should not be.
fn left(t: &Context, id: &str) -> Vec<String> {
    let mut found = Vec::new();
    let names = fs::read_dir(t.root()).into_iter().flatten().flatten().map(|entry| entry.path());
    found.extend(names.filter(|path| path.ends_with(id)).map(|path| path.display().to_string()));
    cgroups(Path::new("/sys/fs/cgroup"), id, &mut found);
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let own = t.path("").display().to_string();
    found.extend(table.lines().filter(|line| line.contains(own.as_str())).map(|line| format!("mount {line}")));
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if words.split(|byte| *byte == 0).any(|word| word == id.as_bytes()) {
            found.push(format!("process {}", String::from_utf8_lossy(&words)));
        }
    }
    found
}

fn cgroups(directory: &Path, id: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if entry.file_name().to_string_lossy().contains(id) {
                found.push(format!("cgroup {}", entry.path().display()));
            }
            cgroups(&entry.path(), id, found);
        }
    }
}

/// Everything wrong with how a case was refused.
fn judge(t: &Context, case: &Case, good: &Bundle) -> Vec<String> {
    let bundle = (case.breaks)(t.bundle());
    let (id, log) = (bundle.id(), t.path("log"));
    drop(fs::remove_file(&log));
    let output = create(bundle.coracle(), &bundle, case, &id, &log);
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what)
        }
    };
    must(output.code == 1, format!("exits with {}", output.code));
    let lines: Vec<&str> = output.stderr.lines().collect();
    let said = lines.first().copied().unwrap_or_default();
    must(said.contains(case.says), format!("says {said:?}"));
    must(
        lines.iter().skip(1).all(|line| line.starts_with("hint: ")) && lines.len() <= 2,
        format!("and more: {lines:?}"),
    );
    let rust = ["Some(", "None", "Err(", "Os {", "panicked", "invalid type"];
    must(!rust.iter().any(|word| output.stderr.contains(word)), "says it in Rust".to_owned());
    let text = fs::read_to_string(&log).unwrap_or_default();
    let entries: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    let errors: Vec<&Value> = entries.iter().filter(|entry| entry["level"] == "error").collect();
    let logged = errors.first().and_then(|entry| entry["msg"].as_str()).unwrap_or_default();
    must(errors.len() == 1 && logged.contains(case.says), format!("logs {text}"));
    let left = left(t, &id);
    must(left.is_empty(), format!("leaves {left:?}"));
    let again = good.coracle().call(["create", "--bundle"]).arg(good.path()).arg(&id).run();
    must(again.code == 0, format!("spoils the id: {}", again.stderr));
    let deleted = good.coracle().call(["delete", "--force"]).arg(&id).run();
    must(deleted.code == 0, format!("cannot be deleted: {}", deleted.stderr));
    drop(fs::remove_dir_all(bundle.path()));
    wrong
}

fn all(t: &Context, cases: Vec<Case>) {
    let good = t.bundle();
    good.save();
    let problems: Vec<String> = cases
        .iter()
        .map(|case| (case, judge(t, case, &good)))
        .filter(|(_, wrong)| !wrong.is_empty())
        .map(|(case, wrong)| format!("{}\n    {}", case.says, wrong.join("\n    ")))
        .collect();
    assert!(problems.is_empty(), "{} of {} cases\n{}", problems.len(), cases.len(), problems.join("\n"));
}

/// Whether the other runtime refuses what this one refuses, but for the listed reasons.
fn agreement(t: &Context, cases: Vec<Case>) {
    requires!(need::program("/usr/sbin/runc"));
    let runc = t.peer("/usr/sbin/runc");
    let version = runc.bare().arg("--version").run();
    if !version.ok().stdout.starts_with("runc version 1.1.") {
        integration::skip("the reasons are about runc 1.1");
    }
    let mut problems = Vec::new();
    for case in cases.iter().filter(|case| !case.hangs) {
        let bundle = (case.breaks)(t.bundle());
        let id = bundle.id();
        let output = create(&runc, &bundle, case, &id, &t.path("log"));
        let deleted = runc.call(["delete", "--force"]).arg(&id).run();
        deleted.ok();
        if (output.code == 0) != case.taken.is_some() {
            problems.push(format!("{}\n    exits with {} and says {}", case.says, output.code, output.stderr.trim()));
        }
        drop(fs::remove_dir_all(bundle.path()));
    }
    assert!(problems.is_empty(), "{} of {} cases\n{}", problems.len(), cases.len(), problems.join("\n"));
}

pub const TESTS: &[Test] = &[
    test("bad bundles: text that is no configuration", &[1, 2, 3, 4, 5, 206, 217], |t| all(t, text::cases())),
    test("bad bundles: runc refuses the same texts", &[], |t| agreement(t, text::cases())),
    test("bad bundles: roots and mounts", &[8, 9, 13, 17, 27, 28, 190], |t| all(t, mounts::cases())),
    test("bad bundles: runc refuses the same roots and mounts", &[], |t| agreement(t, mounts::cases())),
    test("bad bundles: processes", &[105, 106, 109, 111, 112, 114, 115, 116, 127, 132, 133, 140, 141], |t| {
        all(t, process::cases());
    }),
    test("bad bundles: runc refuses the same processes", &[], |t| agreement(t, process::cases())),
    test("bad bundles: namespaces", &[146, 183, 264, 265, 270, 271, 387], |t| all(t, namespaces::cases())),
    test("bad bundles: runc refuses the same namespaces", &[], |t| agreement(t, namespaces::cases())),
    test("bad bundles: devices and limits", &[275, 276, 278, 303, 315, 341, 343, 345, 356], |t| {
        all(t, cgroups::cases())
    }),
    test("bad bundles: runc refuses the same devices and limits", &[], |t| agreement(t, cgroups::cases())),
    test("bad bundles: filters", &[388, 390, 401, 402, 403, 405, 406, 408], |t| all(t, seccomp::cases())),
    test("bad bundles: runc refuses the same filters", &[], |t| agreement(t, seccomp::cases())),
    test("bad bundles: calls and hooks", &[148, 151, 176, 177, 178, 206, 217, 229], |t| all(t, calls::cases())),
    test("bad bundles: runc refuses the same calls and hooks", &[], |t| agreement(t, calls::cases())),
    test("bad bundles: check finds the fault wherever it shows", &[], check::finds),
    test("bad bundles: what is odd is taken", &[6, 117, 187, 189], text::odd),
];
