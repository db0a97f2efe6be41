//! Clients that do what MQTT asks of them: they keep what is not acknowledged, and say it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use record::Qos;
use wire::mqtt::{
    Ack, AckKind, Connect, DecodeLimits, Decoded, Packet, Properties, PropertiesBuf, Property, Publish,
    ReasonCode, RetainHandling, Sender, Subscribe, SubscribeFilter, SubscribeOptions, Version, decode,
};

use crate::rng::{Rng, index};

/// What the world is told of.
pub(crate) enum News {
    /// A publish is acknowledged (QoS 2: by PUBREC).
    Acknowledged(u32),
    /// A message came.
    Got(u32),
}

pub(crate) struct Client {
    pub(crate) name: String,
    version: Version,
    /// The connection, and whether CONNACK has come.
    pub(crate) conn: Option<u32>,
    connected: bool,
    had_session: bool,
    input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    /// For publishers: what is still to be said, and what is not acknowledged.
    pub(crate) todo: VecDeque<(u32, Qos)>,
    in_flight: Vec<InFlight>,
    next_id: u16,
    /// For subscribers.
    wants: Option<(&'static str, Qos)>,
    pub(crate) subscribed: bool,
    received: BTreeSet<u16>,
    pub(crate) got: BTreeMap<u32, u32>,
}

struct InFlight {
    id: u16,
    payload: u32,
    qos: Qos,
    released: bool,
}

const WINDOW: usize = 5;
const TOPICS: [&str; 3] = ["t/a", "t/b", "t/c"];

impl Client {
    pub(crate) fn new(name: String, version: Version, wants: Option<(&'static str, Qos)>) -> Self {
        Self {
            name,
            version,
            conn: None,
            connected: false,
            had_session: false,
            input: Vec::new(),
            output: Vec::new(),
            todo: VecDeque::new(),
            in_flight: Vec::new(),
            next_id: 0,
            wants,
            subscribed: false,
            received: BTreeSet::new(),
            got: BTreeMap::new(),
        }
    }

    /// Nothing left to say, nothing half said.
    pub(crate) fn is_done(&self) -> bool {
        self.todo.is_empty() && self.in_flight.is_empty() && self.received.is_empty()
    }

    /// For people, when it does not come to rest.
    pub(crate) fn state(&self) -> String {
        let (name, conn, connected) = (&self.name, self.conn, self.connected);
        let (todo, under_way, half) = (self.todo.len(), self.in_flight.len(), self.received.len());
        let got = self.got.len();
        format!(
            "{name} {conn:?} {connected}: {todo} to say, {under_way} under way, {half} half received, {got} got"
        )
    }

    pub(crate) fn connect(&mut self, conn: u32) {
        self.conn = Some(conn);
        self.connected = false;
        self.input.clear();
        self.output.clear();
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V5 {
            properties.push(Property::SessionExpiry(u32::MAX));
            properties.push(Property::ReceiveMaximum(4));
        }
        let (version, client_id) = (self.version, self.name.clone());
        self.say(&Packet::Connect(Connect {
            version,
            clean_start: false,
            keep_alive_s: 0,
            client_id: &client_id,
            properties: properties.as_properties(),
            will: None,
            username: None,
            password: None,
        }));
    }

    pub(crate) fn disconnected(&mut self) {
        self.conn = None;
        self.connected = false;
        self.input.clear();
        self.output.clear();
    }

    /// Says the next thing, if there is room.
    pub(crate) fn act(&mut self, rng: &mut Rng) {
        if !self.connected {
            return;
        }
        if self.in_flight.len() < WINDOW
            && let Some((payload, qos)) = self.todo.pop_front()
        {
            while self.next_id == 0 || self.in_flight.iter().any(|f| f.id == self.next_id) {
                self.next_id = self.next_id.wrapping_add(1);
            }
            // Small numbers, so that they are used again soon.
            let id = self.next_id;
            self.next_id = if self.next_id >= 12 { 0 } else { self.next_id + 1 };
            self.in_flight.push(InFlight { id, payload, qos, released: false });
            self.publish(id, payload, qos, false, index(rng, 3));
        }
    }

    /// Bytes from the server.
    ///
    /// # Errors
    /// What the server must not do.
    pub(crate) fn receive(&mut self, bytes: &[u8], news: &mut Vec<News>) -> Result<(), String> {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let limits =
            DecodeLimits { version: Some(self.version), max_packet_bytes: 1 << 20, sender: Sender::Server };
        let mut at = 0;
        loop {
            match decode(&input[at..], &limits).map_err(|error| format!("{}: {error}", self.name))? {
                Decoded::Incomplete(_) => break,
                Decoded::Packet { packet, consumed } => {
                    at += consumed;
                    self.take(&packet, news)?;
                }
            }
        }
        self.input = input[at..].to_vec();
        Ok(())
    }

    fn take(&mut self, packet: &Packet<'_>, news: &mut Vec<News>) -> Result<(), String> {
        match packet {
            Packet::ConnAck(connack) => return self.resume(connack.session_present, connack.reason),
            Packet::SubAck(_) => self.subscribed = true,
            Packet::Publish(publish) => self.got(publish, news),
            Packet::Ack(ack) => self.acknowledged(ack, news),
            _ => {}
        }
        Ok(())
    }

    fn resume(&mut self, present: bool, reason: ReasonCode) -> Result<(), String> {
        if reason != ReasonCode::Success {
            return Ok(());
        }
        if self.had_session && !present {
            return Err(format!("the session of {} is gone", self.name));
        }
        self.had_session = true;
        self.connected = true;
        if let Some((filter, qos)) = self.wants.filter(|_| !self.subscribed) {
            let options = SubscribeOptions {
                qos,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::DoNotSend,
            };
            let filters = vec![SubscribeFilter { filter, options }];
            self.say(&Packet::Subscribe(Subscribe { packet_id: 1, properties: Properties::EMPTY, filters }));
        }
        // In the order in which they were sent first (MQTT-4.6.0-1).
        for again in std::mem::take(&mut self.in_flight) {
            if again.released {
                self.ack(AckKind::PubRel, again.id);
            } else {
                self.publish(again.id, again.payload, again.qos, true, again.payload as usize % 3);
            }
            self.in_flight.push(again);
        }
        Ok(())
    }

    fn got(&mut self, publish: &Publish<'_>, news: &mut Vec<News>) {
        let payload = payload_of(publish.payload);
        if publish.qos == Qos::ExactlyOnce {
            if self.received.insert(publish.packet_id) {
                *self.got.entry(payload).or_default() += 1;
                news.push(News::Got(payload));
            }
            self.ack(AckKind::PubRec, publish.packet_id);
        } else {
            *self.got.entry(payload).or_default() += 1;
            news.push(News::Got(payload));
            if publish.qos == Qos::AtLeastOnce {
                self.ack(AckKind::PubAck, publish.packet_id);
            }
        }
    }

    fn acknowledged(&mut self, ack: &Ack<'_>, news: &mut Vec<News>) {
        let failed = ack.reason.is_error();
        let at = self.in_flight.iter().position(|f| f.id == ack.packet_id);
        match (ack.kind, at) {
            (AckKind::PubRel, _) => {
                self.received.remove(&ack.packet_id);
                self.ack(AckKind::PubComp, ack.packet_id);
            }
            // Refused: said again later, as a new publish.
            (AckKind::PubAck | AckKind::PubRec, Some(at)) if failed => {
                let refused = self.in_flight.remove(at);
                self.todo.push_back((refused.payload, refused.qos));
            }
            (AckKind::PubAck, Some(at)) => news.push(News::Acknowledged(self.in_flight.remove(at).payload)),
            (AckKind::PubRec, Some(at)) => {
                self.in_flight[at].released = true;
                news.push(News::Acknowledged(self.in_flight[at].payload));
                self.ack(AckKind::PubRel, ack.packet_id);
            }
            (AckKind::PubComp, Some(at)) => drop(self.in_flight.remove(at)),
            (_, None) => {}
        }
    }

    fn publish(&mut self, packet_id: u16, payload: u32, qos: Qos, dup: bool, topic: usize) {
        let _ = topic; // the topic goes with the payload, so that a repetition names the same
        let mut bytes = payload.to_be_bytes().to_vec();
        bytes.resize(4 + payload as usize % 300, 0x55);
        let topic = TOPICS[payload as usize % TOPICS.len()];
        let properties = Properties::EMPTY;
        self.say(&Packet::Publish(Publish {
            dup,
            qos,
            retain: false,
            topic,
            packet_id,
            properties,
            payload: &bytes,
        }));
    }

    fn ack(&mut self, kind: AckKind, packet_id: u16) {
        let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
        self.say(&Packet::Ack(Ack { kind, packet_id, reason, properties }));
    }

    fn say(&mut self, packet: &Packet<'_>) {
        packet.encode(self.version, &mut self.output).expect("what a client says can be encoded");
    }
}

/// The number that a message carries.
pub(crate) fn payload_of(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(u32::MAX, |head| u32::from_be_bytes(*head))
}
