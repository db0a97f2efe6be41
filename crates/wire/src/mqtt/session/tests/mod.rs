//! Tables over the state machine: what goes in, what is asked of the shell, and the statement each row stands for.
//!
//! A row is a script: packets of the client, commits, deliveries; and everything the machine asked for, as text.

mod connect;
mod inbound;
mod outbound;

use std::fmt::Write as _;

use record::Qos;

use super::*;
use crate::mqtt::{
    Ack, AckKind, Connect, Disconnect, Packet, PropertiesBuf, Property, Publish, ReasonCode, RetainHandling,
    Subscribe, SubscribeFilter, SubscribeOptions, Version,
};

pub(super) const LIMITS: Limits = Limits {
    receive_maximum: 3,
    packet_bytes: 1 << 20,
    topic_alias_maximum: 4,
    max_keep_alive_s: 60,
    session_expiry_s: 1000,
    outgoing_window: 100,
    outgoing_aliases: 2,
    queued: 4,
};

/// A shell that writes down what is asked of it.
#[derive(Default)]
pub(super) struct Recorder {
    said: String,
    dues: Vec<Due>,
    /// What [`Sink::publish`] answers, `Logged` by default.
    verdict: Option<Verdict>,
    /// The socket takes nothing.
    blocked: bool,
    /// The messages that the log has lost.
    gone: Vec<u32>,
}

impl Recorder {
    fn say(&mut self, what: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.said, "{what}");
    }
}

impl Sink<u32> for Recorder {
    fn connack(&mut self, due: &DueConnAck, _: &Terms) {
        self.say(format_args!("CONNACK present={}", due.session_present));
    }

    fn send(&mut self, packet: &Packet<'_>) {
        match packet {
            Packet::Ack(ack) => {
                let words = ack.properties.reason_string().map(|w| format!(" {w:?}")).unwrap_or_default();
                self.say(format_args!("{:?} {} {:02x}{words}", ack.kind, ack.packet_id, ack.reason as u8));
            }
            Packet::SubAck(suback) => {
                let codes: Vec<String> = suback.reasons.iter().map(|r| format!("{:02x}", *r as u8)).collect();
                self.say(format_args!("SUBACK {} {}", suback.packet_id, codes.join(" ")));
            }
            Packet::UnsubAck(unsuback) => {
                let codes: Vec<String> =
                    unsuback.reasons.iter().map(|r| format!("{:02x}", *r as u8)).collect();
                self.say(format_args!("UNSUBACK {} {}", unsuback.packet_id, codes.join(" ")));
            }
            other => self.say(format_args!("{other:?}")),
        }
    }

    fn send_encoded(&mut self, bytes: &[u8]) {
        self.say(format_args!("PUBLISH held {}", String::from_utf8_lossy(bytes)));
    }

    fn publish(&mut self, publish: Inbound<'_>) -> Verdict {
        self.say(format_args!("log {} {}", publish.topic, publish.qos as u8));
        self.verdict.clone().unwrap_or(Verdict::Logged)
    }

    fn event(&mut self, event: Event<u32>) {
        let text = match event {
            Event::Opened { clean, expiry_s } => format!("Opened clean={clean} expiry={expiry_s}"),
            Event::Closed { expiry_s, .. } => format!("Closed expiry={expiry_s}"),
            Event::Subscribed(s) => format!("Subscribed {}", s.filter),
            Event::Unsubscribed { filter } => format!("Unsubscribed {filter}"),
            Event::Queued(o) => format!("Queued {}", o.message),
            other => format!("{other:?}"),
        };
        self.say(format_args!("event {text}"));
    }

    fn due(&mut self, due: Due) {
        self.dues.push(due);
    }

    fn may_subscribe(&mut self, filter: &str, _: &SubscribeOptions) -> Result<(), ReasonCode> {
        if filter == "denied" { Err(ReasonCode::NotAuthorized) } else { Ok(()) }
    }

    fn subscribed(&mut self, subscription: &Subscription, is_new: bool) -> Result<(), ReasonCode> {
        if &*subscription.filter == "full" {
            return Err(ReasonCode::QuotaExceeded);
        }
        self.say(format_args!("subscribed {} new={is_new}", subscription.filter));
        Ok(())
    }

    fn unsubscribed(&mut self, filter: &str) {
        self.say(format_args!("unsubscribed {filter}"));
    }

    fn transmit(
        &mut self,
        transmit: Transmit<'_, u32>,
        names: &mut dyn FnMut(&str) -> TopicName,
    ) -> Transmitted {
        if self.blocked {
            return Transmitted::Later;
        }
        let Outgoing { message, qos, .. } = transmit.outgoing;
        if self.gone.contains(message) {
            return Transmitted::Gone;
        }
        let name = match names("t") {
            TopicName::Full => String::new(),
            other => format!(" {other:?}"),
        };
        let text = format!("m{message} q{} id{} dup={}{name}", *qos as u8, transmit.packet_id, transmit.dup);
        if transmit.hold {
            return Transmitted::Held(text.into_bytes().into());
        }
        self.say(format_args!("PUBLISH {text}"));
        Transmitted::Sent
    }

    fn dropped(&mut self, message: &u32) {
        self.say(format_args!("dropped {message}"));
    }
}

/// A connection under test.
pub(super) struct Rig {
    pub(super) machine: Machine<u32>,
    pub(super) shell: Recorder,
    /// What the next message that becomes durable is called.
    next: u32,
}

pub(super) fn connect(version: Version, clean_start: bool, properties: &PropertiesBuf) -> Connect<'_> {
    Connect {
        version,
        clean_start,
        keep_alive_s: 30,
        client_id: "c",
        properties: properties.as_properties(),
        will: None,
        username: None,
        password: None,
    }
}

impl Rig {
    /// A connection whose CONNACK has gone out.
    pub(super) fn open(
        version: Version,
        expiry_s: u32,
        properties: PropertiesBuf,
        stored: Option<Durable<u32>>,
    ) -> Self {
        let properties = match (version, expiry_s) {
            (Version::V5, 1..) => properties.with(Property::SessionExpiry(expiry_s)),
            _ => properties,
        };
        let clean = version == Version::V3 && expiry_s == 0;
        let terms = Terms::negotiate(&connect(version, clean, &properties), &LIMITS).unwrap();
        let mut shell = Recorder::default();
        let machine = Machine::open(terms, &LIMITS, None, stored, expiry_s != 0, None, &mut shell);
        let mut rig = Self { machine, shell, next: 100 };
        rig.commit();
        rig
    }

    pub(super) fn v5() -> Self {
        let mut rig = Self::open(Version::V5, 0, PropertiesBuf::new(), None);
        rig.said();
        rig
    }

    pub(super) fn v5_persistent() -> Self {
        let mut rig = Self::open(Version::V5, 100, PropertiesBuf::new(), None);
        rig.said();
        rig
    }

    pub(super) fn v3() -> Self {
        let mut rig = Self::open(Version::V3, 0, PropertiesBuf::new(), None);
        rig.said();
        rig
    }

    /// Hands over a packet of the client.
    pub(super) fn packet(&mut self, packet: &Packet<'_>) -> Result<(), Stop> {
        self.machine.packet(packet, &mut self.shell)
    }

    /// Everything handed over so far becomes durable.
    pub(super) fn commit(&mut self) {
        self.settle(None).unwrap();
    }

    /// Everything handed over so far fails.
    pub(super) fn fail(&mut self, reason: ReasonCode) -> Result<(), Stop> {
        self.settle(Some(reason))
    }

    fn settle(&mut self, failure: Option<ReasonCode>) -> Result<(), Stop> {
        for due in std::mem::take(&mut self.shell.dues) {
            let arrives = matches!(&due, Due::Ack { kind: AckKind::PubRec, logged: true, .. });
            self.next += u32::from(arrives);
            let outcome = failure.map_or(Ok(arrives.then_some(self.next)), Err);
            self.machine.settle(due, outcome, &mut self.shell)?;
        }
        Ok(())
    }

    pub(super) fn deliver(&mut self, message: u32, qos: Qos) {
        self.machine.deliver(
            Outgoing {
                message,
                qos,
                retain: false,
                subscription_ids: Box::default(),
                progress: Progress::Queued,
            },
            false,
            &mut self.shell,
        );
    }

    /// What was asked for since the last time, one line each.
    pub(super) fn said(&mut self) -> String {
        std::mem::take(&mut self.shell.said)
    }

    #[track_caller]
    pub(super) fn expect(&mut self, what: &str, lines: &[&str]) {
        let said = self.said();
        assert_eq!(said.lines().collect::<Vec<_>>(), lines, "{what}");
    }
}

pub(super) fn publish(qos: Qos, packet_id: u16, dup: bool) -> Packet<'static> {
    Packet::Publish(Publish {
        dup,
        qos,
        retain: false,
        topic: "a",
        packet_id,
        properties: crate::mqtt::Properties::EMPTY,
        payload: b"x",
    })
}

pub(super) fn ack(kind: AckKind, packet_id: u16) -> Packet<'static> {
    ack_with(kind, packet_id, ReasonCode::Success)
}

pub(super) fn ack_with(kind: AckKind, packet_id: u16, reason: ReasonCode) -> Packet<'static> {
    Packet::Ack(Ack { kind, packet_id, reason, properties: crate::mqtt::Properties::EMPTY })
}

pub(super) fn subscribe(filter: &str) -> Packet<'_> {
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Send,
    };
    Packet::Subscribe(Subscribe {
        packet_id: 9,
        properties: crate::mqtt::Properties::EMPTY,
        filters: vec![SubscribeFilter { filter, options }],
    })
}

pub(super) fn disconnect(reason: ReasonCode, properties: &PropertiesBuf) -> Packet<'_> {
    Packet::Disconnect(Disconnect { reason, properties: properties.as_properties() })
}
