//! The view itself: who is in it, and what the dispatcher asks of it.

mod events;
mod messages;
mod slots;

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use log::Position;
use wire::mqtt::session::Durable;

use super::marks::Marks;
use super::positions::Positions;
use super::replay::Replay;
use super::session::{OwedWill, Session, SessionKey};
use crate::topics::{Retained, RetainedLimits, SubscriptionLimits, Subscriptions};
pub(in crate::state) use messages::sent_before;
use slots::Slots;

/// What the book may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages that wait for one session; beyond, the oldest that was not sent is given up and counted.
    pub queued_messages: usize,
    /// Subscriptions.
    pub subscriptions: SubscriptionLimits,
    /// Retained messages.
    pub retained: RetainedLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queued_messages: 100_000,
            subscriptions: SubscriptionLimits::default(),
            retained: RetainedLimits::default(),
        }
    }
}

/// What was given up or could not be used since the book was made. There is no silent loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages given up because a session's queue was full.
    pub queue_full: u64,
    /// Messages whose share group had nobody to take them.
    pub unserved: u64,
    /// Retained messages refused by the tenant's limit.
    pub retained_refused: u64,
    /// Events of sessions the book does not know.
    pub orphans: u64,
    /// Deliveries under way whose message the log's retention has taken.
    pub expired: u64,
}

/// What a session is when a client opens a connection on it.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The session.
    pub session: SessionKey,
    /// Its state, when it is resumed (CONNACK: session present).
    pub stored: Option<Durable<Position>>,
}

/// Persistent sessions and retained messages as the log has them up to [`Self::positions`], and the numbers of the
/// others. Owned by the dispatcher.
///
/// # How it is driven
/// The dispatcher tails the log and hands each record of `Topic::Sessions` to [`Self::apply_session`], each message to
/// [`Self::apply_message`]. Queues of persistent sessions fill by that alone, connected or not: a connection keeps only
/// its own window. What cannot wait for the log is said by calls:
/// - [`Self::open`] when a client id gets its connection: after the earlier connection's appends have settled and
///   the book has read them ([`Self::positions`] against the end of the session's partition). The `Opened`
///   record that follows says `clean` exactly when `stored` was `None`.
/// - Workers change [`Self::subscriptions`] under the key they were given, after taking
///   [`Positions::message_tails`] for the record and before SUBACK or UNSUBACK.
#[derive(Debug)]
pub struct Book {
    pub(super) limits: Limits,
    pub(super) slots: Slots,
    pub(super) subscriptions: Arc<Subscriptions<SessionKey>>,
    pub(super) retained: Retained,
    pub(super) positions: Positions,
    pub(super) marks: Marks,
    /// While the log is replayed.
    pub(super) replay: Option<Box<Replay>>,
    /// In which order messages were sent, where a replay found out.
    pub(super) sent_order: HashMap<(SessionKey, Position), u64>,
    pub(super) counts: Counts,
    expiries: BTreeSet<(i64, SessionKey)>,
    wills: BTreeSet<(i64, SessionKey)>,
    pub(super) dirty: Vec<SessionKey>,
    pub(super) gone: BTreeSet<(Arc<str>, Arc<str>)>,
    pub(super) dirty_retained: BTreeSet<(Arc<str>, Arc<str>)>,
}

impl Book {
    /// An empty book, at the beginning of the log.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Slots::default(),
            subscriptions: Arc::new(Subscriptions::new(limits.subscriptions)),
            retained: Retained::new(limits.retained),
            positions: Positions::new(),
            marks: Marks::default(),
            replay: None,
            sent_order: HashMap::new(),
            counts: Counts::default(),
            expiries: BTreeSet::new(),
            wills: BTreeSet::new(),
            dirty: Vec::new(),
            gone: BTreeSet::new(),
            dirty_retained: BTreeSet::new(),
        }
    }

    /// Who subscribed to what, transient sessions included: shared with the workers.
    #[must_use]
    pub fn subscriptions(&self) -> &Arc<Subscriptions<SessionKey>> {
        &self.subscriptions
    }

    /// The retained messages.
    #[must_use]
    pub fn retained(&self) -> &Retained {
        &self.retained
    }

    /// Up to where the book has read the log.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Records of the log cannot be read any more: the book goes on behind them. Returns how many it misses.
    pub fn pass_over(&mut self, lost: &log::Lost) -> u64 {
        let at = self.positions.get(lost.partition);
        if at < lost.to {
            self.positions.set(lost.partition, lost.to);
        }
        lost.to.saturating_sub(at.max(lost.from))
    }

    /// What was given up so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The persistent session of a client, if there is one.
    #[must_use]
    pub fn find(&self, tenant: &str, client_id: &str) -> Option<SessionKey> {
        self.slots.find(tenant, client_id)
    }

    /// The state of a persistent session.
    #[must_use]
    pub fn durable(&self, session: SessionKey) -> Option<&Durable<Position>> {
        self.slots.get(session).map(|session| &session.durable)
    }

    /// Tenant and client id of a persistent session.
    #[must_use]
    pub fn name(&self, session: SessionKey) -> Option<(&Arc<str>, &Arc<str>)> {
        self.slots.get(session).map(|session| (&session.tenant, &session.client_id))
    }

    /// Whom the last credential of a persistent session named.
    #[must_use]
    pub fn subject(&self, session: SessionKey) -> Option<&str> {
        self.slots.get(session).map(|session| &*session.subject)
    }

    /// Every persistent session.
    pub fn sessions(&self) -> impl Iterator<Item = SessionKey> + '_ {
        self.slots.stored().map(|(key, _)| key)
    }

    /// A number for a session that does not outlive its connection. Give it back with [`Self::release_transient`].
    pub fn transient(&mut self) -> SessionKey {
        self.slots.transient()
    }

    /// The transient session is gone; its subscriptions have been removed.
    pub fn release_transient(&mut self, session: SessionKey) {
        self.slots.release_transient(session);
    }

    /// A client opens a persistent session. With a clean start, or when the session has expired by `now_ms`, its
    /// earlier subscriptions end here; the rest of its earlier state when the `Opened` record is read.
    pub fn open(&mut self, tenant: &str, client_id: &str, clean: bool, now_ms: i64) -> Opened {
        let session = self.slots.find_or_add(tenant, client_id);
        let Some(held) = self.slots.get_mut(session) else { return Opened { session, stored: None } };
        held.opening = true;
        let expired = held.expires_at_ms().is_some_and(|at_ms| at_ms <= now_ms);
        if held.logged && !held.ended && !clean && !expired {
            return Opened { session, stored: Some(held.durable.clone()) };
        }
        drop_subscriptions(&self.subscriptions, session, held);
        Opened { session, stored: None }
    }

    /// The `Opened` record of a session that [`Self::open`] gave could not be written: everything is as it was.
    pub fn abandon(&mut self, session: SessionKey) {
        let Some(held) = self.slots.get_mut(session) else { return };
        if !held.logged {
            // A checkpoint may have written what arrived for it.
            if let Some(held) = self.slots.remove(session) {
                self.gone.insert((held.tenant, held.client_id));
            }
            return;
        }
        held.opening = false;
        for s in &held.durable.subscriptions {
            // There was room for it, and others may have taken it: then it is missing until the client subscribes.
            let _ = self.subscriptions.insert(&held.tenant, &s.filter, session, &s.options, s.id);
        }
        self.note_times(session);
    }

    /// Ends the sessions that have expired by `now_ms`, with their subscriptions, and returns them. Their numbers are
    /// free from here on, except those of sessions that owe a will.
    pub fn expire(&mut self, now_ms: i64) -> Vec<SessionKey> {
        let mut ended = Vec::new();
        while let Some(&(due_ms, session)) = self.expiries.first() {
            if due_ms > now_ms {
                break;
            }
            self.expiries.pop_first();
            let idle = |held: &Session| !held.ended && !held.opening;
            let expired = |held: &Session| idle(held) && held.expires_at_ms().is_some_and(|at| at <= now_ms);
            if self.slots.get(session).is_some_and(expired) {
                self.end(session, now_ms);
                ended.push(session);
            }
        }
        ended
    }

    /// The wills that are due at `now_ms`, each given out once. Whoever takes them appends each together with an
    /// [`super::Entry::WillSent`].
    pub fn owed_wills(&mut self, now_ms: i64) -> Vec<OwedWill> {
        let mut due = Vec::new();
        while let Some(&(due_ms, session)) = self.wills.first() {
            if due_ms > now_ms {
                break;
            }
            self.wills.pop_first();
            let Some(held) = self.slots.get_mut(session) else { continue };
            for owed in held.owed.iter_mut().filter(|owed| !owed.taken && owed.due_ms <= now_ms) {
                owed.taken = true;
                due.push(OwedWill {
                    session,
                    opened: owed.opened,
                    tenant: Arc::clone(&held.tenant),
                    client_id: Arc::clone(&held.client_id),
                    subject: held.subject.clone(),
                    envelope: owed.will.envelope.clone(),
                });
            }
        }
        due
    }

    /// A will could not be appended: it is owed again.
    pub fn will_failed(&mut self, session: SessionKey) {
        if let Some(held) = self.slots.get_mut(session) {
            held.owed.iter_mut().for_each(|owed| owed.taken = false);
        }
        self.note_times(session);
    }

    /// When [`Self::expire`] or [`Self::owed_wills`] next has something, milliseconds since the epoch.
    #[must_use]
    pub fn next_due_ms(&self) -> Option<i64> {
        let first = |times: &BTreeSet<(i64, SessionKey)>| times.first().map(|(due_ms, _)| *due_ms);
        first(&self.expiries).into_iter().chain(first(&self.wills)).min()
    }

    /// Forgets retained messages that have expired, and deletions nobody can contradict any more. Looks at every
    /// retained message: to be called once in a minute.
    pub fn tidy_retained(&mut self, now: record::Timestamp) {
        let gone = self.retained.forget_deletions(now);
        self.dirty_retained.extend(gone);
        let gone = self.retained.forget_expired(now.millis());
        self.dirty_retained.extend(gone);
    }

    /// Notes when a session expires and its wills are due.
    pub(super) fn note_times(&mut self, session: SessionKey) {
        let Some(held) = self.slots.get(session) else { return };
        if let Some(due_ms) = held.expires_at_ms().filter(|_| !held.ended) {
            self.expiries.insert((due_ms, session));
        }
        for owed in held.owed.iter().filter(|owed| !owed.taken) {
            self.wills.insert((owed.due_ms, session));
        }
    }

    pub(super) fn touch(&mut self, session: SessionKey) {
        if let Some(held) = self.slots.get_mut(session)
            && !held.dirty
        {
            held.dirty = true;
            self.dirty.push(session);
        }
    }

    /// The session is over; it stays only for the wills it owes, which are due now.
    pub(super) fn end(&mut self, session: SessionKey, at_ms: i64) {
        let life = self.slots.new_life();
        let Some(held) = self.slots.get_mut(session) else { return };
        drop_subscriptions(&self.subscriptions, session, held);
        held.owe_now(at_ms);
        held.ended = true;
        held.life = life;
        held.durable = Durable::default();
        held.born = None;
        self.touch(session);
        self.note_times(session);
        self.drop_if_settled(session);
    }

    pub(super) fn drop_if_settled(&mut self, session: SessionKey) {
        if self.slots.get(session).is_some_and(|held| held.ended && held.owed.is_empty())
            && let Some(held) = self.slots.remove(session)
        {
            self.gone.insert((held.tenant, held.client_id));
        }
    }
}

fn drop_subscriptions(subscriptions: &Subscriptions<SessionKey>, key: SessionKey, session: &Session) {
    for subscription in &session.durable.subscriptions {
        subscriptions.remove(&session.tenant, &subscription.filter, key);
    }
}
