//! Where warnings, debug messages and the one error of a run go.
//!
//! Callers of runc parse its log, so this has the same two shapes: lines of `key=value` and lines of JSON. On a
//! terminal a person gets a sentence instead.

mod clock;
mod line;

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::failure::Failure;
use line::{Line, Value};

/// How an entry is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// `key=value`, or a plain sentence on a terminal.
    #[default]
    Text,
    /// One object a line.
    Json,
}

#[derive(Debug, Default)]
struct Log {
    /// `None` is standard error.
    file: Option<File>,
    format: Format,
    debug: bool,
}

static LOG: OnceLock<Log> = OnceLock::new();

/// Opens the log; from here on events of the library go there. Nothing is logged before.
pub fn start(path: Option<&Path>, format: Format, debug: bool) -> Result<(), Failure> {
    let file = path.map(open).transpose()?;
    if LOG.set(Log { file, format, debug }).is_ok() {
        // Fails only if somebody else was first, and then the events are theirs.
        let _ = tracing::subscriber::set_global_default(Events);
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, Failure> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .custom_flags(nix::fcntl::OFlag::O_SYNC.bits())
        .open(path)
        .map_err(|error| Failure::system(format!("open log {}", path.display()), &error))
}

/// Reports the error a run ends with: once in the log, and on standard error too if the log is elsewhere.
pub fn fatal(failure: &Failure) {
    let log = LOG.get_or_init(Log::default);
    let people = std::io::stderr().is_terminal();
    if people && log.file.is_none() && log.format == Format::Text {
        return to_stderr(&failure.plain());
    }
    let text = failure.log_text();
    let hint = failure.hint().map(|hint| ("hint", Value::Text(hint.to_owned())));
    let time = clock::rfc3339(SystemTime::now());
    let line = Line { time: &time, level: Level::ERROR, message: &text, caller: None, fields: hint.as_slice() };
    log.put(&line.shaped(log.format));
    if log.file.is_some() {
        to_stderr(&if people { failure.plain() } else { format!("{text}\n") });
    }
}

impl Log {
    fn for_people(&self) -> bool {
        self.file.is_none() && self.format == Format::Text && std::io::stderr().is_terminal()
    }

    /// Adds a line, in one write, for others may append to the file too. When it fails there is nowhere to say so.
    fn put(&self, line: &str) {
        match &self.file {
            Some(file) => drop((file as &File).write_all(line.as_bytes())),
            None => to_stderr(line),
        }
    }
}

/// Nobody is left to tell when this fails.
fn to_stderr(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Writes events to the log. Spans have no place in its shapes and are not entered.
struct Events;

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.max_level_hint().is_some_and(|max| *metadata.level() <= max)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let debug = LOG.get().is_some_and(|log| log.debug);
        Some(if debug { LevelFilter::DEBUG } else { LevelFilter::INFO })
    }

    fn event(&self, event: &Event<'_>) {
        let Some(log) = LOG.get() else { return };
        let mut entry = Entry::default();
        event.record(&mut entry);
        let metadata = event.metadata();
        let file = format!("{}:{}", metadata.file().unwrap_or_default(), metadata.line().unwrap_or_default());
        let line = Line {
            time: &clock::rfc3339(SystemTime::now()),
            level: *metadata.level(),
            message: &entry.message,
            caller: log.debug.then_some((metadata.target(), &file)),
            fields: &entry.fields,
        };
        log.put(&if log.for_people() { line.plain() } else { line.shaped(log.format) });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// What an event says.
#[derive(Default)]
struct Entry {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Visit for Entry {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.fields.push((name, Value::Text(value.to_owned()))),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Plain(value.to_string())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Plain(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Plain(value.to_string())));
    }
}
