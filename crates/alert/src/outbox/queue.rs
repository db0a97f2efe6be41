//! Which delivery is tried next. Destinations do not hold each other up.

use std::collections::{BTreeMap, BTreeSet};

/// Most deliveries that wait in the outbox, of all tenants: some 50 MB of rows. Beyond it people hear in digests.
pub const OUTBOX_ROWS: usize = 50_000;
/// Most deliveries under way at once: so many sockets and buffers.
pub const AT_ONCE: usize = 64;
/// Most of them to destinations that failed last time. The rest is for those that work, however many are dead.
pub const AT_ONCE_FAILING: usize = 24;
/// Most of them to one destination: it is not to be overrun, and not to take all.
pub const AT_ONCE_PER_DESTINATION: usize = 8;

/// A delivery that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) destination: String,
    pub(crate) tenant: String,
    pub(crate) id: String,
}

/// What waits, by destination. Pure: it holds names and times only.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<String, Lane>,
    waiting: usize,
    under_way: usize,
    /// Those of them to destinations that failed last time.
    under_way_failing: usize,
    /// Where the last turn ended, so that the next one begins behind it.
    last: String,
}

#[derive(Debug, Default)]
struct Lane {
    /// By time, tenant and id.
    waiting: BTreeSet<(i64, String, String)>,
    under_way: usize,
    /// Whether the last delivery failed: then one at a time tries whether it works again.
    failing: bool,
}

impl Queue {
    pub(crate) fn add(&mut self, destination: &str, at_ms: i64, tenant: &str, id: &str) {
        let lane = match self.lanes.get_mut(destination) {
            Some(lane) => lane,
            None => self.lanes.entry(destination.to_owned()).or_default(),
        };
        self.waiting += usize::from(lane.waiting.insert((at_ms, tenant.to_owned(), id.to_owned())));
    }

    /// How many wait or are under way.
    pub(crate) const fn len(&self) -> usize {
        self.waiting + self.under_way
    }

    /// What is to be tried now: one of each destination in turn, until no more may be.
    pub(crate) fn take(&mut self, now_ms: i64) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        let names: Vec<String> = self.lanes.keys().cloned().collect();
        let first = names.partition_point(|name| *name <= self.last);
        loop {
            let before = tickets.len();
            for name in names[first..].iter().chain(&names[..first]) {
                if self.under_way == AT_ONCE {
                    return tickets;
                }
                if let Some(ticket) = self.take_from(name, now_ms) {
                    self.last.clone_from(name);
                    tickets.push(ticket);
                }
            }
            if tickets.len() == before {
                return tickets;
            }
        }
    }

    fn take_from(&mut self, name: &str, now_ms: i64) -> Option<Ticket> {
        let lane = self.lanes.get_mut(name)?;
        let most = if lane.failing { 1 } else { AT_ONCE_PER_DESTINATION };
        let is_due = lane.waiting.first().is_some_and(|(at_ms, ..)| *at_ms <= now_ms);
        if !is_due || lane.under_way >= most || (lane.failing && self.under_way_failing >= AT_ONCE_FAILING) {
            return None;
        }
        let (_, tenant, id) = lane.waiting.pop_first()?;
        lane.under_way += 1;
        self.waiting -= 1;
        self.under_way += 1;
        self.under_way_failing += usize::from(lane.failing);
        Some(Ticket { destination: name.to_owned(), tenant, id })
    }

    /// A delivery is no longer under way.
    pub(crate) fn done(&mut self, ticket: &Ticket, failed: bool) {
        if let Some(lane) = self.lanes.get_mut(&ticket.destination) {
            let before = if lane.failing { lane.under_way } else { 0 };
            lane.under_way -= 1;
            lane.failing = failed;
            let after = if lane.failing { lane.under_way } else { 0 };
            self.under_way -= 1;
            self.under_way_failing = self.under_way_failing + after - before;
            if lane.under_way == 0 && lane.waiting.is_empty() {
                self.lanes.remove(&ticket.destination);
            }
        }
    }

    /// When the next one is due, milliseconds since 1970. Those that may not be tried yet because others are under way are not
    /// meant: their end is the sign for them.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        let idle = self
            .lanes
            .values()
            .filter(|lane| lane.under_way < if lane.failing { 1 } else { AT_ONCE_PER_DESTINATION });
        idle.filter_map(|lane| lane.waiting.first()).map(|(at_ms, ..)| *at_ms).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_destinations_leave_room_for_others() {
        let mut queue = Queue::default();
        for host in 0..200 {
            for n in 0..10 {
                queue.add(&format!("dead-{host}"), 0, "t", &format!("{host}-{n}"));
            }
        }
        // Nobody knows yet that they are dead.
        let first = queue.take(0);
        assert_eq!(first.len(), AT_ONCE);
        assert!(queue.take(0).is_empty());
        first.iter().for_each(|ticket| queue.done(ticket, true));
        let mut known: BTreeSet<String> = first.into_iter().map(|ticket| ticket.destination).collect();
        while known.len() < 200 {
            let turn = queue.take(0);
            turn.iter().for_each(|ticket| queue.done(ticket, true));
            known.extend(turn.into_iter().map(|ticket| ticket.destination));
        }
        assert_eq!(queue.take(0).len(), AT_ONCE_FAILING);
        for n in 0..20 {
            queue.add("alive", 5, "t", &n.to_string());
        }
        assert!(queue.take(4).is_empty());
        let alive = queue.take(5);
        assert_eq!(alive.len(), AT_ONCE_PER_DESTINATION);
        assert!(alive.iter().all(|ticket| ticket.destination == "alive"));
    }

    #[test]
    fn what_is_due_first_goes_first_and_all_of_it_goes() {
        let mut queue = Queue::default();
        for (at_ms, id) in [(7, "c"), (3, "a"), (5, "b")] {
            queue.add("host", at_ms, "t", id);
        }
        assert_eq!(queue.next_ms(), Some(3));
        let ids = |tickets: &[Ticket]| tickets.iter().map(|ticket| ticket.id.clone()).collect::<Vec<_>>();
        let first = queue.take(5);
        assert_eq!(ids(&first), ["a", "b"]);
        assert_eq!((queue.len(), queue.next_ms()), (3, Some(7)));
        first.iter().for_each(|ticket| queue.done(ticket, false));
        let last = queue.take(7);
        assert_eq!(ids(&last), ["c"]);
        queue.done(&last[0], false);
        assert_eq!((queue.len(), queue.lanes.len(), queue.under_way_failing), (0, 0, 0));
    }
}
