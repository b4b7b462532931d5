//! What is seen of a child on its way: each step as it begins, and when it did. Nothing unless somebody asked.

use std::os::fd::BorrowedFd;

use coracle_plan::Plan;
use coracle_plan::step::Step;
use coracle_sys::Errno;
use coracle_sys::stamps::{self, Stamps};
use tracing::level_filters::LevelFilter;

use super::packet::{self, Process};
use crate::timings::{self, Track};

/// What the child does before each step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch<'a> {
    /// Say which it is.
    told: bool,
    /// Note the time, and in which place that of the first step is.
    times: Option<(&'a Stamps, usize)>,
}

impl Watch<'_> {
    /// Step `index` of `by` begins.
    pub fn at(&self, socket: BorrowedFd<'_>, by: Process, index: usize, step: &Step) {
        if let Some((stamps, first)) = self.times {
            stamps.mark(first + index);
        }
        // The filter that was loaded before the program may not let a word through.
        if self.told && !matches!(step, Step::Exec { .. }) {
            packet::at(socket, by, index);
        }
    }
}

/// The parent's side. Dropped, what the child has noted goes to the timings.
#[derive(Debug, Default)]
pub struct Watched {
    told: bool,
    times: Option<Times>,
}

#[derive(Debug)]
struct Times {
    stamps: Stamps,
    /// What is said of each step of the relay, if there is one, and then of the child.
    steps: Vec<(Track, String)>,
}

impl Watched {
    /// Gets ready for the child of `plan`; all that costs is done here, and only if it is wanted.
    pub fn of(plan: &Plan) -> Result<Watched, Errno> {
        let told = LevelFilter::current() >= LevelFilter::DEBUG;
        if !timings::wanted() {
            return Ok(Watched { told, times: None });
        }
        let relay = plan.relay.iter().flat_map(|relay| &relay.steps).map(|step| (Track::Relay, step.to_string()));
        let steps: Vec<_> = relay.chain(plan.init.iter().map(|step| (Track::Child, step.to_string()))).collect();
        Ok(Watched { told, times: Some(Times { stamps: Stamps::new(steps.len())?, steps }) })
    }

    /// For the process whose first step is the one after `first` others.
    pub fn watch(&self, first: usize) -> Watch<'_> {
        Watch { told: self.told, times: self.times.as_ref().map(|times| (&times.stamps, first)) }
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        let mut end = stamps::now();
        for (i, (track, text)) in self.steps.drain(..).enumerate().rev() {
            // What was not begun has no time.
            let Some(begin) = self.stamps.get(i) else { continue };
            timings::add(track, text, begin, end);
            end = begin;
        }
    }
}
