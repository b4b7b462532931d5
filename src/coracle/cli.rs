//! The command line: what may be said, and which file answers.

mod check;
mod checkpoint;
mod create;
mod delete;
mod duration;
mod events;
mod exec;
mod features;
mod help;
mod kill;
mod list;
mod matching;
mod mounts;
mod pause;
mod ps;
mod restore;
mod resume;
mod run;
mod size;
mod spec;
mod start;
mod state;
mod update;
mod words;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser};
use libcoracle::{Cgroups, ContainerId, Root, timings};

use crate::failure::Failure;
use crate::inherited::Inherited;
use crate::log;
use words::{Until, Words};

/// coracle - run containers described by OCI bundles
///
/// A bundle is a directory with a file config.json, which says what to run and how to confine it, and usually a
/// directory rootfs, which the container sees as /. `coracle spec` writes a config.json to start from.
///
///     coracle run ./bundle            run a bundle in the foreground; the container is called "bundle"
///     coracle run -b ./bundle web1    the same, called "web1"
///
/// What engines do, step by step:
///
///     coracle create -b ./bundle web1; coracle start web1; coracle kill web1; coracle delete web1
#[derive(Debug, Default, Parser)]
#[command(name = "coracle", verbatim_doc_comment, disable_help_subcommand = true)]
pub struct Global {
    /// Log debug messages too, and where in the program each comes from
    #[arg(long)]
    pub debug: bool,
    /// Append the log to FILE instead of writing it to standard error
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Shape of the log: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Write where the time went to FILE, for https://ui.perfetto.dev or chrome://tracing
    #[arg(long, value_name = "FILE")]
    timings: Option<PathBuf>,
    /// Keep the state of containers in DIR [default: /run/coracle; users: $XDG_RUNTIME_DIR/coracle]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Have systemd make the container's cgroup: cgroupsPath is then slice:prefix:name
    #[arg(long)]
    systemd_cgroup: bool,
    /// Who makes the container's cgroup: cgroupfs, systemd, or disabled for nobody [default: cgroupfs]
    #[arg(long, value_name = "WHO")]
    cgroup_manager: Option<String>,
    /// Do without cgroups where permission is missing: true, false or auto [default: auto]
    #[arg(long, value_name = "WHEN")]
    rootless: Option<String>,
    /// Print the versions of coracle, of the OCI specification and of libseccomp
    #[arg(long, short = 'v')]
    version: bool,
}

/// A command: its options are the fields.
trait Verb {
    /// Does it; the answer is the exit code.
    fn run(&self, call: &Call) -> Result<u8, Failure>;
}

/// What every command has at hand.
struct Call {
    global: Global,
    inherited: Inherited,
}

/// A row of the table of commands.
struct Entry {
    name: &'static str,
    /// The least and the most operands.
    operands: (usize, usize),
    /// Where its options end.
    until: Until,
    /// The exit code of a mistake in its options or operands.
    misuse: u8,
    command: fn() -> Command,
    parse: fn(&clap::ArgMatches) -> Result<Box<dyn Verb>, clap::Error>,
}

const fn entry<V: Verb + Parser + 'static>(name: &'static str, operands: (usize, usize)) -> Entry {
    Entry {
        name,
        operands,
        until: Until::End,
        misuse: 1,
        command: || with_help(V::command()),
        parse: |matches| Ok(Box::new(V::from_arg_matches(matches)?)),
    }
}

const VERBS: &[Entry] = &[
    Entry { misuse: check::NOT_TOLD, ..entry::<check::Check>("check", (0, 1)) },
    entry::<checkpoint::Checkpoint>("checkpoint", (1, 1)),
    entry::<create::Create>("create", (1, 1)),
    entry::<delete::Delete>("delete", (1, 1)),
    entry::<events::Events>("events", (1, 1)),
    Entry { until: Until::Operand, ..entry::<exec::Exec>("exec", (1, usize::MAX)) },
    entry::<features::Features>("features", (0, 0)),
    entry::<help::Help>("help", (0, 1)),
    entry::<kill::Kill>("kill", (1, 2)),
    entry::<list::List>("list", (0, 0)),
    entry::<mounts::Mounts>("mounts", (3, 3)),
    entry::<pause::Pause>("pause", (1, 1)),
    Entry { until: Until::Operand, ..entry::<ps::Ps>("ps", (1, usize::MAX)) },
    entry::<restore::Restore>("restore", (1, 1)),
    entry::<resume::Resume>("resume", (1, 1)),
    entry::<run::Run>("run", (1, 1)),
    entry::<spec::Spec>("spec", (0, 0)),
    entry::<start::Start>("start", (1, 1)),
    entry::<state::State>("state", (1, 1)),
    entry::<update::Update>("update", (1, 1)),
];

/// Does what the command line `args`, program name first, asks for: the exit code.
pub fn run(args: &[OsString], inherited: Inherited) -> Result<u8, Failure> {
    let program = args.first().map_or("coracle".into(), |arg| arg.to_string_lossy());
    let command = with_help(Global::command());
    let words = Words::sort(&command, args.get(1..).unwrap_or_default(), Until::Operand)
        .map_err(|error| misused(&help::top(), error.to_string()))?;
    let asks_for_help = asks_for_help(&words);
    let global = parse(command, &words.options, &[])
        .and_then(|matches| Global::from_arg_matches(&matches).map_err(|error| rejected(&error)))?;
    if asks_for_help {
        return print(&help::top());
    }
    if global.version {
        return print(&version());
    }
    let format = match global.log_format.as_deref() {
        None | Some("text") => log::Format::Text,
        Some("json") => log::Format::Json,
        Some(other) => return Err(Failure::new(format!("invalid log-format: {other}"))),
    };
    log::start(global.log.as_deref(), format, global.debug)?;
    let Some((name, rest)) = words.operands.split_first() else { return print(&help::top()) };
    let verb = Entry::find(name)?.read(rest, &program)?;
    let verb = match verb {
        Ok(verb) => verb,
        Err(help) => return print(&help),
    };
    let Some(timings) = global.timings.clone() else { return verb.run(&Call { global, inherited }) };
    timings::start(&timings)?;
    let outcome = verb.run(&Call { global, inherited });
    if let Err(error) = timings::write(&format!("coracle {}", name.display())) {
        tracing::warn!("{error}");
    }
    outcome
}

/// All that may be said: the global options, and each command with its own. For those who describe it; what is read at
/// run time is one command alone.
pub fn definition() -> Command {
    let with = |all: Command, entry: &Entry| all.subcommand((entry.command)().name(entry.name));
    VERBS.iter().fold(with_help(Global::command()), with)
}

impl Entry {
    fn find(name: &OsStr) -> Result<&'static Entry, Failure> {
        let name = name.to_string_lossy();
        let known = |entry: &&Entry| entry.name == name || (entry.name == "help" && name == "h");
        let unknown = || Failure::no_command(format!("No help topic for '{name}'"));
        VERBS.iter().find(known).ok_or_else(unknown)
    }

    /// The command with its options, or the help text that was asked for instead.
    fn read(&self, args: &[OsString], program: &str) -> Result<Result<Box<dyn Verb>, String>, Failure> {
        let command = (self.command)();
        let misused = |text: String| misused(&self.help(), text).with_code(self.misuse);
        let words = Words::sort(&command, args, self.until).map_err(|error| misused(error.to_string()))?;
        if asks_for_help(&words) {
            return Ok(Err(self.help()));
        }
        let count = words.operands.len();
        let (least, most) = self.operands;
        if count < least || count > most {
            let asked = match (least == most, count < least) {
                (true, _) => format!("exactly {least}"),
                (false, true) => format!("a minimum of {least}"),
                (false, false) => format!("a maximum of {most}"),
            };
            return Err(misused(format!("{program}: {:?} requires {asked} argument(s)", self.name)));
        }
        let verb = parse(command, &words.options, &words.operands)
            .and_then(|matches| (self.parse)(&matches).map_err(|error| rejected(&error)))
            .map_err(|failure| misused(failure.log_text()))?;
        Ok(Ok(verb))
    }

    fn help(&self) -> String {
        render((self.command)().bin_name(format!("coracle {}", self.name)))
    }
}

/// The whole description, and a line for each option: there is no shorter help than this.
fn render(mut command: Command) -> String {
    if let Some(about) = command.get_long_about().cloned() {
        command = command.about(about);
    }
    command.render_help().to_string()
}

/// A command whose help option is an option like any other: help is not an error, and is printed in one place.
fn with_help(command: Command) -> Command {
    let help = clap::Arg::new("help").short('h').long("help").action(ArgAction::SetTrue).help("Print this help");
    command.disable_help_flag(true).arg(help)
}

fn asks_for_help(words: &Words) -> bool {
    words.options.iter().any(|option| option == "--help")
}

fn parse(command: Command, options: &[OsString], operands: &[OsString]) -> Result<clap::ArgMatches, Failure> {
    let words = options.iter().map(OsString::as_os_str).chain([OsStr::new("--")]);
    let words = words.chain(operands.iter().map(OsString::as_os_str));
    command.no_binary_name(true).try_get_matches_from(words).map_err(|error| rejected(&error))
}

/// A value of the wrong type: all that is left for clap to find.
fn rejected(error: &clap::Error) -> Failure {
    use clap::error::{ContextKind, ContextValue};
    match (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue)) {
        (Some(ContextValue::String(option)), Some(ContextValue::String(value))) => {
            let name = option.trim_start_matches('-').split(' ').next().unwrap_or_default();
            Failure::new(format!("invalid value {value:?} for flag -{name}: parse error"))
        }
        _ => Failure::new(error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default()),
    }
}

/// Shows how the command is used; the error itself goes where all errors go.
fn misused(help: &str, text: String) -> Failure {
    match print(&format!("Incorrect Usage.\n\n{help}\n")) {
        Ok(_) => Failure::new(text),
        Err(failure) => failure,
    }
}

fn version() -> String {
    let mut text = format!("coracle version {}\n", env!("CARGO_PKG_VERSION"));
    if let Some(commit) = option_env!("CORACLE_COMMIT") {
        text.push_str(&format!("commit: {commit}\n"));
    }
    text.push_str(&format!("spec: {}\n", libcoracle::ops::OCI_VERSION));
    if let Some(version) = libcoracle::ops::features::libseccomp_version() {
        text.push_str(&format!("libseccomp: {version}\n"));
    }
    text
}

impl Global {
    /// The directory that holds the state of containers.
    fn root(&self) -> Result<Root, Failure> {
        let Some(path) = &self.root else { return Ok(Root::open(&Root::default_path()?, false)?) };
        let path = std::path::absolute(path)
            .map_err(|error| Failure::system(format!("find the state root {}", path.display()), &error))?;
        if is_slash(&path) {
            return Err(Failure::new("Option --root argument should not be set to /"));
        }
        Ok(Root::open(&path, true)?)
    }

    /// Who makes the container's cgroup.
    fn cgroups(&self) -> Result<Cgroups, Failure> {
        match self.cgroup_manager.as_deref() {
            None if self.systemd_cgroup => Ok(Cgroups::Systemd),
            None | Some("cgroupfs") => Ok(Cgroups::Cgroupfs),
            Some("systemd") => Ok(Cgroups::Systemd),
            Some("disabled") => Ok(Cgroups::Disabled),
            Some(other) => {
                let problem = "must be cgroupfs, systemd or disabled";
                Err(Failure::new(format!("invalid value {other:?} for flag -cgroup-manager: {problem}")))
            }
        }
    }

    /// Whether to do without cgroups where permission is missing; `None` leaves it to the library.
    fn rootless(&self) -> Result<Option<bool>, Failure> {
        match self.rootless.as_deref() {
            None | Some("auto") => Ok(None),
            Some(text) => words::boolean(text).map(Some).ok_or_else(|| {
                Failure::new(format!("invalid value {text:?} for flag -rootless: must be true, false or auto"))
            }),
        }
    }
}

/// Whether an absolute path is `/` once its `..` are taken literally.
fn is_slash(path: &Path) -> bool {
    let depth = path.components().fold(0usize, |depth, component| match component {
        Component::Normal(_) => depth + 1,
        Component::ParentDir => depth.saturating_sub(1),
        _ => depth,
    });
    depth == 0
}

/// The container an operand names.
fn container_id(operand: &OsStr) -> Result<ContainerId, Failure> {
    operand.to_string_lossy().parse().map_err(|error: libcoracle::id::InvalidId| Failure::new(error.to_string()))
}

/// Writes `text` to standard output. A reader that has gone away has seen enough.
fn print(text: &str) -> Result<u8, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::system("write to standard output", &error)),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound() {
        with_help(Global::command()).debug_assert();
        for entry in VERBS {
            (entry.command)().debug_assert();
            let about = (entry.command)().get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.ends_with('.'), "{}: {about}", entry.name);
            assert!((entry.command)().get_opts().all(|option| option.get_help().is_some()), "{}", entry.name);
        }
        assert!(VERBS.is_sorted_by_key(|entry| entry.name));
    }

    #[test]
    fn roots_that_are_the_whole_system() {
        for path in ["/", "//", "/.", "/..", "/a/..", "/a/../../b/.."] {
            assert!(is_slash(Path::new(path)), "{path}");
        }
        for path in ["/run", "/..a", "/a/../b"] {
            assert!(!is_slash(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn cgroups() {
        let global = |systemd_cgroup, text: Option<&str>| {
            Global { systemd_cgroup, cgroup_manager: text.map(str::to_owned), ..Global::default() }.cgroups().ok()
        };
        assert_eq!(global(false, None), Some(Cgroups::Cgroupfs));
        assert_eq!(global(true, None), Some(Cgroups::Systemd));
        assert_eq!(global(false, Some("systemd")), Some(Cgroups::Systemd));
        assert_eq!(global(true, Some("disabled")), Some(Cgroups::Disabled));
        assert_eq!(global(true, Some("cgroupfs")), Some(Cgroups::Cgroupfs));
        assert_eq!(global(false, Some("runc")), None);
    }

    #[test]
    fn rootless() {
        let global = |text: &str| Global { rootless: Some(text.into()), ..Global::default() };
        assert_eq!(Global::default().rootless().unwrap(), None);
        assert_eq!(global("auto").rootless().unwrap(), None);
        assert_eq!(global("T").rootless().unwrap(), Some(true));
        assert_eq!(global("0").rootless().unwrap(), Some(false));
        assert!(global("perhaps").rootless().is_err());
    }
}
