//! docs/performance.svg: the verbs as groups of bars, one a runtime, each group to its own scale.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::figures::Figures;
use crate::report::ratio;

const WIDTH: usize = 720;
const BAR: usize = 13;
const LEFT: usize = 160;
const RIGHT: usize = 130;
const GAP: usize = 10;
const TOP: usize = 44;
const COLOURS: [&str; 6] = ["#9e9e9e", "#1565c0", "#ef6c00", "#6a1b9a", "#2e7d32", "#ad1457"];

/// Draws the lives with v2.
pub fn write(figures: &Figures, path: &Path) {
    let (cgroups, part) = ("v2", "spec");
    let runtimes = figures.all(cgroups, part, "runtime");
    let mut body = String::new();
    let mut y = TOP;
    for verb in figures.all(cgroups, part, "verb") {
        let row = |name: &String| figures.row(cgroups, part, &verb, name);
        let time = |name: &String| row(name).and_then(|row| row["wall_ms"].as_f64());
        let most = runtimes.iter().filter_map(time).fold(f64::MIN_POSITIVE, f64::max);
        let _ = writeln!(body, r#"<text x="8" y="{}" font-weight="bold">{verb}</text>"#, y + BAR - 2);
        for (name, colour) in runtimes.iter().zip(COLOURS.iter().cycle()) {
            let Some(ms) = time(name) else { continue };
            let length = (ms / most * (WIDTH - LEFT - RIGHT) as f64).round().max(1.0);
            let times = row(name).and_then(|own| ratio(own, figures.row(cgroups, part, &verb, "floor"), "wall_ms"));
            let times =
                times.map(|times| format!(" ({times} × floor)")).filter(|_| name != "floor").unwrap_or_default();
            let base = y + BAR - 3;
            let _ = writeln!(body, r#"<text x="{}" y="{base}" text-anchor="end">{name}</text>"#, LEFT - 6);
            let height = BAR - 2;
            let _ = writeln!(body, r#"<rect x="{LEFT}" y="{y}" width="{length}" height="{height}" fill="{colour}"/>"#);
            let beside = LEFT as f64 + length + 5.0;
            let _ = writeln!(body, r#"<text x="{beside}" y="{base}">{ms:.2} ms{times}</text>"#);
            y += BAR;
        }
        y += GAP;
    }
    let kernel = figures.machine()["kernel"].as_str().unwrap_or_default();
    let text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" font-family=\"sans-serif\" \
         font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"20\" \
         font-size=\"14\">Medians on the clock, cgroup v2, the configuration of runc spec</text>\n<text x=\"8\" \
         y=\"34\">Linux {kernel}; the floor is the same kernel work without a runtime</text>\n{body}</svg>\n"
    );
    fs::write(path, text).expect("write the chart");
}
