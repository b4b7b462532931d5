//! Progress: bars on a terminal, lines for programs.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use coracle_image::digest::Digest;
use coracle_image::progress::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use super::How;

/// Digests are shown by so many digits.
const SHORT: usize = 12;

/// One bar a blob.
pub struct Bars {
    how: How,
    all: MultiProgress,
    bars: Mutex<HashMap<Digest, ProgressBar>>,
}

impl Bars {
    pub fn new(how: How) -> Bars {
        let how = if how == How::Auto && !std::io::stderr().is_terminal() { How::None } else { how };
        Bars { how, all: MultiProgress::new(), bars: Mutex::default() }
    }

    /// Takes news of a blob, but for that of what was there.
    pub fn tell_new(&self, event: Event<'_>) {
        if self.how != How::Auto || !matches!(event, Event::Cached { .. }) {
            self.tell(event);
        }
    }

    /// Takes news of a blob.
    pub fn tell(&self, event: Event<'_>) {
        match self.how {
            How::None => (),
            How::Json => line(event),
            How::Auto => self.draw(event),
        }
    }

    fn draw(&self, event: Event<'_>) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        let short = |digest: &Digest| digest.hex().get(..SHORT).unwrap_or_default().to_owned();
        match event {
            Event::Begin { digest, total } => {
                let bar = bars.entry(digest.clone()).or_insert_with(|| self.all.add(ProgressBar::new(total)));
                let template = "{prefix}  {bar:30}  {bytes:>10} of {total_bytes:<10}  {bytes_per_sec}";
                // The template is ours; without it the default one does.
                bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_length(total);
                bar.set_position(0);
                bar.set_prefix(short(digest));
            }
            Event::Bytes { digest, count } => {
                if let Some(bar) = bars.get(digest) {
                    bar.inc(count);
                }
            }
            Event::Cached { digest } => {
                let _ = self.all.println(format!("{}  is there already", short(digest)));
            }
            Event::Done { digest } => {
                if let Some(bar) = bars.remove(digest) {
                    bar.finish();
                }
            }
        }
    }
}

/// An object a line; a reader that is gone wants no more.
fn line(event: Event<'_>) {
    let object = match event {
        Event::Begin { digest, total } => json!({"event": "begin", "digest": digest, "total": total}),
        Event::Bytes { digest, count } => json!({"event": "bytes", "digest": digest, "count": count}),
        Event::Cached { digest } => json!({"event": "cached", "digest": digest}),
        Event::Done { digest } => json!({"event": "done", "digest": digest}),
    };
    let _ = writeln!(std::io::stderr().lock(), "{object}");
}
