//! Where the time of one command goes, for people who wonder: a file in the Trace Event Format, which Perfetto and
//! Chrome show, with one track for coracle and one for each process it clones.
//!
//! Unless [`start`] was called, all there is to it is one look at a flag.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use coracle_sys::stamps::now;
use serde_json::{Value, json};

use crate::error::{Context, Result};

/// Tells the sealed program when its predecessor, which is the same process, began: nanoseconds since 1970.
pub(crate) const BEGAN: &str = "CORACLE_BEGAN";

/// Who spent the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Track {
    Coracle = 1,
    Relay = 2,
    Child = 3,
}

const TRACKS: [(Track, &str); 3] = [(Track::Coracle, "coracle"), (Track::Relay, "relay"), (Track::Child, "container")];

#[derive(Debug)]
struct Event {
    track: Track,
    name: String,
    /// Nanoseconds since 1970, as `end`.
    begin: u64,
    end: u64,
}

#[derive(Debug)]
struct Record {
    file: File,
    began: u64,
    events: Mutex<Vec<Event>>,
}

static RECORD: OnceLock<Record> = OnceLock::new();

/// From here on times are kept; [`write()`] puts them into the file `path`, which is made, or emptied, now.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(path: &Path) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path);
    let file = file.context(|| format!("open {}", path.display()))?;
    let here = now();
    let before = std::env::var(BEGAN).ok().and_then(|text| text.parse().ok()).filter(|began| *began < here);
    let record = Record { file, began: before.unwrap_or(here), events: Mutex::default() };
    if RECORD.set(record).is_ok()
        && let Some(began) = before
    {
        add(Track::Coracle, "start again from a program nobody can write to".to_owned(), began, here);
    }
    Ok(())
}

/// Whether times are kept.
pub(crate) fn wanted() -> bool {
    RECORD.get().is_some()
}

/// When the command began, if times are kept.
pub(crate) fn began() -> Option<u64> {
    RECORD.get().map(|record| record.began)
}

/// The time from here to where the value is dropped, under a name.
#[must_use]
pub(crate) struct Span(Option<(String, u64)>);

/// Begins a span of coracle's own time.
pub(crate) fn span(name: impl FnOnce() -> String) -> Span {
    Span(wanted().then(|| (name(), now())))
}

/// The time `work` takes.
pub(crate) fn timed<T>(name: &str, work: impl FnOnce() -> T) -> T {
    let _span = span(|| name.to_owned());
    work()
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((name, begin)) = self.0.take() {
            add(Track::Coracle, name, begin, now());
        }
    }
}

/// Keeps a time that was taken elsewhere.
pub(crate) fn add(track: Track, name: String, begin: u64, end: u64) {
    if let Some(record) = RECORD.get() {
        record.events.lock().unwrap_or_else(PoisonError::into_inner).push(Event { track, name, begin, end });
    }
}

/// Writes the file, if times are kept: all of it is the time of `command`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(command: &str) -> Result<()> {
    let Some(record) = RECORD.get() else { return Ok(()) };
    add(Track::Coracle, command.to_owned(), record.began, now());
    let mut events = std::mem::take(&mut *record.events.lock().unwrap_or_else(PoisonError::into_inner));
    // What contains another begins before it, or with it and ends later.
    events.sort_by_key(|event| (event.track as u8, event.begin, std::cmp::Reverse(event.end)));
    let text = document(command, &events).to_string();
    (&record.file).write_all(text.as_bytes()).context(|| "write the timings")
}

/// Complete events (`X`) in microseconds, and the names of the tracks (`M`).
fn document(command: &str, events: &[Event]) -> Value {
    let pid = std::process::id();
    let meta =
        |name: &str, tid: u8, value: Value| json!({"ph": "M", "pid": pid, "tid": tid, "name": name, "args": value});
    let used = TRACKS.iter().filter(|(track, _)| events.iter().any(|event| event.track == *track));
    let names = used.flat_map(|(track, name)| {
        let tid = *track as u8;
        [meta("thread_name", tid, json!({"name": name})), meta("thread_sort_index", tid, json!({"sort_index": tid}))]
    });
    let first = events.iter().map(|event| event.begin).min().unwrap_or_default();
    let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
    let complete = events.iter().map(|event| {
        // The clock may be set back meanwhile.
        let (ts, dur) = (event.begin.saturating_sub(first), event.end.saturating_sub(event.begin));
        json!({"ph": "X", "pid": pid, "tid": event.track as u8, "name": event.name, "ts": micros(ts), "dur": micros(dur)})
    });
    let process = meta("process_name", Track::Coracle as u8, json!({"name": command}));
    let all: Vec<Value> = std::iter::once(process).chain(names).chain(complete).collect();
    json!({"displayTimeUnit": "ms", "otherData": {"began": first}, "traceEvents": all})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_its_tracks_and_counts_from_its_beginning() {
        let event = |track, name: &str, begin, end| Event { track, name: name.to_owned(), begin, end };
        let events = [event(Track::Coracle, "run", 1_000, 9_000), event(Track::Child, "set umask 0000", 3_000, 3_500)];
        let document = document("coracle run", &events);
        let all = document["traceEvents"].as_array().unwrap();
        let names: Vec<_> = all.iter().filter(|event| event["ph"] == "M").map(|event| &event["args"]["name"]).collect();
        assert_eq!(names, [&json!("coracle run"), &json!("coracle"), &Value::Null, &json!("container"), &Value::Null]);
        let last = all.last().unwrap();
        assert_eq!((&last["tid"], &last["ts"], &last["dur"]), (&json!(3), &json!(2.0), &json!(0.5)));
    }
}
