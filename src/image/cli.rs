//! The command line: what may be said, and which file answers.

mod access;
mod bars;
mod bundle;
mod commit;
mod copy;
mod diff;
mod gc;
mod inspect;
mod load;
mod ls;
mod origin;
mod overrides;
mod pull;
mod push;
mod rm;
mod run;
mod runtime;
mod save;
mod size;

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use coracle_image::bundle::Bundle;
use coracle_image::convert::Machine;
use coracle_image::error::{Context, Error, Result};
use coracle_image::platform::Platform;
use coracle_image::rootless;
use coracle_image::store::Store;
use serde::Serialize;

/// coracle-image - layered images, and bundles and containers made of them
///
/// An IMAGE is a name in the local store, or one of
///
///     oci:DIR[:REF]                       an OCI image layout
///     oci-archive:FILE[:REF]              the same in a tar archive
///     docker-archive:FILE[:NAME]          what docker save and podman save write
///     docker://[HOST/]NAME[:TAG|@DIGEST]  a registry
///     docker-daemon:NAME                  Docker, by docker save and docker load
///     -                                   an archive on standard input or output
#[derive(Debug, Parser)]
#[command(name = "coracle-image", verbatim_doc_comment, version, disable_help_subcommand = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Options of every command.
#[derive(Debug, Args)]
struct Global {
    /// Keep images in DIR [default: /var/lib/coracle/images; users: $XDG_DATA_HOME/coracle/images]
    #[arg(long, global = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The runtime that runs containers [default: coracle beside this program, or in PATH]
    #[arg(long, global = true, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,
    /// Keep the state of containers in DIR [default: that of the runtime]
    #[arg(long, global = true, value_name = "DIR")]
    runtime_root: Option<PathBuf>,
    /// Say nothing but errors and what was asked for
    #[arg(long, short, global = true)]
    quiet: bool,
    /// How to tell of progress, on standard error
    #[arg(long, global = true, value_name = "HOW", default_value = "auto")]
    progress: How,
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    /// Bars on a terminal, nothing else
    Auto,
    /// One JSON object a line
    Json,
    None,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Bundle(Box<bundle::Verb>),
    Commit(commit::Verb),
    Copy(copy::Verb),
    Diff(diff::Verb),
    Gc(gc::Verb),
    Inspect(inspect::Verb),
    Load(load::Verb),
    Ls(ls::Verb),
    Pull(pull::Verb),
    Push(push::Verb),
    Rm(rm::Verb),
    Run(Box<run::Verb>),
    Save(save::Verb),
}

/// What every command has at hand.
struct Call {
    global: Global,
    root: PathBuf,
    /// The caller is an ordinary user, root of a user namespace by now.
    rootless: bool,
}

/// Does what the command line asks for: the exit code.
pub fn run() -> Result<u8> {
    let line = match Line::try_parse() {
        Ok(line) => line,
        Err(error) => {
            // Help is no error, and clap knows where each goes.
            let _ = error.print();
            return Ok(if error.use_stderr() { 125 } else { 0 });
        }
    };
    // What follows from who calls is found before the caller becomes root of a namespace of its own.
    let root = line.global.root.clone().map_or_else(Store::default_root, Ok)?;
    let root = std::path::absolute(root)?;
    let rootless = !nix::unistd::geteuid().is_root();
    let mut global = line.global;
    if rootless {
        global.runtime_root = Some(global.runtime_root.unwrap_or_else(|| user_state(&root)));
        rootless::enter()?;
    }
    let call = Call { global, root, rootless };
    match line.verb {
        Verb::Bundle(verb) => verb.run(&call),
        Verb::Commit(verb) => verb.run(&call),
        Verb::Copy(verb) => verb.run(&call),
        Verb::Diff(verb) => verb.run(&call),
        Verb::Gc(verb) => verb.run(&call),
        Verb::Inspect(verb) => verb.run(&call),
        Verb::Load(verb) => verb.run(&call),
        Verb::Ls(verb) => verb.run(&call),
        Verb::Pull(verb) => verb.run(&call),
        Verb::Push(verb) => verb.run(&call),
        Verb::Rm(verb) => verb.run(&call),
        Verb::Run(verb) => verb.run(&call),
        Verb::Save(verb) => verb.run(&call),
    }
}

/// Where the runtime keeps the state of an ordinary user's containers.
fn user_state(root: &Path) -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    runtime.unwrap_or_else(|| root.with_file_name("run")).join("coracle")
}

impl Call {
    fn store(&self) -> Result<Store> {
        Store::open(&self.root)
    }

    /// Where containers of `run` are.
    fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// The bundle a person means: a container of `run` by name, or a directory by a path with a slash.
    fn bundle(&self, operand: &str) -> Result<Bundle> {
        if operand.contains('/') || operand == "." {
            return Bundle::open(Path::new(operand));
        }
        Bundle::open(&self.containers().join(operand)).context(|| format!("container {operand}"))
    }

    fn machine(&self) -> Machine {
        let cgroup_v2 = std::fs::metadata("/sys/fs/cgroup/cgroup.controllers").is_ok();
        Machine { cgroup_v2, rootless: self.rootless, one_id: self.rootless && rootless::has_one_id() }
    }

    fn bars(&self) -> bars::Bars {
        bars::Bars::new(if self.global.quiet { How::None } else { self.global.progress })
    }

    fn warn(&self, warnings: &[String]) {
        if !self.global.quiet {
            warnings.iter().for_each(|warning| eprintln!("coracle-image: warning: {warning}"));
        }
    }
}

/// `--platform`.
#[derive(Debug, Args)]
struct Wanted {
    /// The image for OS/ARCHITECTURE[/VARIANT] [default: this machine]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl Wanted {
    fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(Platform::host)
    }
}

/// Writes to standard output. A reader that has gone away has seen enough.
fn print(text: impl AsRef<[u8]>) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::from(error).within("write to standard output"))
        }
        _ => Ok(0),
    }
}

fn print_json(value: &impl Serialize) -> Result<u8> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::invalid(error.to_string()))?;
    print(format!("{text}\n"))
}

/// Lines whose columns are below each other.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        Line::command().debug_assert();
        for verb in Line::command().get_subcommands() {
            assert!(verb.get_about().is_some(), "{}", verb.get_name());
            assert!(verb.get_opts().all(|option| option.get_help().is_some()), "{}", verb.get_name());
        }
    }

    #[test]
    fn columns() {
        let row = |cells: &[&str]| cells.iter().map(|&cell| cell.to_owned()).collect::<Vec<_>>();
        assert_eq!(table(&[row(&["A", "B"]), row(&["aaa", "b"])]), "A    B\naaa  b\n");
    }
}
