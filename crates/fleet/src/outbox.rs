//! What a device has measured and not yet sent, and in which order it goes out.

use std::collections::VecDeque;

use crate::disorder::{Disorder, Flaw};
use crate::report::Stats;

/// Measurements that an open loop keeps for a device that is down, away or full, so that they count from when they
/// were due. Beyond, the oldest are dropped and show as not published.
const BACKLOG_LIMIT: usize = 100_000;
/// Messages held back or to be repeated. One in flight each for the longest wait (60 messages), and a few.
const LATER_LIMIT: usize = 64;

/// A message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message {
    /// When it was meant to go out, nanoseconds on the engine's clock.
    pub(crate) intended_ns: u64,
    /// When it was measured, by a clock that is right, milliseconds since the epoch.
    pub(crate) measured_ms: i64,
    pub(crate) flaw: Flaw,
    /// The connection breaks right after.
    pub(crate) breaks: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    due: VecDeque<(u64, i64)>,
    /// With the number of measurements after which each goes out.
    later: Vec<(u64, Message)>,
    measured: u64,
    last_ms: i64,
}

/// For whom, when and how [`Outbox::next`] decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) device: u32,
    pub(crate) now_ns: u64,
    pub(crate) now_ms: i64,
    /// A measurement is made now if none waits (closed loop).
    pub(crate) measures: bool,
    /// Several devices send by this connection, in turn.
    pub(crate) shared: bool,
    /// Nothing more will be due: what is held back goes out.
    pub(crate) ending: bool,
    pub(crate) disorder: Option<&'a Disorder>,
}

impl Outbox {
    /// A measurement is due; it is meant to go out at `intended_ns`.
    pub(crate) fn due(&mut self, intended_ns: u64, measured_ms: i64, stats: &mut Stats) {
        if self.due.len() >= BACKLOG_LIMIT {
            self.due.pop_front();
            stats.overflowed += 1;
        }
        self.due.push_back((intended_ns, measured_ms));
    }

    /// Nothing waits to be sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.due.is_empty() && self.later.is_empty()
    }

    /// Something could go out now.
    pub(crate) fn has_next(&self, ending: bool) -> bool {
        !self.due.is_empty() || self.later.iter().any(|(after, _)| ending || *after <= self.measured)
    }

    /// The next message.
    pub(crate) fn next(&mut self, turn: Turn<'_>, stats: &mut Stats) -> Option<Message> {
        loop {
            if let Some(mut message) = self.take_later(turn.ending) {
                message.intended_ns = message.intended_ns.max(turn.now_ns);
                return Some(message);
            }
            let (intended_ns, due_ms) = match self.due.pop_front() {
                Some(due) => due,
                None if turn.measures => (turn.now_ns, turn.now_ms),
                None => return None,
            };
            // A device's key is its time: two readings of one millisecond would be one reading.
            let measured_ms = if turn.shared { due_ms } else { due_ms.max(self.last_ms + 1) };
            self.last_ms = measured_ms;
            let message = Message { intended_ns, measured_ms, flaw: Flaw::None, breaks: false };
            let Some(disorder) = turn.disorder else { return Some(message) };
            if let Some(message) = self.decide(message, turn.device, disorder, stats) {
                return Some(message);
            }
        }
    }

    /// A message that [`Outbox::next`] gave goes out next after all.
    pub(crate) fn put_back(&mut self, message: Message) {
        self.later.insert(0, (0, message));
    }

    fn take_later(&mut self, ending: bool) -> Option<Message> {
        if self.later.is_empty() {
            return None;
        }
        let everything = ending && self.due.is_empty();
        let ready = self.later.iter().position(|(after, _)| everything || *after <= self.measured)?;
        Some(self.later.remove(ready).1)
    }

    /// Gives a message its fate. `None` when it is held back.
    fn decide(
        &mut self,
        mut message: Message,
        device: u32,
        disorder: &Disorder,
        stats: &mut Stats,
    ) -> Option<Message> {
        let fate = disorder.fate(device, self.measured);
        self.measured += 1;
        message.flaw = fate.flaw;
        let again = Message { breaks: false, ..message };
        for (after, fault) in [(fate.duplicate.then_some(0), "duplicate"), (fate.replay_after, "replay")] {
            if let Some(after) = after.filter(|_| self.later.len() < LATER_LIMIT) {
                // Behind the message itself, should that be held back.
                let after = after + fate.wait_for.unwrap_or(0);
                self.later.push((self.measured + after, again));
                stats.fault(fault);
            }
        }
        match fate.flaw {
            Flaw::None => {}
            Flaw::Malformed => stats.fault("malformed"),
            Flaw::Oversize => stats.fault("oversize"),
        }
        message.breaks = fate.breaks;
        if let Some(wait) = fate.wait_for.filter(|_| self.later.len() < LATER_LIMIT) {
            stats.fault("reorder");
            // In front of its own repetition.
            self.later.insert(0, (self.measured + wait, message));
            return None;
        }
        Some(message)
    }
}
