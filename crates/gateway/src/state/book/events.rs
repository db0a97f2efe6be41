//! Records of `Topic::Sessions`.

use std::sync::Arc;

use log::{Offset, Position};
use wire::mqtt::session::{Durable, Event, Outgoing, Progress, Subscription};

use super::super::codec::{CodecError, SessionRecord};
use super::super::entry::{Entry, Opening};
use super::super::marks::What;
use super::super::positions::Positions;
use super::super::session::{Session, SessionKey};
use super::Book;

impl Book {
    /// Takes a record of `Topic::Sessions`. One that was taken before changes nothing.
    ///
    /// # Errors
    /// When the bytes are not a session record; the book is past it then.
    pub fn apply_session(&mut self, at: Position, bytes: &[u8]) -> Result<(), CodecError> {
        if self.positions.contain(at) {
            return Ok(());
        }
        self.positions.set(at.partition, at.offset + 1);
        let SessionRecord { tenant, client_id, positions, entries } = SessionRecord::decode(bytes)?;
        let positions = positions.map(Arc::new);
        for entry in entries {
            self.apply_entry(at.offset, tenant, client_id, positions.as_ref(), entry);
        }
        Ok(())
    }

    fn apply_entry(
        &mut self,
        offset: Offset,
        tenant: &str,
        client_id: &str,
        tails: Option<&Arc<Positions>>,
        entry: Entry,
    ) {
        if let Entry::Opened(opening) = entry {
            return self.apply_opened(offset, tenant, client_id, tails, *opening);
        }
        let known = self.slots.find(tenant, client_id);
        if let Entry::Assigned { message, group } = entry {
            if !self.positions.contain(message) {
                let session = known.and_then(|key| Some((key, self.slots.get(key)?.life)));
                self.marks.add(message, session, What::Taken(group));
            }
            return;
        }
        let Some(session) = known else {
            self.counts.orphans += 1;
            return;
        };
        self.touch(session);
        match entry {
            Entry::Closed { at_ms, expiry_s, will_owed } => {
                self.apply_closed(session, at_ms, expiry_s, will_owed);
            }
            Entry::WillSent { opened } => {
                if let Some(held) = self.slots.get_mut(session) {
                    held.owed.retain(|owed| owed.opened != opened);
                }
                self.drop_if_settled(session);
            }
            Entry::Event(event) => self.apply_event(session, tails, event),
            Entry::Opened(_) | Entry::Assigned { .. } => unreachable!("handled above"),
        }
    }

    fn apply_opened(
        &mut self,
        offset: Offset,
        tenant: &str,
        client_id: &str,
        tails: Option<&Arc<Positions>>,
        opening: Opening,
    ) {
        let session = self.slots.find_or_add(tenant, client_id);
        let (replaying, life) = (self.replay.is_some(), self.slots.new_life());
        let held = self.slots.get_mut(session).expect("found or added just now");
        if !held.logged || held.ended || opening.clean {
            let old = std::mem::take(&mut held.durable);
            if replaying {
                // Live, `Book::open` did it, and what is there now belongs to the new life.
                for subscription in &old.subscriptions {
                    self.subscriptions.remove(tenant, &subscription.filter, session);
                }
            }
            held.durable = newborn(old, tails);
            held.life = life;
            held.born = tails.filter(|tails| !self.positions.reach(tails)).cloned();
            held.owe_now(opening.at_ms);
        } else {
            // Resumed before the delay was over: the will is void (MQTT-3.1.3-9).
            held.owed.retain(|owed| owed.due_ms <= opening.at_ms || owed.taken);
        }
        held.logged = true;
        held.ended = false;
        held.opening = false;
        held.durable.expiry_s = opening.expiry_s;
        held.durable.closed_at_ms = None;
        held.subject = opening.subject;
        held.will = opening.will.map(|will| Box::new((offset, will)));
        self.touch(session);
        self.note_times(session);
    }

    pub(in crate::state) fn apply_closed(
        &mut self,
        session: SessionKey,
        at_ms: i64,
        expiry_s: u32,
        will_owed: bool,
    ) {
        let Some(held) = self.slots.get_mut(session).filter(|held| !held.ended) else { return };
        held.durable.apply(&Event::Closed { at_ms, expiry_s });
        if will_owed {
            held.owe_will(at_ms);
        }
        held.will = None;
        if expiry_s == 0 {
            self.end(session, at_ms);
        } else {
            self.note_times(session);
        }
    }

    fn apply_event(&mut self, session: SessionKey, tails: Option<&Arc<Positions>>, event: Event<Position>) {
        match event {
            Event::Opened { .. } | Event::Closed { .. } => {} // never decoded as such
            Event::Subscribed(subscription) => self.apply_subscribed(session, tails, subscription),
            Event::Unsubscribed { filter } => {
                let Some(held) = self.slots.get_mut(session) else { return };
                if let Some(replay) = &mut self.replay {
                    replay.unsubscribed(session, &filter, tails.cloned());
                    self.subscriptions.remove(&held.tenant, &filter, session);
                }
                held.durable.apply(&Event::Unsubscribed { filter });
            }
            Event::Queued(outgoing) => self.push(session, outgoing),
            event => self.apply_progress(session, &event),
        }
    }

    fn apply_subscribed(
        &mut self,
        session: SessionKey,
        tails: Option<&Arc<Positions>>,
        subscription: Subscription,
    ) {
        let Some(held) = self.slots.get_mut(session) else { return };
        if let Some(replay) = &mut self.replay {
            replay.subscribed(&held.tenant, session, held.life, &subscription, tails.cloned());
            let (filter, options) = (&subscription.filter, &subscription.options);
            // It was let in when it was made; a limit that was lowered since does not lose it its messages
            // in the replay, and later it is missing from the tree.
            if let Err(full) =
                self.subscriptions.insert(&held.tenant, filter, session, options, subscription.id)
            {
                tracing::warn!(tenant = %held.tenant, %full, "a stored subscription exceeds the limit");
            }
        }
        held.durable.apply(&Event::Subscribed(subscription));
    }

    /// Events about a message: to the session if it has it, else noted until the message is read.
    fn apply_progress(&mut self, session: SessionKey, event: &Event<Position>) {
        let Some(held) = self.slots.get_mut(session) else { return };
        let who = (session, held.life);
        let waits =
            |held: &Session, message: &Position| held.durable.outgoing.iter().any(|o| o.message == *message);
        match *event {
            Event::Released { packet_id, message } => {
                if held.durable.arrived.contains(&(packet_id, message)) {
                    held.durable.apply(event);
                } else if !self.positions.contain(message) {
                    self.marks.add(message, Some(who), What::Released);
                }
            }
            Event::Sent { message, packet_id } => {
                let same_id = |progress| {
                    progress == Progress::Sent(packet_id) || progress == Progress::Received(packet_id)
                };
                // An id is given again only once the delivery before is complete, though that event may be lost:
                // nobody waits for it.
                held.durable.outgoing.retain(|o| !same_id(o.progress) || o.message == message);
                let queued = |o: &Outgoing<Position>| o.message == message && o.progress == Progress::Queued;
                if held.durable.outgoing.iter().any(queued) {
                    held.durable.apply(event);
                    if self.replay.is_some() {
                        let nth = self.marks.next_sent();
                        self.sent_order.insert((session, message), nth);
                    }
                } else if !self.positions.contain(message) {
                    self.marks.add_sent(message, who, packet_id);
                }
            }
            Event::Received { packet_id, message } => {
                let received = |nth| What::Sent(Progress::Received(packet_id), nth);
                if !self.marks.change_sent(message, who, packet_id, received) {
                    held.durable.apply(event);
                }
            }
            Event::Completed { packet_id, message } => {
                if self.marks.change_sent(message, who, packet_id, |_| What::Done) {
                } else if waits(held, &message) {
                    held.durable.apply(event);
                } else if !self.positions.contain(message) {
                    self.marks.add(message, Some(who), What::Done);
                }
            }
            Event::Dropped { message } => {
                if waits(held, &message) {
                    held.durable.apply(event);
                } else if !self.positions.contain(message) {
                    self.marks.add(message, Some(who), What::Done);
                }
            }
            _ => held.durable.apply(event),
        }
    }
}

/// What a new life begins with: nothing but what was matched or arrived in it before its `Opened` record was read,
/// which lies behind the tails the record carries.
fn newborn(mut old: Durable<Position>, tails: Option<&Arc<Positions>>) -> Durable<Position> {
    let Some(tails) = tails else { return Durable::default() };
    old.outgoing.retain(|outgoing| !tails.contain(outgoing.message));
    old.arrived.retain(|(_, message)| !tails.contain(*message));
    Durable { outgoing: old.outgoing, arrived: old.arrived, ..Durable::default() }
}
