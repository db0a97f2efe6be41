//! The session's half of MQTT: packets taken, publishes written.

use super::{Dialogue, End, Moment, OVERSIZE_MOST_BYTES, Phase, QOS0_BUFFER_BYTES, Session};
use crate::content::{Id, Next, Writer};
use crate::disorder::Flaw;
use crate::flight::{Flight, Slot, Stage};
use crate::load::Options;
use crate::outbox::Message;
use crate::packet::{self, Connect, Incoming};
use crate::report::Stats;

/// The reason code of a publish that ended its connection.
pub(super) const PACKET_TOO_LARGE: u16 = 0x95;

impl Session {
    fn flight(&mut self) -> &mut Flight {
        match &mut self.dialogue {
            Dialogue::Mqtt(flight) => flight,
            Dialogue::Http(_) => unreachable!("only sessions of MQTT take packets"),
        }
    }

    pub(super) fn say_connect(&mut self, options: &Options) {
        let client_id = format!("{}{}", options.client_id, self.number);
        packet::connect(
            &mut self.out,
            &Connect {
                version: options.version,
                client_id: &client_id,
                clean_start: options.clean_start,
                session_expiry_s: if options.clean_start { 0 } else { options.session_expiry_s },
                keep_alive_s: options.keep_alive_s,
                username: options.username.as_deref(),
                password: options.password.as_deref(),
            },
        );
    }

    /// Takes all whole packets; returns how many bytes they were.
    pub(super) fn packets(
        &mut self,
        bytes: &[u8],
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) -> Result<usize, End> {
        let mut used = 0;
        while let Some((incoming, len)) =
            packet::incoming(&bytes[used..], options.version).map_err(End::Malformed)?
        {
            used += len;
            match incoming {
                Incoming::Ack { kind, packet_id, code } => {
                    self.ack(kind, packet_id, code, moment, options, stats);
                }
                Incoming::ConnAck { code, .. } if code != 0 => return Err(End::Refused(code)),
                Incoming::ConnAck {
                    session_present,
                    receive_maximum,
                    server_keep_alive_s,
                    maximum_packet_bytes,
                    ..
                } => {
                    if options.qos > 0 {
                        self.flight().narrow(receive_maximum);
                    }
                    self.keep_alive_s = server_keep_alive_s.unwrap_or(self.keep_alive_s);
                    let takes = maximum_packet_bytes.map_or(self.server_takes_bytes, |most| most as usize);
                    self.server_takes_bytes = takes.min(OVERSIZE_MOST_BYTES);
                    self.up(session_present, options, stats);
                }
                Incoming::Disconnect { code } => return Err(End::Disconnected(code)),
                // A load generator subscribes to nothing, but an old session may.
                Incoming::Publish { qos, packet_id, .. } if qos > 0 => {
                    packet::ack(&mut self.out, 3 + qos, packet_id);
                }
                Incoming::Publish { .. } | Incoming::SubAck { .. } | Incoming::PingResp => {}
            }
        }
        Ok(used)
    }

    fn up(&mut self, session_present: bool, options: &Options, stats: &mut Stats) {
        self.phase = Phase::Up;
        if std::mem::replace(&mut self.met_before, true) {
            stats.reconnects += 1;
            stats.sessions_lost += u64::from(!options.clean_start && !session_present);
        }
        let Dialogue::Mqtt(flight) = &mut self.dialogue else { return };
        let mut settled = Vec::new();
        for (packet_id, slot) in flight.in_order() {
            match (slot.stage, &slot.packet) {
                (Stage::Published, Some(packet)) => {
                    stats.resent += 1;
                    let start = self.out.len();
                    self.out.extend_from_slice(packet);
                    if session_present {
                        self.out[start] |= 8; // DUP: the server may have it (MQTT-4.4.0-1)
                    }
                }
                (Stage::Released, _) if session_present => packet::ack(&mut self.out, 6, packet_id),
                // The PUBREC was the promise; a server without the session has nothing to release.
                _ => settled.push(packet_id),
            }
        }
        for packet_id in settled {
            flight.free(packet_id);
        }
    }

    fn ack(
        &mut self,
        kind: u8,
        packet_id: u16,
        code: u8,
        moment: Moment,
        options: &Options,
        stats: &mut Stats,
    ) {
        if kind == 6 {
            packet::ack(&mut self.out, 7, packet_id);
            return;
        }
        let Some(slot) = self.flight().get(packet_id) else {
            stats.stray_acks += 1;
            return;
        };
        let (stage, sent) = (slot.stage, slot.sent);
        if kind == 5 && code < 0x80 {
            slot.stage = Stage::Released;
            slot.packet = None;
        }
        // A server that answers what is too large goes on listening.
        self.ends &= sent.flaw != Flaw::Oversize;
        if code >= 0x80 {
            self.refused(&sent, u16::from(code), moment, options, stats);
            self.flight().free(packet_id);
            return;
        }
        if (kind == 4 || kind == 5) && stage == Stage::Published {
            self.kept(&sent, moment, options, stats);
        }
        if kind == 5 {
            packet::ack(&mut self.out, 6, packet_id);
            return;
        }
        let took_ns = moment.now_ns.saturating_sub(sent.intended_ns);
        stats.answered(moment.phase, took_ns);
        self.flight().free(packet_id);
    }

    /// Writes as many publishes as pace and window allow.
    pub(super) fn publish_all(
        &mut self,
        moment: Moment,
        options: &Options,
        writer: &mut Writer,
        stats: &mut Stats,
    ) {
        loop {
            let room = match options.qos {
                0 => self.out.len() - self.written < QOS0_BUFFER_BYTES,
                _ => self.flight().has_room(),
            };
            if !room {
                return;
            }
            let Some(message) = self.next(moment, options, writer, stats) else { return };
            self.publish(message, options, writer, stats);
        }
    }

    fn publish(&mut self, message: Message, options: &Options, writer: &mut Writer, stats: &mut Stats) {
        let packet_id = if options.qos == 0 { 0 } else { self.flight().free_id() };
        let id = Id { connection: self.number, sequence: self.sequence };
        let server_takes_bytes = self.server_takes_bytes;
        let next = Next { local: self.local, id, packet_id, message, server_takes_bytes };
        let written = writer.publish(next, &mut self.out);
        let sent = self.sent(message, written.stamp_ms);
        if options.qos == 0 {
            stats.acknowledged += 1;
            stats.readings += if message.flaw == Flaw::None { self.readings } else { 0 };
            return;
        }
        // What is too large is not sent again: it would end every connection.
        let keep = !options.clean_start && !self.ends;
        let packet = keep.then(|| self.out[written.start..].into());
        self.flight().fill(Slot { sent, stage: Stage::Published, packet });
    }
}
