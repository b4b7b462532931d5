//! `coracle events`

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::ops::ControlFlow;
use std::time::Duration;

use clap::Parser;
use libcoracle::{Error, Kind, ops};
use ops::events::Event;

use super::duration::Span;
use super::{Call, Verb, container_id};
use crate::failure::Failure;

/// Print what a container uses, and when it runs out of memory, as JSON
///
/// Prints a line {"type":"stats",...} after every interval and {"type":"oom",...} whenever a process of the container is
/// killed because its memory limit was met, and ends with the container.
#[derive(Debug, Parser)]
#[command(verbatim_doc_comment)]
pub struct Events {
    /// Time between two statistics, such as 100ms or 1m30s [default: 5s]
    #[arg(long, value_name = "TIME")]
    interval: Option<Span>,
    /// Print the statistics once, at once
    #[arg(long)]
    stats: bool,
    /// Name of the container
    #[arg(value_name = "CONTAINER-ID")]
    id: OsString,
}

impl Verb for Events {
    fn run(&self, call: &Call) -> Result<u8, Failure> {
        let id = container_id(&self.id)?;
        let root = call.global.root()?;
        let interval = match self.interval {
            None => Duration::from_secs(5),
            Some(Span { length, negative: false }) if !length.is_zero() => length,
            Some(_) => return Err(Failure::new("duration interval must be greater than 0")),
        };
        let failed = |error| Failure::from(error).during("events", &id);
        if self.stats {
            let data = ops::events::stats(&root, &id).map_err(failed)?;
            let event = Event { kind: "stats", id: id.as_ref(), data: Some(data) };
            return line(&event).map(|_| 0).map_err(failed);
        }
        ops::events(&root, &id, interval, &mut line).map_err(failed)?;
        Ok(0)
    }
}

/// Prints an event. A reader that has gone away has seen enough.
fn line(event: &Event<'_>) -> Result<ControlFlow<()>, Error> {
    let failed = |text: String| Error::new(Kind::InvalidState, text);
    let json = serde_json::to_string(event).map_err(|error| failed(format!("write an event as JSON: {error}")))?;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{json}").and_then(|()| out.flush()) {
        Ok(()) => Ok(ControlFlow::Continue(())),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
        Err(error) => {
            let errno = coracle_sys::Errno::from_raw(error.raw_os_error().unwrap_or_default());
            Err(Error::system("write to standard output", errno))
        }
    }
}
