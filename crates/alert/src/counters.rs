//! What happened since the start, for `/metrics`.

use parking_lot::Mutex;

/// Counters since the start. What fails to be committed is not counted.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Tally>);

/// The counters at one moment, or what a call adds to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Alerts that were raised, whatever became of them.
    pub raised: u64,
    /// Raises that had their alert already.
    pub repeated: u64,
    /// Alerts that were suppressed.
    pub suppressed: u64,
    /// Suppressed alerts whose condition outlasted the suppression: they stand on their own now.
    pub outlasted: u64,
    /// Alerts that a mute kept from people.
    pub muted: u64,
    /// Alerts about the past that were told nobody.
    pub retrospective: u64,
    /// Alerts that nobody wants to hear of.
    pub unheard: u64,
    /// Alerts that are over.
    pub resolved: u64,
    /// Alerts that somebody acknowledged.
    pub acknowledged: u64,
    /// Steps of escalation lists that were taken.
    pub escalated: u64,
    /// Ends of causes without an alert.
    pub unmatched: u64,
    /// Findings of rules, and things that were put off, that were left undone because they need a damaged row.
    pub passed_over: u64,
    /// Steps of alerts that were left out of the topic, because too many wait for it.
    pub unpublished: u64,
    /// Messages that were written, one for each person.
    pub messages: u64,
    /// How often a person was not told of an alert at once, because of the limit or quiet hours.
    pub held_back: u64,
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Deliveries that were given up.
    pub failed: u64,
}

impl Counters {
    pub(crate) fn add(&self, mut more: Tally) {
        let mut all = self.0.lock();
        for (sum, number) in all.each().into_iter().zip(more.each()) {
            *sum += *number;
        }
    }

    pub(crate) fn now(&self) -> Tally {
        *self.0.lock()
    }
}

impl Tally {
    const fn each(&mut self) -> [&mut u64; 18] {
        [
            &mut self.raised,
            &mut self.repeated,
            &mut self.suppressed,
            &mut self.outlasted,
            &mut self.muted,
            &mut self.retrospective,
            &mut self.unheard,
            &mut self.resolved,
            &mut self.acknowledged,
            &mut self.escalated,
            &mut self.unmatched,
            &mut self.passed_over,
            &mut self.unpublished,
            &mut self.messages,
            &mut self.held_back,
            &mut self.delivered,
            &mut self.retried,
            &mut self.failed,
        ]
    }
}
