//! The tables of docs/performance.md, between two marks; what stands around them is written by hand.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::PARTS;
use crate::figures::Figures;

const BEGIN: &str = "<!-- figures: hack/bench writes what follows -->\n";
const END: &str = "<!-- end of figures -->\n";

/// Columns: title, member, digits behind the point.
const COLUMNS: [(&str, &str, usize); 8] = [
    ("wall ms", "wall_ms", 2),
    ("10 %", "wall_low_ms", 2),
    ("90 %", "wall_high_ms", 2),
    ("processor ms", "cpu_ms", 2),
    ("system calls", "calls", 0),
    ("page faults", "faults", 0),
    ("switches", "switches", 0),
    ("KiB", "peak_kib", 0),
];

/// Replaces the tables of the file.
pub fn write(figures: &Figures, path: &Path) {
    let text = fs::read_to_string(path).expect("docs/performance.md");
    let (before, rest) = text.split_once(BEGIN).expect("the mark before the figures");
    let (_, after) = rest.split_once(END).expect("the mark after the figures");
    let text = format!("{before}{BEGIN}\n{}{END}{after}", tables(figures));
    fs::write(path, text).expect("write docs/performance.md");
}

fn title(part: &str) -> &'static str {
    match part {
        "spec" => "the configuration of `runc spec`",
        "docker" => "the configuration of `docker run`",
        "namespaces" => "`run` with one namespace beside mount",
        "rootless" => "`run` by an ordinary user",
        "list" => "`list`",
        "many" => "many containers",
        _ => "memory",
    }
}

fn tables(figures: &Figures) -> String {
    let machine = figures.machine();
    let mut text = String::new();
    let versions: Vec<&str> = machine["versions"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let sizes = machine["binary_kib"].as_object().into_iter().flatten();
    let sizes: Vec<String> = sizes.map(|(name, kib)| format!("{name} {kib} KiB")).collect();
    let plain = |member: &str| machine[member].to_string().trim_matches('"').to_owned();
    let _ = writeln!(
        text,
        "Linux {}, {} processors ({}), load {}, {} rounds. {}. Size of the binary: {}.\n",
        plain("kernel"),
        plain("processors"),
        plain("model"),
        plain("load"),
        plain("rounds"),
        versions.join(", "),
        sizes.join(", ")
    );
    for cgroups in ["v2", "v1"] {
        for part in PARTS {
            text.push_str(&table(figures, cgroups, part).unwrap_or_default());
        }
    }
    text
}

fn table(figures: &Figures, cgroups: &str, part: &str) -> Option<String> {
    let (verbs, runtimes) = (figures.all(cgroups, part, "verb"), figures.all(cgroups, part, "runtime"));
    let first =
        verbs.first().and_then(|verb| runtimes.iter().find_map(|name| figures.row(cgroups, part, verb, name)))?;
    if first.get("kib").is_some() {
        return Some(memory(figures, cgroups, part));
    }
    let columns: Vec<_> = COLUMNS.iter().filter(|(_, member, _)| first.get(member).is_some()).collect();
    let mut text = format!("### cgroups {cgroups}: {}\n\n| verb | runtime |", title(part));
    for (name, ..) in &columns {
        let _ = write!(text, " {name} |");
    }
    text.push_str(" × floor | × crun |\n|---|---|");
    text.push_str(&"---:|".repeat(columns.len() + 2));
    text.push('\n');
    for verb in &verbs {
        for name in &runtimes {
            let Some(row) = figures.row(cgroups, part, verb, name) else { continue };
            let _ = write!(text, "| {verb} | {name} |");
            for (_, member, digits) in &columns {
                let number =
                    row[*member].as_f64().map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"));
                let _ = write!(text, " {number} |");
            }
            for base in ["floor", "crun"] {
                let base = figures.row(cgroups, part, verb, base);
                let times = ["wall_ms", "cpu_ms"].map(|time| ratio(row, base, time));
                let _ = write!(text, " {} |", times.into_iter().flatten().collect::<Vec<_>>().join(" · "));
            }
            text.push('\n');
        }
    }
    text.push('\n');
    Some(text)
}

/// Of a time.
pub fn ratio(row: &Value, base: Option<&Value>, time: &str) -> Option<String> {
    Some(format!("{:.2}", row[time].as_f64()? / base?[time].as_f64()?))
}

fn memory(figures: &Figures, cgroups: &str, part: &str) -> String {
    let runtimes = figures.all(cgroups, part, "runtime");
    let mut text = format!("### cgroups {cgroups}: {}, KiB\n\n| |", title(part));
    for name in &runtimes {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(text, "\n|---|{}\n", "---:|".repeat(runtimes.len()));
    for verb in figures.all(cgroups, part, "verb") {
        let _ = write!(text, "| {verb} |");
        for name in &runtimes {
            let row = figures.row(cgroups, part, &verb, name);
            let _ = write!(text, " {} |", row.map_or_else(|| "-".to_owned(), |row| row["kib"].to_string()));
        }
        text.push('\n');
    }
    text.push('\n');
    text
}
