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
