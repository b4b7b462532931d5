//! The command line of coracle-image: words in, calls into the library, text and an exit code out.
//!
//! Each file below `cli/` is one command. An error is printed here, once.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report(&error);
            ExitCode::from(125)
        }
    }
}

/// Says what went wrong.
fn report(error: &coracle_image::Error) {
    eprintln!("coracle-image: {}", shown(&error.to_string()));
}

/// Some of it may be an image's or a registry's: what a terminal would obey is escaped, but for the ends of lines.
fn shown(text: &str) -> String {
    let escape = |c: char| c.is_control() && c != '\n';
    text.chars().map(|c| if escape(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[test]
fn a_terminal_is_not_told_what_to_do() {
    assert_eq!(shown("a\x1b[2J\u{9b}b\nü"), "a\\u{1b}[2J\\u{9b}b\nü");
}
