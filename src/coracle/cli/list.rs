//! `coracle list`

use std::ffi::OsString;

use clap::Parser;
use libcoracle::{Report, ops};

use super::{Call, Verb, matching, print};
use crate::failure::Failure;

/// List the containers below the state root
#[derive(Debug, Parser)]
pub struct List {
    /// table, or json for one line of JSON [default: table]
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<String>,
    /// Print the names only, one a line
    #[arg(long, short)]
    quiet: bool,
    /// Leave out containers whose names the regular expression does not match
    #[arg(long, short, value_name = "REGEX")]
    regex: Option<OsString>,
}

impl Verb for List {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let expression = self.regex.as_deref().map(matching::expression).transpose()?;
        let mut reports = ops::list(&call.global.root()?)?;
        reports.retain(|report| expression.as_ref().is_none_or(|expression| expression.is_match(report.id.as_ref())));
        if self.quiet {
            return print(&reports.iter().map(|report| format!("{}\n", report.id)).collect::<String>());
        }
        match self.format.as_deref() {
            None | Some("table") => print(&table(&reports)),
            Some("json") => print(&json(&reports)?),
            Some(_) => Err(Failure::new("invalid format option")),
        }
    }
}

/// One line. Callers know an empty list as `null`.
fn json(reports: &[Report]) -> Result<String, Failure> {
    if reports.is_empty() {
        return Ok("null\n".into());
    }
    let text = serde_json::to_string(reports);
    text.map(|text| text + "\n").map_err(|error| Failure::new(format!("write the list as JSON: {error}")))
}

fn table(reports: &[Report]) -> String {
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = reports.iter().map(|report| {
        [
            report.id.to_string(),
            report.pid.to_string(),
            report.status.to_string(),
            report.bundle.display().to_string(),
            report.created.clone(),
            report.owner.clone(),
        ]
    });
    align(&[header].into_iter().chain(rows).collect::<Vec<_>>())
}

/// Columns of at least 12 characters, three of them blank; the last is not padded.
fn align<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |text: &String| text.chars().count();
    let widths: Vec<_> = (0..N).map(|n| rows.iter().map(|row| width(&row[n]) + 3).max().unwrap_or(0).max(12)).collect();
    let mut text = String::new();
    for row in rows {
        for (n, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if n + 1 < N {
                text.extend(std::iter::repeat_n(' ', widths[n] - width(cell)));
            }
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned);
        assert_eq!(align(&[row(["ID", "PID", "OWNER"])]), "ID          PID         OWNER\n");
        assert_eq!(
            align(&[row(["ID", "PID", "OWNER"]), row(["a-long-name", "7", "root"]), row(["é", "", "#1000"])]),
            "ID            PID         OWNER\n\
             a-long-name   7           root\n\
             é                         #1000\n"
        );
    }

    #[test]
    fn nothing() {
        assert_eq!(json(&[]).unwrap(), "null\n");
        assert_eq!(table(&[]), "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n");
    }
}
