//! Progress on stderr while a run is under way.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use crate::progress::Snapshot;

/// How often a run is looked at.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// How often it is told where nobody sits before a terminal.
const LINE: Duration = Duration::from_secs(10);

/// Tells how far a run is: on a terminal each second in the same line, else a line every ten seconds.
pub(super) struct Watch {
    terminal: bool,
    lasts: Option<Duration>,
    last: Snapshot,
    slowest: Duration,
}

impl Watch {
    pub(super) fn new(lasts: Option<Duration>) -> Self {
        Self { terminal: stderr().is_terminal(), lasts, last: Snapshot::default(), slowest: Duration::ZERO }
    }

    pub(super) fn tell(&mut self, now: Snapshot) {
        // A tick comes a little late; half of one more or less is the same second.
        if !self.terminal && now.after + TICK / 2 < self.last.after + LINE {
            self.slowest = self.slowest.max(now.slowest);
            return;
        }
        let now = Snapshot { slowest: std::mem::take(&mut self.slowest).max(now.slowest), ..now };
        let line = line(&self.last, &now, self.lasts);
        self.last = now;
        let written = match self.terminal {
            true => write!(stderr(), "\r\x1b[K{line}"),
            false => writeln!(stderr(), "{line}"),
        };
        // Nobody looks on any more: the run goes on.
        drop(written);
    }

    /// The last line gives way to what follows.
    pub(super) fn end(&self) {
        if self.terminal {
            drop(write!(stderr(), "\r\x1b[K"));
        }
    }
}

fn line(last: &Snapshot, now: &Snapshot, lasts: Option<Duration>) -> String {
    let seconds = (now.after - last.after).as_secs_f64().max(1e-3);
    let rate = now.acknowledged.saturating_sub(last.acknowledged) as f64 / seconds;
    let of = lasts.map_or_else(String::new, |lasts| format!(" of {:.0}", lasts.as_secs_f64()));
    let refused = if now.refused > 0 { format!(", {} refused", now.refused) } else { String::new() };
    format!(
        "{:.0}{of} s: {} up, {} sent, {} acknowledged ({rate:.0}/s, slowest {:.1} ms){refused}",
        now.after.as_secs_f64(),
        now.up,
        now.published,
        now.acknowledged,
        now.slowest.as_secs_f64() * 1e3,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_came_since_the_last_one() {
        let last = Snapshot { after: Duration::from_secs(1), acknowledged: 100, ..Snapshot::default() };
        let now = Snapshot {
            after: Duration::from_secs(3),
            published: 310,
            acknowledged: 300,
            refused: 2,
            up: 20,
            slowest: Duration::from_micros(12_340),
        };
        assert_eq!(
            line(&last, &now, Some(Duration::from_secs(60))),
            "3 of 60 s: 20 up, 310 sent, 300 acknowledged (100/s, slowest 12.3 ms), 2 refused"
        );
        assert!(line(&last, &Snapshot { refused: 0, ..now }, None).starts_with("3 s: 20 up"));
    }
}
