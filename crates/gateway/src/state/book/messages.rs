//! Messages, live and replayed.

use std::sync::Arc;

use log::Position;
use record::{Envelope, EnvelopeError, Kind, Protocol, Qos};
use wire::mqtt::session::{Event, Outgoing, Progress};

use super::super::marks::{Mark, What, take_copy};
use super::super::replay::Replayed;
use super::super::session::SessionKey;
use super::Book;
use crate::topics::{Audience, Matches, Outcome};

impl Book {
    /// Takes a message from the log: keeps it if it is retained, notes that it arrived (QoS 2), and queues it for the
    /// persistent sessions that it matches. `out` gets all its subscribers, for the dispatcher to deliver to those
    /// that are connected. One that was taken before changes nothing and matches nobody.
    ///
    /// # Errors
    /// When `record` is not an envelope; the book is past it then.
    pub fn apply_message(
        &mut self,
        at: Position,
        record: &[u8],
        audience: &impl Audience<SessionKey>,
        out: &mut Matches<SessionKey>,
    ) -> Result<(), EnvelopeError> {
        out.clear();
        if self.positions.contain(at) {
            return Ok(());
        }
        self.positions.set(at.partition, at.offset + 1);
        let message = Envelope::decode(record)?;
        let mut marks = self.marks.take(at);
        self.arrive(at, &message, &marks);
        // What a part or a replay says, subscribers had from the message it was cut from, or first was.
        if matches!(message.kind, Kind::Part | Kind::Replay) || is_turned_down(&message) {
            return Ok(());
        }
        if message.retain {
            self.retain(at, record, &message)?;
        }
        if self.replay.is_some() {
            self.replay_message(at, &message, &mut marks);
        } else if !self.subscriptions.has_none(message.tenant) {
            self.subscriptions.matching(message.tenant, message.topic, message.qos, audience, out);
            self.counts.unserved += out.unserved() as u64;
            for found in out.as_slice() {
                let qos = found.qos.min(message.qos);
                let retain = message.retain && found.retain_as_published;
                if qos != Qos::AtMostOnce {
                    self.queue(found.subscriber, at, qos, retain, &found.ids, &mut marks);
                }
            }
        }
        self.queue_unmatched(at, marks);
        Ok(())
    }

    fn retain(&mut self, at: Position, record: &[u8], message: &Envelope<'_>) -> Result<(), EnvelopeError> {
        match self.retained.update(at, record)? {
            Outcome::Stale => return Ok(()),
            Outcome::Refused => self.counts.retained_refused += 1,
            Outcome::Kept | Outcome::Deleted => {}
        }
        self.dirty_retained.insert((Arc::from(message.tenant), Arc::from(message.topic)));
        Ok(())
    }

    /// A QoS 2 publish has arrived with its record, unless PUBREL has come already or it belongs to an earlier
    /// life of the session. MQTT 5 was told that a refused one failed: its packet id is free.
    fn arrive(&mut self, at: Position, message: &Envelope<'_>, marks: &[Mark]) {
        let Some(origin) = message.origin.filter(|o| message.qos == Qos::ExactlyOnce && o.packet_id != 0)
        else {
            return;
        };
        if is_turned_down(message) {
            return;
        }
        let Some(session) = self.slots.find(message.tenant, origin.client_id) else { return };
        let Some(held) = self.slots.get_mut(session) else { return };
        let released =
            marks.iter().any(|m| m.what == What::Released && m.session == Some((session, held.life)));
        let over = held.ended && !held.opening;
        if released || over || held.born.as_ref().is_some_and(|born| born.contain(at)) {
            return;
        }
        held.durable.apply(&Event::Arrived { packet_id: origin.packet_id, message: at });
        if held.born.as_ref().is_some_and(|born| self.positions.reach(born)) {
            held.born = None;
        }
        self.touch(session);
    }

    fn replay_message(&mut self, at: Position, message: &Envelope<'_>, marks: &mut Vec<Mark>) {
        let Some(replay) = self.replay.as_ref().filter(|replay| !replay.has_none(message.tenant)) else {
            return;
        };
        let publisher = message.origin.map(|origin| origin.client_id);
        let (mut ordinary, shared) = replay.matching(at, message, |session| {
            let held = self.slots.get(session)?;
            Some((held.life, publisher == Some(&*held.client_id)))
        });
        for members in shared.chunk_by(|a, b| a.group == b.group) {
            choose_again(at, message.qos, members, marks, &mut ordinary);
        }
        for found in ordinary {
            let qos = found.qos.min(message.qos);
            let retain = message.retain && found.retain_as_published;
            if qos != Qos::AtMostOnce {
                self.queue(found.session, at, qos, retain, &found.ids, marks);
            }
        }
    }

    fn queue(
        &mut self,
        session: SessionKey,
        message: Position,
        qos: Qos,
        retain: bool,
        ids: &[u32],
        marks: &mut Vec<Mark>,
    ) {
        let Some(held) = self.slots.get(session) else { return };
        let progress = match take_copy(marks, (session, held.life)) {
            None => Progress::Queued,
            Some(What::Sent(progress, nth)) => {
                self.sent_order.insert((session, message), nth);
                progress
            }
            Some(_) => return,
        };
        self.push(session, Outgoing { message, qos, retain, subscription_ids: ids.into(), progress });
    }

    /// Puts a message at the end of a session's queue, within its limit.
    pub(in crate::state) fn push(&mut self, session: SessionKey, outgoing: Outgoing<Position>) {
        let limit = self.limits.queued_messages;
        let Some(held) = self.slots.get_mut(session) else { return };
        let queue = &mut held.durable.outgoing;
        if queue.len() >= limit
            && let Some(oldest) = queue.iter().position(|o| o.progress == Progress::Queued)
        {
            queue.remove(oldest);
            self.counts.queue_full += 1;
        }
        queue.push_back(outgoing);
        self.touch(session);
    }

    /// A session sent a message that nothing matches now: it matched when it was sent.
    fn queue_unmatched(&mut self, message: Position, marks: Vec<Mark>) {
        for mark in marks {
            let (Some((session, life)), What::Sent(progress, nth)) = (mark.session, mark.what) else {
                continue;
            };
            if self.slots.get(session).is_some_and(|held| held.life == life && !held.ended) {
                self.sent_order.insert((session, message), nth);
                self.push(session, sent_before(message, progress));
            }
        }
    }
}

/// A delivery of which only its progress is known. Only QoS 2 deliveries log that they were sent.
pub(in crate::state) fn sent_before(message: Position, progress: Progress) -> Outgoing<Position> {
    Outgoing { message, qos: Qos::ExactlyOnce, retain: false, subscription_ids: Box::default(), progress }
}

/// Who of a share group gets a replayed message: whoever had it before, else one of the members that keep it.
fn choose_again(
    at: Position,
    qos: Qos,
    members: &[Replayed],
    marks: &mut Vec<Mark>,
    ordinary: &mut Vec<Replayed>,
) {
    let Some(group) = members.first().and_then(|member| member.group) else { return };
    let taken = marks.iter().position(|mark| mark.what == What::Taken(group));
    let noted = |member: &&Replayed| {
        let who = Some((member.session, member.life));
        marks.iter().any(|m| m.session == who && matches!(m.what, What::Done | What::Sent(..)))
    };
    let chosen = if let Some(taken) = taken {
        let who = marks[taken].session;
        let member = members.iter().find(|member| who == Some((member.session, member.life)));
        marks.swap_remove(taken);
        match member {
            Some(member) => Some(member),
            // A client without persistent session has it, or a session that is over had it: then QoS 2 may go to
            // nobody else (MQTT-4.8.2-5), QoS 1 should.
            None if who.is_none() || qos == Qos::ExactlyOnce => return,
            None => None,
        }
    } else {
        members.iter().find(noted)
    };
    if chosen.is_none() && members.iter().any(|m| ordinary.iter().any(|o| o.session == m.session)) {
        return; // a member gets it anyway, by a subscription of its own
    }
    let keeps: Vec<&Replayed> = members.iter().filter(|m| m.qos.min(qos) != Qos::AtMostOnce).collect();
    let turn = usize::try_from(at.offset % keeps.len().max(1) as u64).unwrap_or(0);
    let Some(member) = chosen.or_else(|| keeps.get(turn).copied()) else { return };
    let mut member = member.clone();
    match ordinary.iter_mut().find(|found| found.session == member.session) {
        Some(found) => {
            found.join(&mut member);
        }
        None => ordinary.push(member),
    }
}

/// Whether the publisher was told that its message failed: then it is nobody's message. MQTT 3.1.1 cannot say so;
/// it was acknowledged, so it goes to those who subscribed, whatever the store makes of it.
fn is_turned_down(message: &Envelope<'_>) -> bool {
    message.refused.is_some() && message.protocol == Protocol::Mqtt5
}
