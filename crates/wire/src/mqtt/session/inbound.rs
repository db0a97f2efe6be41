//! Publishes of the client: QoS 0, 1 and 2 (4.3), acknowledged only when they are durable.

use record::Qos;

use super::sink::{Due, Inbound, Sink, Verdict};
use super::{Event, Machine, Stop};
use crate::mqtt::{AckKind, Publish, ReasonCode, Version};

impl<M: Clone + PartialEq> Machine<M> {
    pub(super) fn publish(&mut self, packet: &Publish<'_>, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        let v5 = self.terms.version == Version::V5;
        // The alias counts even when the publish itself turns out to be a repetition.
        let alias = packet.properties.topic_alias();
        if let Some(alias) = alias {
            let aliases = self.aliases.get_or_insert_default();
            aliases.learn(packet.topic, alias, self.alias_maximum).map_err(Stop::Server)?;
        }
        let packet_id = packet.packet_id;
        if packet.qos == Qos::ExactlyOnce {
            if self.arriving.contains(&packet_id) {
                return Ok(()); // The first copy is on its way into the log and will be answered.
            }
            if self.arrived(packet_id).is_some() {
                let due = ack(AckKind::PubRec, packet_id, ReasonCode::Success, false);
                self.owe(due, sink); // MQTT-4.3.3-10: answered again, not delivered again.
                return Ok(());
            }
        }
        if packet.qos != Qos::AtMostOnce {
            if v5 && self.outstanding >= self.receive_maximum {
                return Err(Stop::Server(ReasonCode::ReceiveMaximumExceeded)); // MQTT-3.3.4-9
            }
            self.outstanding = self.outstanding.saturating_add(1);
        }
        let topic = match (alias, &self.aliases) {
            (Some(alias), Some(aliases)) => aliases.topic(alias),
            _ => packet.topic,
        };
        let verdict = sink.publish(Inbound {
            topic,
            qos: packet.qos,
            retain: packet.retain,
            packet_id: if packet.qos == Qos::ExactlyOnce { packet_id } else { 0 },
            properties: packet.properties,
            payload: packet.payload,
        });
        if let Verdict::Close(reason) = verdict {
            return Err(Stop::Server(reason));
        }
        let kind = match packet.qos {
            Qos::AtMostOnce => return Ok(()),
            Qos::AtLeastOnce => AckKind::PubAck,
            Qos::ExactlyOnce => AckKind::PubRec,
        };
        let due = match verdict {
            Verdict::Done(reason) => ack(kind, packet_id, reason, false),
            Verdict::Rejected { reason, words } if v5 => {
                Due::Ack { kind, packet_id, reason, logged: true, words: Some(words) }
            }
            _ => ack(kind, packet_id, ReasonCode::Success, true),
        };
        if kind == AckKind::PubRec && matches!(due, Due::Ack { logged: true, .. }) {
            self.arriving.push(packet_id);
        }
        self.owe(due, sink);
        Ok(())
    }

    /// PUBREL of the client.
    pub(super) fn released(&mut self, packet_id: u16, sink: &mut impl Sink<M>) -> Result<(), Stop> {
        if self.arriving.contains(&packet_id) {
            // Before our PUBREC (MQTT-4.3.3-6): freeing the id now would let it be lost or doubled after a crash.
            return Err(Stop::Server(ReasonCode::ProtocolError));
        }
        let known = self.arrived(packet_id);
        let reason = if known.is_some() { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        let logged = known.is_some() && self.persistent;
        if let Some(message) = known.filter(|_| logged) {
            sink.event(Event::Released { packet_id, message });
        }
        self.owe(ack(AckKind::PubComp, packet_id, reason, logged), sink);
        Ok(())
    }

    /// The message that has arrived under a packet id that is not yet released.
    fn arrived(&self, packet_id: u16) -> Option<M> {
        let arrived = &self.durable.arrived;
        let at = arrived.binary_search_by_key(&packet_id, |(id, _)| *id).ok()?;
        Some(arrived[at].1.clone())
    }

    /// Answers a publish or a PUBREL, or sends a PUBREL, now that what it stands for is durable or has failed.
    pub(super) fn settle_ack(
        &mut self,
        kind: AckKind,
        packet_id: u16,
        reason: ReasonCode,
        words: Option<Box<str>>,
        outcome: Result<Option<M>, ReasonCode>,
        sink: &mut impl Sink<M>,
    ) -> Result<(), Stop> {
        let v5 = self.terms.version == Version::V5;
        let arriving = self.arriving.iter().position(|&id| id == packet_id && kind == AckKind::PubRec);
        if let Some(at) = arriving {
            self.arriving.swap_remove(at);
        }
        let (reason, message) = match outcome {
            Ok(message) => (reason, message),
            // A publish that failed can be told to MQTT 5; anything else ends the connection, and the client comes back.
            Err(failure) if v5 && matches!(kind, AckKind::PubAck | AckKind::PubRec) => (failure, None),
            Err(failure) => return Err(Stop::Server(failure)),
        };
        let refused = v5 && reason.is_error();
        match kind {
            AckKind::PubAck => self.outstanding = self.outstanding.saturating_sub(1),
            AckKind::PubRec if refused => self.outstanding = self.outstanding.saturating_sub(1),
            AckKind::PubRec => {
                if let Some(message) = message.filter(|_| arriving.is_some()) {
                    self.durable.apply(&Event::Arrived { packet_id, message });
                }
            }
            AckKind::PubRel => self.note_received(packet_id),
            AckKind::PubComp => {
                if let Some(message) = self.arrived(packet_id) {
                    self.durable.apply(&Event::Released { packet_id, message });
                }
                self.outstanding = self.outstanding.saturating_sub(1);
            }
        }
        self.send_ack(kind, packet_id, reason, words.as_deref(), sink);
        Ok(())
    }
}

pub(super) fn ack(kind: AckKind, packet_id: u16, reason: ReasonCode, logged: bool) -> Due {
    Due::Ack { kind, packet_id, reason, logged, words: None }
}
