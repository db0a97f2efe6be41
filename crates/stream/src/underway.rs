//! The turn before, on its way into the store while the next one is computed.
//!
//! What a turn asks of the store must be answered as if the turn before were in it. Hardly any turn asks anything: known
//! devices and the moments that a partition remembers need no answer. So the next turn is computed meanwhile, and only who
//! asks waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::answers::Unanswered;

/// How often one who waits looks whether the stream is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// Where the turn before is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Stored,
    Underway,
    GivenUp,
}

#[derive(Debug, Default)]
pub(crate) struct Underway {
    before: Mutex<Before>,
    changed: Condvar,
}

impl Underway {
    /// A turn is computed, and is not in the store yet.
    pub(crate) fn begin(&self) {
        *self.before.lock() = Before::Underway;
    }

    /// It is in the store, or is given up together with the state that it left behind.
    pub(crate) fn end(&self, stored: bool) {
        *self.before.lock() = if stored { Before::Stored } else { Before::GivenUp };
        self.changed.notify_all();
    }

    /// Waits until nothing is on its way. Blocks.
    pub(crate) fn wait(&self, stop: &AtomicBool) -> Result<(), Unanswered> {
        let mut before = self.before.lock();
        loop {
            match *before {
                Before::Stored => return Ok(()),
                Before::GivenUp => return Err(Unanswered::GivenUp),
                Before::Underway => {}
            }
            self.changed.wait_for(&mut before, LOOK);
            if *before == Before::Underway && stop.load(Ordering::Relaxed) {
                return Err(Unanswered::Stopping);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::{Unanswered, Underway};

    /// Who asks while a turn is on its way gets no answer before `happens`, and then this one.
    fn asked(happens: impl FnOnce(&Underway, &AtomicBool)) -> Result<(), Unanswered> {
        let (underway, stop) = (Underway::default(), AtomicBool::new(false));
        underway.begin();
        std::thread::scope(|scope| {
            let (answer, answered) = mpsc::channel();
            let (of, stopped) = (&underway, &stop);
            scope.spawn(move || answer.send(of.wait(stopped)));
            assert!(answered.recv_timeout(Duration::from_millis(20)).is_err(), "it did not wait");
            happens(&underway, &stop);
            answered.recv().expect("the one who asked is still there")
        })
    }

    #[test]
    fn who_asks_waits_for_the_turn_before() {
        assert!(Underway::default().wait(&AtomicBool::new(false)).is_ok());
        assert!(asked(|underway, _| underway.end(true)).is_ok());
        assert!(matches!(asked(|underway, _| underway.end(false)), Err(Unanswered::GivenUp)));
        let stopped = asked(|_, stop| stop.store(true, Ordering::Relaxed));
        assert!(matches!(stopped, Err(Unanswered::Stopping)));
    }
}
