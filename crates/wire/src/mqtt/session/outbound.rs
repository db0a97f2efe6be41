//! Deliveries to the client: windows, packet ids, acknowledgements, and redelivery on a resumed session (4.4).

use record::Qos;

use super::inbound::ack;
use super::sink::{Due, Sink, Transmit, Transmitted};
use super::{Event, Machine, Outgoing, Progress, Stop, TopicName};
use crate::mqtt::{Ack, AckKind, ReasonCode};

/// What is left of a message's expiry interval, whole seconds, after waiting from `since_ms` to `now_ms`
/// (milliseconds since the epoch); `None` when it has run out (MQTT-3.3.2-5, MQTT-3.3.2-6).
#[must_use]
pub fn remaining_expiry_s(expiry_s: u32, since_ms: i64, now_ms: i64) -> Option<u32> {
    let waited_s = u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0) / 1000;
    let left = u64::from(expiry_s).checked_sub(waited_s)?;
    u32::try_from(left).ok().filter(|&left| left > 0 || expiry_s == 0 && waited_s == 0)
}

impl<M: Clone + PartialEq> Machine<M> {
    /// Takes a QoS 1 or 2 message that matched. `logged`: the log alone would not tell that it matched (a retained
    /// message at subscribe), so a persistent session logs it.
    pub fn deliver(&mut self, outgoing: Outgoing<M>, logged: bool, sink: &mut impl Sink<M>) {
        if self.persistent && logged {
            sink.event(Event::Queued(outgoing.clone()));
        }
        self.durable.outgoing.push_back(outgoing);
        if self.durable.outgoing.len() > self.queued {
            self.drop_oldest(sink);
        }
        self.pump(sink);
    }

    /// Sends what the client's window and the socket take. To be called when the socket has room again, or a body has
    /// been read.
    pub fn pump(&mut self, sink: &mut impl Sink<M>) {
        while self.open
            && self.cursor < usize::from(self.terms.window)
            && self.cursor < self.durable.outgoing.len()
        {
            let sent = match self.durable.outgoing[self.cursor].progress {
                Progress::Received(id) => {
                    self.send_ack(AckKind::PubRel, id, ReasonCode::Success, None, sink);
                    self.cursor += 1;
                    true
                }
                Progress::Sent(id) => self.resend(id, sink),
                Progress::Queued => self.send_first(sink),
            };
            if !sent {
                return;
            }
        }
    }

    /// Whether something waits that [`Self::pump`] could send now but for the socket or a body.
    #[must_use]
    pub fn is_pumping(&self) -> bool {
        self.open && self.cursor < usize::from(self.terms.window) && self.cursor < self.durable.outgoing.len()
    }

    /// The next messages that the window will let through, for reading their bodies ahead.
    pub fn upcoming(&self) -> impl Iterator<Item = &Outgoing<M>> {
        self.durable.outgoing.iter().skip(self.cursor)
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP of the client. One that nothing waits for changes nothing.
    pub(super) fn acknowledged(&mut self, packet: &Ack<'_>, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        let id = packet.packet_id;
        match packet.kind {
            AckKind::PubAck => self.complete(Progress::Sent(id), Qos::AtLeastOnce, sink),
            AckKind::PubRec if packet.reason.is_error() => {
                self.complete(Progress::Sent(id), Qos::ExactlyOnce, sink);
            }
            AckKind::PubRec => self.received(id, sink),
            AckKind::PubRel => self.released(id, sink)?,
            AckKind::PubComp => self.complete(Progress::Received(id), Qos::ExactlyOnce, sink),
        }
        Ok(())
    }

    /// PUBREC: from now on the message is the client's, and PUBREL says so once that is durable.
    fn received(&mut self, packet_id: u16, sink: &mut impl Sink<M>) {
        match self.find(Progress::Sent(packet_id), Qos::ExactlyOnce) {
            Some(at) if self.persistent => {
                let message = self.durable.outgoing[at].message.clone();
                sink.event(Event::Received { packet_id, message });
                self.owe(ack(AckKind::PubRel, packet_id, ReasonCode::Success, true), sink);
            }
            Some(at) => {
                self.durable.outgoing[at].progress = Progress::Received(packet_id);
                self.send_ack(AckKind::PubRel, packet_id, ReasonCode::Success, None, sink);
            }
            None => {
                let known = self.find(Progress::Received(packet_id), Qos::ExactlyOnce).is_some();
                let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
                self.send_ack(AckKind::PubRel, packet_id, reason, None, sink);
            }
        }
    }

    /// That PUBREC came is durable.
    pub(super) fn note_received(&mut self, packet_id: u16) {
        if let Some(at) = self.find(Progress::Sent(packet_id), Qos::ExactlyOnce) {
            self.durable.outgoing[at].progress = Progress::Received(packet_id);
        }
    }

    fn complete(&mut self, progress: Progress, qos: Qos, sink: &mut impl Sink<M>) {
        let Some(at) = self.find(progress, qos) else { return };
        let (Progress::Sent(packet_id) | Progress::Received(packet_id)) = progress else { return };
        let message = self.remove(at).message;
        if self.persistent {
            sink.event(Event::Completed { packet_id, message });
        }
        self.pump(sink);
    }

    fn find(&self, progress: Progress, qos: Qos) -> Option<usize> {
        self.durable.outgoing.iter().position(|o| o.progress == progress && o.qos == qos)
    }

    fn remove(&mut self, at: usize) -> Outgoing<M> {
        if at < self.cursor {
            self.cursor -= 1;
        }
        self.durable.outgoing.remove(at).expect("the index comes from a search of the same queue")
    }

    fn resend(&mut self, packet_id: u16, sink: &mut impl Sink<M>) -> bool {
        match self.transmit(packet_id, true, false, sink) {
            Transmitted::Sent | Transmitted::Held(_) => self.cursor += 1,
            Transmitted::Later => return false,
            Transmitted::Gone => {
                let message = self.remove(self.cursor).message;
                if self.persistent {
                    sink.event(Event::Completed { packet_id, message });
                }
            }
        }
        true
    }

    fn send_first(&mut self, sink: &mut impl Sink<M>) -> bool {
        let packet_id = self.next_packet_id();
        let outgoing = &self.durable.outgoing[self.cursor];
        let message = outgoing.message.clone();
        let hold = self.persistent && outgoing.qos == Qos::ExactlyOnce;
        let outcome = self.transmit(packet_id, false, hold, sink);
        match outcome {
            Transmitted::Later => return false,
            Transmitted::Gone => {
                if self.persistent {
                    sink.event(Event::Dropped { message });
                }
                self.remove(self.cursor);
                return true;
            }
            Transmitted::Sent | Transmitted::Held(_) => {}
        }
        self.last_id = packet_id;
        self.durable.outgoing[self.cursor].progress = Progress::Sent(packet_id);
        self.cursor += 1;
        if self.persistent {
            sink.event(Event::Sent { message, packet_id });
        }
        if let Transmitted::Held(bytes) = outcome {
            self.owe(Due::Publish(bytes), sink);
        }
        true
    }

    fn transmit(&mut self, packet_id: u16, dup: bool, hold: bool, sink: &mut impl Sink<M>) -> Transmitted {
        let maximum = self.terms.aliases;
        let mut introduced = false;
        let aliases = &mut self.aliases;
        let mut names = |topic: &str| {
            // A packet that is held goes out after others that would already lean on its alias.
            if maximum == 0 || hold {
                return TopicName::Full;
            }
            let name = aliases.get_or_insert_default().name(topic, maximum);
            introduced |= matches!(name, TopicName::Introduce(_));
            name
        };
        let outgoing = &self.durable.outgoing[self.cursor];
        let outcome = sink.transmit(Transmit { outgoing, packet_id, dup, hold }, &mut names);
        if introduced
            && !matches!(outcome, Transmitted::Sent)
            && let Some(aliases) = &mut self.aliases
        {
            aliases.forget_last();
        }
        outcome
    }

    /// How to name the topic of a QoS 0 message to the client.
    pub fn name_topic(&mut self, topic: &str) -> TopicName {
        match self.terms.aliases {
            0 => TopicName::Full,
            maximum => self.aliases.get_or_insert_default().name(topic, maximum),
        }
    }

    fn next_packet_id(&mut self) -> u16 {
        let mut id = self.last_id;
        loop {
            id = id.checked_add(1).unwrap_or_else(|| {
                self.ids_may_clash = true;
                1
            });
            let in_use =
                |o: &Outgoing<M>| o.progress == Progress::Sent(id) || o.progress == Progress::Received(id);
            // At most a window of ids is in use, and a window is smaller than the numbers there are.
            if !self.ids_may_clash || !self.durable.outgoing.iter().take(self.cursor).any(in_use) {
                return id;
            }
        }
    }

    /// Gives up the oldest message that was never sent; what was sent is the client's to acknowledge.
    fn drop_oldest(&mut self, sink: &mut impl Sink<M>) {
        let waiting = |o: &Outgoing<M>| o.progress == Progress::Queued;
        let from = self.cursor;
        let Some(at) = self.durable.outgoing.iter().skip(from).position(waiting).map(|at| at + from) else {
            return;
        };
        let Some(outgoing) = self.durable.outgoing.remove(at) else { return };
        sink.dropped(&outgoing.message);
        if self.persistent {
            sink.event(Event::Dropped { message: outgoing.message });
        }
    }
}
