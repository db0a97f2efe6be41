//! Publishes of the client, and its will, on their way into the log.

use std::sync::Arc;

use log::{PartitionId, Topic};
use record::{Envelope, Kind, Lane, Origin, Protocol, Qos, Timestamp, partition_of};
use wire::mqtt::session::{Inbound, OwnedWill, Sink as _, Verdict};
use wire::mqtt::{Carrier, FIRMWARE, Properties, PropertiesBuf, Property, ReasonCode, Version};

use super::Shell;
use crate::dispatch::{Command, Message};
use crate::mqtt::commit::Awaited;
use crate::mqtt::mixed::Mixed;
use crate::mqtt::route::{Route, user_property};

/// QoS 0 messages on their way to the dispatcher; beyond, they are shed and counted.
const DIRECT_BYTES: usize = 16 << 20;

impl Shell<'_> {
    /// Publishes a will. It was allowed when the client connected; if it no longer is, it is counted and dropped.
    pub(in crate::mqtt) fn publish_will(&mut self, will: &OwnedWill) {
        if let Verdict::Done(ReasonCode::NotAuthorized | ReasonCode::QuotaExceeded) =
            self.publish(inbound_of(will))
        {
            tracing::info!(client = %self.side.client_id, "a will was not published: not allowed any more");
        }
        self.worker.commits.borrow_mut().wake(); // No answer waits for it.
    }

    /// The envelope of a will that may be owed; its time of arrival is still to be set.
    pub(in crate::mqtt) fn owed_will(&self, will: &OwnedWill) -> Option<crate::state::Will> {
        let publish = inbound_of(will);
        let rules = self.worker.shared.rules.load();
        let mut scratch = self.worker.payloads.borrow_mut();
        let route = rules.decide(&self.side.identity, &publish, self.now, &mut scratch)?;
        let mut envelope = Vec::new();
        Envelope {
            // A will is not cut up: what the stream cannot read as it is goes to its subscribers alone.
            kind: if route.plain.is_some() { Kind::Message } else { route.kind },
            protocol: self.protocol(),
            encoding: route.encoding,
            qos: will.qos,
            retain: will.retain,
            refused: route.refused.as_deref(),
            arrived_at: Timestamp::default(),
            tenant: self.side.tenant.as_str(),
            device: route.device,
            topic: &will.topic,
            origin: Some(Origin { client_id: &self.side.client_id, packet_id: 0 }),
            properties: &will.properties,
            payload: &will.payload,
        }
        .encode(&mut envelope);
        Some(crate::state::Will { delay_s: will.delay_s, envelope: envelope.into() })
    }

    pub(super) fn protocol(&self) -> Protocol {
        match self.version {
            Version::V3 => Protocol::Mqtt3,
            Version::V5 => Protocol::Mqtt5,
        }
    }

    /// Writes a publish into the batch.
    pub(super) fn append(&mut self, publish: &Inbound<'_>, route: &Route<'_>) {
        let tenant = self.side.tenant.as_str();
        let log = &*self.worker.shared.log;
        // What is cut up goes to its subscribers whole, to the stream in parts.
        let kind = if route.is_mixed { Kind::Message } else { route.kind };
        let (topic, lane, key) = match kind {
            Kind::Message => (Topic::Messages, Lane::Live, publish.topic),
            _ if !route.device.is_empty() => (Topic::Raw, route.lane, route.device),
            _ => (Topic::Raw, route.lane, route.device_in_payload.as_deref().unwrap_or(publish.topic)),
        };
        self.side.brings_history = lane == Lane::Backfill || (self.side.brings_history && route.is_behind);
        if !self.side.brings_history {
            self.worker.turns.live_came(self.worker.tick());
        }
        let index = partition_of(tenant, key, log.partitions(topic));
        let mut travelling = PropertiesBuf::new();
        if !publish.properties.is_empty() {
            publish.properties.forward(publish.properties.message_expiry(), &mut travelling);
        }
        // A refused QoS 2 publish of MQTT 5 ends with its PUBREC: its packet id is not kept.
        let told = route.refused.is_some() && self.version == Version::V5;
        let envelope = Envelope {
            kind,
            protocol: self.protocol(),
            encoding: route.encoding,
            qos: publish.qos,
            retain: publish.retain,
            refused: route.refused.as_deref(),
            arrived_at: self.now,
            tenant,
            device: route.device,
            topic: publish.topic,
            origin: Some(Origin {
                client_id: &self.side.client_id,
                packet_id: if told { 0 } else { publish.packet_id },
            }),
            properties: travelling.as_properties().as_bytes(),
            payload: publish.payload,
        };
        let mut commits = self.worker.commits.borrow_mut();
        let batch = commits.batch();
        let before = batch.size_bytes();
        batch.push_with(PartitionId { topic, lane, index }, |out| envelope.encode(out));
        self.record = Some(batch.len() - 1);
        if route.is_mixed {
            let (encoding, payload) = match &route.plain {
                Some(plain) => (plain.encoding, &*plain.payload),
                None => (envelope.encoding, envelope.payload),
            };
            // Nobody is subscribed to parts; what the message says of its device goes with each.
            let mut of_device = PropertiesBuf::new();
            if let Some(firmware) = user_property(publish, FIRMWARE) {
                of_device.push(Property::UserProperty(FIRMWARE, firmware));
            }
            let part = Envelope {
                kind: Kind::Part,
                retain: false,
                origin: None,
                properties: of_device.as_properties().as_bytes(),
                encoding,
                payload,
                ..envelope
            };
            let mixed = Mixed { log, lane: route.lane, part };
            mixed.append(&self.worker.payloads.borrow(), batch);
        }
        self.bytes = batch.size_bytes() - before;
        self.side.in_flight_bytes += self.bytes;
        self.wrote = true;
        let counters = self.worker.counters();
        counters.record_bytes.add(self.bytes as u64);
        match self.version {
            Version::V3 => counters.records_mqtt3.add(1),
            Version::V5 => counters.records_mqtt5.add(1),
        }
        if publish.qos == Qos::AtMostOnce {
            commits.wait(self.key, Awaited::Nothing, None, self.bytes);
            self.bytes = 0;
        }
    }

    /// A plain QoS 0 message goes to the dispatcher without the log.
    pub(super) fn direct(&mut self, publish: &Inbound<'_>) {
        let shared = &self.worker.shared;
        let tenant = self.side.tenant.as_str();
        if shared.subscriptions.has_none(tenant) {
            return;
        }
        let mut travelling = PropertiesBuf::new();
        if !publish.properties.is_empty() {
            publish.properties.forward(publish.properties.message_expiry(), &mut travelling);
        }
        let mut record = Vec::new();
        Envelope {
            kind: Kind::Message,
            protocol: self.protocol(),
            encoding: record::Encoding::Opaque,
            qos: Qos::AtMostOnce,
            retain: false,
            refused: None,
            arrived_at: self.now,
            tenant,
            device: "",
            topic: publish.topic,
            origin: Some(Origin { client_id: &self.side.client_id, packet_id: 0 }),
            properties: travelling.as_properties().as_bytes(),
            payload: publish.payload,
        }
        .encode(&mut record);
        if !shared.direct.try_add(record.len(), DIRECT_BYTES) {
            self.worker.counters().shed.add(1);
            return;
        }
        if let Ok(message) = Message::new(record.into(), None) {
            shared.command(Command::Direct(Arc::new(message)));
        }
    }
}

fn inbound_of(will: &OwnedWill) -> Inbound<'_> {
    Inbound {
        topic: &will.topic,
        qos: will.qos,
        retain: will.retain,
        packet_id: 0,
        properties: Properties::parse(&will.properties, Carrier::Will).unwrap_or(Properties::EMPTY),
        payload: &will.payload,
    }
}
