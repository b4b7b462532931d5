//! Man pages: one of the program, one of each command.

use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;

use crate::Page;

/// Programs for administrators are described in section 8 (man(1)).
const SECTION: &str = "8";

/// The pages of `command` and its commands.
pub fn pages(command: &Command) -> std::io::Result<Vec<Page>> {
    let mut all = vec![page("coracle".to_owned(), command.clone())?];
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let (name, usage) = (format!("coracle-{}", verb.get_name()), format!("coracle {}", verb.get_name()));
        let verb = verb.clone().bin_name(usage).display_name(name.clone());
        all.push(page(name, verb)?);
    }
    Ok(all)
}

fn page(name: String, command: Command) -> std::io::Result<Page> {
    let title = name.to_uppercase();
    let path = PathBuf::from(format!("man/man{SECTION}/{name}.{SECTION}"));
    let source = format!("coracle {}", env!("CARGO_PKG_VERSION"));
    let mut content = Vec::new();
    Man::new(command).title(title).section(SECTION).source(source).render(&mut content)?;
    Ok((path, content))
}
