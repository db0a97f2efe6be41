//! When connections that bring history are read.
//!
//! A fleet that comes back after a blackout sends all that it could not send, from thousands of sockets at once. Read in
//! turn with the others, each of them would have a place in the queue, and a live reading would wait for all of them.
//! So they have a queue of their own: one at a time is let in, for a slice of the worker's time, and while others send
//! live data the worker then rests from history for about as long. What is not read stays in the sockets, and the
//! senders wait: their readings are old already.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::commit::ConnKey;
use super::worker::Worker;

/// How long history is read in a row: about what it adds to the wait of a live message.
const SLICE: Duration = Duration::from_micros(500);
/// How long it then is not, while live data comes. Timers count in these.
const REST: Duration = Duration::from_millis(1);
/// Live data that came within so many of the worker's seconds counts as coming.
const LIVE_WITHIN_S: u32 = 1;

/// Whose turn it is among the connections that bring history.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: RefCell<VecDeque<ConnKey>>,
    arrived: Notify,
    spent: Cell<Duration>,
    /// When live data came last, in ticks of the worker.
    live_at: Cell<u32>,
}

/// A connection's place among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// It has not asked.
    #[default]
    None,
    /// It stands in the queue.
    Waiting,
    /// It is let in for one read.
    Admitted,
}

impl Turns {
    /// Whether a connection at `place` may read. If not it is woken when it may.
    pub(super) fn ask(&self, key: ConnKey, place: &mut Place) -> bool {
        match *place {
            Place::Admitted => {
                *place = Place::None;
                return true;
            }
            Place::None => {
                self.waiting.borrow_mut().push_back(key);
                self.arrived.notify_one();
                *place = Place::Waiting;
            }
            Place::Waiting => {}
        }
        false
    }

    /// Notes how long a connection that was let in took.
    pub(super) fn took(&self, time: Duration) {
        self.spent.set(self.spent.get() + time);
    }

    /// Notes that live data came.
    pub(super) fn live_came(&self, tick: u32) {
        self.live_at.set(tick);
    }
}

impl Worker {
    /// Lets in connections that bring history, one after the other.
    pub(super) async fn let_history_in(self: Rc<Self>) {
        let turns = &self.turns;
        loop {
            turns.arrived.notified().await;
            loop {
                turns.spent.set(Duration::ZERO);
                while turns.spent.get() < SLICE {
                    let Some(key) = turns.waiting.borrow_mut().pop_front() else { break };
                    self.admit(key);
                    // The connection is read, and whoever else has something to do has a turn.
                    tokio::task::yield_now().await;
                }
                if turns.waiting.borrow().is_empty() {
                    break;
                }
                if self.tick().saturating_sub(turns.live_at.get()) <= LIVE_WITHIN_S {
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_waits_once_and_reads_once() {
        let turns = Turns::default();
        let (first, second) = (ConnKey { slot: 1, generation: 1 }, ConnKey { slot: 2, generation: 1 });
        let (mut of_first, mut of_second) = (Place::None, Place::None);
        assert!(!turns.ask(first, &mut of_first));
        assert!(!turns.ask(second, &mut of_second));
        assert!(!turns.ask(first, &mut of_first), "it stands in the queue already");
        assert_eq!(*turns.waiting.borrow(), [first, second]);
        of_first = Place::Admitted;
        assert!(turns.ask(first, &mut of_first));
        assert!(!turns.ask(first, &mut of_first), "one turn, one read");
    }
}
