//! `coracle check`

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Parser;
use libcoracle::ops::check::{Level, Report};
use libcoracle::{CreateOptions, ops};

use super::create::absolute;
use super::{Call, Verb, print};
use crate::failure::Failure;

/// Say whether a bundle will start here, and if not, what is missing
///
/// Nothing is run and nothing is changed; any user may ask, and is answered for themselves. Errors keep the container
/// from starting, warnings do not; notes tell what unusual fields of the configuration will do. Each is at a place in
/// config.json (a JSON pointer) or about this machine. Without a bundle it is the machine alone that is looked at.
///
/// Exits with 0 if nothing stands in the way, with 1 if something does, and with 2 if it cannot be told.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Check {
    /// Directory of the bundle
    #[arg(long, short, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Read FILE, looked up in the bundle, instead of config.json
    #[arg(long, short = 'f', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Look for what --no-pivot of create and run needs
    #[arg(long)]
    no_pivot: bool,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Directory of the bundle, the same as --bundle
    #[arg(value_name = "BUNDLE")]
    operand: Option<OsString>,
}

/// The exit code when the question was not understood.
pub const NOT_TOLD: u8 = 2;

impl Check {
    fn report(&self, call: &Call) -> Result<Report, Failure> {
        let named = self.operand.as_deref().map(Path::new);
        let Some(bundle) = self.bundle.as_deref().or(named) else {
            let stray = self.config.is_some() || self.no_pivot;
            return if stray {
                Err(Failure::new("--config and --no-pivot need a bundle"))
            } else {
                Ok(ops::check_host())
            };
        };
        if self.bundle.is_some() && named.is_some() {
            return Err(Failure::new("the bundle is given twice"));
        }
        let bundle = absolute(bundle)?;
        Ok(ops::check(&CreateOptions {
            config: self.config.as_ref().map(|file| bundle.join(file)),
            no_pivot: self.no_pivot,
            cgroups: call.global.cgroups()?,
            rootless: call.global.rootless()?,
            bundle,
            ..CreateOptions::default()
        }))
    }

    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let report = match self.format.as_deref() {
            None | Some("text" | "json") => self.report(call)?,
            Some(other) => return Err(Failure::new(format!("invalid format option: {other:?}"))),
        };
        if self.format.as_deref() == Some("json") {
            let text = serde_json::to_string_pretty(&report);
            let text = text.map_err(|error| Failure::new(format!("write the findings as JSON: {error}")))?;
            print(&format!("{text}\n"))?;
        } else {
            print(&text(&report, Colours::of_stdout()))?;
        }
        Ok(u8::from(!report.starts))
    }
}

impl Verb for Check {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        self.run(call).map_err(|failure| failure.with_code(NOT_TOLD))
    }
}

/// Whether to write in colours.
#[derive(Debug, Clone, Copy)]
struct Colours(bool);

impl Colours {
    /// On a terminal, unless the user wants none (no-color.org).
    fn of_stdout() -> Colours {
        Colours(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    fn level(self, level: Level) -> String {
        let (name, code) = match level {
            Level::Error => ("error", "1;31"),
            Level::Warning => ("warning", "1;33"),
            Level::Note => ("note", "36"),
        };
        self.paint(&format!("{name:<7}"), code)
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Where the second column ends at the latest.
const WIDEST: usize = 36;

/// A line for each finding in columns, and one on what they come to.
fn text(report: &Report, colours: Colours) -> String {
    let widths = report.findings.iter().map(|finding| finding.at.chars().count());
    let width = widths.filter(|width| *width <= WIDEST).max().unwrap_or_default();
    let mut text = String::new();
    for finding in &report.findings {
        let line = format!("{} {:<width$}  {}", colours.level(finding.level), finding.at, finding.text);
        text.push_str(&format!("{}\n", line.trim_end()));
        if let Some(hint) = &finding.hint {
            text.push_str(&format!("{:7} {:width$}  hint: {hint}\n", "", ""));
        }
    }
    let what = report.bundle.as_ref().map_or_else(|| "this machine".to_owned(), |bundle| bundle.display().to_string());
    let (verdict, code) = match (&report.bundle, report.starts) {
        (Some(_), true) => ("will start", "1;32"),
        (Some(_), false) => ("will not start", "1;31"),
        (None, true) => ("can run containers", "1;32"),
        (None, false) => ("cannot run containers", "1;31"),
    };
    text.push_str(&format!("{what} {} ({})\n", colours.paint(verdict, code), counts(report)));
    text
}

fn counts(report: &Report) -> String {
    let count = |level: Level, name: &str| {
        let n = report.findings.iter().filter(|finding| finding.level == level).count();
        format!("{n} {name}{}", if n == 1 { "" } else { "s" })
    };
    [count(Level::Error, "error"), count(Level::Warning, "warning"), count(Level::Note, "note")].join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use libcoracle::ops::check::Finding;

    #[test]
    fn findings_are_in_columns() {
        let finding = |level, at: &str, text: &str, hint: Option<&str>| Finding {
            level,
            at: at.to_owned(),
            text: text.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let findings = vec![
            finding(Level::Error, "/mounts/7/source", "no such file", Some("make it")),
            finding(Level::Note, "/root", "is writable", None),
        ];
        let report = Report { bundle: Some("/b".into()), starts: false, findings };
        let wanted = "\
error   /mounts/7/source  no such file
                          hint: make it
note    /root             is writable
/b will not start (1 error, 0 warnings, 1 note)
";
        assert_eq!(text(&report, Colours(false)), wanted);
        assert!(text(&report, Colours(true)).starts_with("\x1b[1;31merror  \x1b[0m /mounts"));
    }
}
