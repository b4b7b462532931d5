//! `coracle help`

use std::ffi::OsString;
use std::fmt::Write;

use clap::{CommandFactory, Parser};

use super::{Call, Entry, Global, VERBS, Verb, print, render, with_help};
use crate::failure::Failure;

/// Explain a command, or list them all
#[derive(Debug, Parser)]
pub struct Help {
    /// What to explain
    command: Option<OsString>,
}

impl Verb for Help {
    fn run(&self, _: &Call) -> Result<u8, Failure> {
        match &self.command {
            Some(name) => print(&Entry::find(name)?.help()),
            None => print(&top()),
        }
    }
}

/// The help of the program itself, with a line for each command.
pub fn top() -> String {
    let mut commands = String::from("Commands:\n");
    for entry in VERBS {
        let about = (entry.command)().get_about().map(ToString::to_string).unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(commands, "  {:<9} {about}", entry.name);
    }
    commands.push_str("\n`coracle help COMMAND` explains one.");
    let usage = "coracle [OPTIONS] COMMAND [ARGUMENTS]";
    render(with_help(Global::command()).override_usage(usage).after_help(commands))
}
