//! Writes the man pages and shell completions of coracle below a directory, from the definition of its command line:
//! `coracle-pages SHARE`. A program of its own, so that nothing of it is in coracle.
#![forbid(unsafe_code)]

mod completions;
mod man;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A file to be written: its path below the directory for shared data, and its content.
type Page = (PathBuf, Vec<u8>);

fn main() -> ExitCode {
    let Some(share) = std::env::args_os().nth(1) else {
        eprintln!("usage: coracle-pages SHARE (for instance /usr/local/share)");
        return ExitCode::FAILURE;
    };
    match write(Path::new(&share)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coracle-pages: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(share: &Path) -> std::io::Result<()> {
    for (path, content) in pages()? {
        let path = share.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(share))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}

fn pages() -> std::io::Result<Vec<Page>> {
    let command = coracle::definition();
    Ok([man::pages(&command)?, completions::pages(&command)?].concat())
}

#[cfg(test)]
mod tests;
