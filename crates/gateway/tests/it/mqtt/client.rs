//! A client that says exactly what a test wants and tells what it hears as text, one line a packet.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use record::Qos;
use wire::mqtt::{
    Ack, AckKind, Connect, DecodeLimits, Decoded, Disconnect, Packet, Properties, PropertiesBuf, Property,
    Publish, ReasonCode, RetainHandling, Sender, Subscribe, SubscribeFilter, SubscribeOptions, Version, Will,
    decode,
};

/// How long an answer may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a test says in its CONNECT.
pub(super) struct Hello<'a> {
    pub(super) version: Version,
    pub(super) id: &'a str,
    pub(super) clean: bool,
    pub(super) properties: PropertiesBuf,
    pub(super) will: Option<(&'a str, &'a str, u32)>,
    pub(super) keep_alive_s: u16,
}

impl<'a> Hello<'a> {
    pub(super) fn v5(id: &'a str) -> Self {
        let properties = PropertiesBuf::new();
        Self { version: Version::V5, id, clean: true, properties, will: None, keep_alive_s: 0 }
    }

    pub(super) fn v3(id: &'a str) -> Self {
        Self { version: Version::V3, ..Self::v5(id) }
    }

    pub(super) fn with(mut self, property: Property<'_>) -> Self {
        self.properties.push(property);
        self
    }

    pub(super) fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    /// A session that outlives its connections.
    pub(super) fn persistent(self) -> Self {
        match self.version {
            Version::V3 => self.resume(),
            Version::V5 => self.resume().with(Property::SessionExpiry(1000)),
        }
    }

    pub(super) fn will(mut self, topic: &'a str, payload: &'a str, delay_s: u32) -> Self {
        self.will = Some((topic, payload, delay_s));
        self
    }

    /// The CONNECT.
    pub(super) fn encoded(&self) -> Vec<u8> {
        let mut delay = PropertiesBuf::new();
        if let Some((_, _, delay_s @ 1..)) = self.will {
            delay.push(Property::WillDelay(delay_s));
        }
        let connect = Packet::Connect(Connect {
            version: self.version,
            clean_start: self.clean,
            keep_alive_s: self.keep_alive_s,
            client_id: self.id,
            properties: self.properties.as_properties(),
            will: self.will.map(|(topic, payload, _)| Will {
                topic,
                payload: payload.as_bytes(),
                qos: Qos::AtLeastOnce,
                retain: false,
                properties: delay.as_properties(),
            }),
            username: None,
            password: None,
        });
        let mut bytes = Vec::new();
        connect.encode(self.version, &mut bytes).unwrap();
        bytes
    }
}

/// What carries MQTT.
pub(super) trait Carrier: Read + Write {}

impl<T: Read + Write> Carrier for T {}

pub(super) struct Client {
    stream: Box<dyn Carrier>,
    version: Version,
    input: Vec<u8>,
}

impl Client {
    /// A socket on which nothing was said.
    pub(super) fn raw(address: SocketAddr, version: Version) -> Self {
        Self::over(socket(address), version)
    }

    /// Over something else than plain TCP.
    pub(super) fn over(stream: impl Carrier + 'static, version: Version) -> Self {
        Self { stream: Box::new(stream), version, input: Vec::new() }
    }

    /// Says CONNECT; the answer is still to be heard.
    pub(super) fn greet(address: SocketAddr, hello: &Hello<'_>) -> Self {
        let mut client = Self::raw(address, hello.version);
        client.say_hello(hello);
        client
    }

    /// Says CONNECT.
    pub(super) fn say_hello(&mut self, hello: &Hello<'_>) {
        self.send_bytes(&hello.encoded());
    }

    /// Connects and is let in.
    pub(super) fn connect(address: SocketAddr, hello: &Hello<'_>) -> Self {
        let mut client = Self::greet(address, hello);
        let connack = client.hear();
        assert!(connack.starts_with("CONNACK 00"), "{connack}");
        client
    }

    pub(super) fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    pub(super) fn send_bytes(&mut self, bytes: &[u8]) {
        // A server that has closed already is seen by what is heard.
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &str, qos: Qos, packet_id: u16) {
        self.publish_with(topic, payload, qos, packet_id, |_| {});
    }

    pub(super) fn publish_with<'a>(
        &mut self,
        topic: &'a str,
        payload: &'a str,
        qos: Qos,
        packet_id: u16,
        change: impl FnOnce(&mut Publish<'a>),
    ) {
        let mut publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id,
            properties: Properties::EMPTY,
            payload: payload.as_bytes(),
        };
        change(&mut publish);
        self.send(&Packet::Publish(publish));
    }

    /// Publishes at QoS 1 and hears the PUBACK.
    pub(super) fn published(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload, Qos::AtLeastOnce, 99);
        assert_eq!(self.hear(), "PUBACK 99 00");
    }

    pub(super) fn ack(&mut self, kind: AckKind, packet_id: u16) {
        let reason = ReasonCode::Success;
        self.send(&Packet::Ack(Ack { kind, packet_id, reason, properties: Properties::EMPTY }));
    }

    /// Subscribes and hears the SUBACK.
    pub(super) fn subscribe(&mut self, filter: &str, qos: Qos) {
        self.subscribe_with(filter, qos, &PropertiesBuf::new());
        assert_eq!(self.hear(), format!("SUBACK 7 {:02x}", qos as u8));
    }

    pub(super) fn subscribe_with(&mut self, filter: &str, qos: Qos, properties: &PropertiesBuf) {
        let options = SubscribeOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        self.send(&Packet::Subscribe(Subscribe {
            packet_id: 7,
            properties: properties.as_properties(),
            filters: vec![SubscribeFilter { filter, options }],
        }));
    }

    pub(super) fn disconnect(mut self) {
        let reason = ReasonCode::Success;
        self.send(&Packet::Disconnect(Disconnect { reason, properties: Properties::EMPTY }));
        assert_eq!(self.hear(), "closed");
    }

    /// What comes next.
    #[track_caller]
    pub(super) fn hear(&mut self) -> String {
        loop {
            let limits = DecodeLimits {
                version: Some(self.version),
                max_packet_bytes: 1 << 24,
                sender: Sender::Server,
            };
            match decode(&self.input, &limits).expect("the server speaks well") {
                Decoded::Packet { packet, consumed } => {
                    let text = describe(&packet);
                    self.input.drain(..consumed);
                    return text;
                }
                Decoded::Incomplete(_) => {}
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes) {
                Ok(0) => return "closed".into(),
                Ok(n) => self.input.extend_from_slice(&bytes[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("nothing was heard in {PATIENCE:?}")
                }
                Err(_) => return "closed".into(),
            }
        }
    }

    /// What comes next is this.
    #[track_caller]
    pub(super) fn expect(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.hear(), *line);
        }
    }

    /// Nothing was said so far: an answer to a ping overtakes nothing.
    #[track_caller]
    pub(super) fn expect_silence(&mut self) {
        self.send(&Packet::PingReq);
        assert_eq!(self.hear(), "PINGRESP");
    }
}

/// A socket that gives up on a silent server.
pub(super) fn socket(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn describe(packet: &Packet<'_>) -> String {
    match packet {
        Packet::ConnAck(c) => {
            format!("CONNACK {:02x} present={}{}", c.reason as u8, c.session_present, told(c.properties))
        }
        Packet::Publish(p) => format!(
            "{} {} q{} id{} dup={} retain={}{}",
            p.topic,
            String::from_utf8_lossy(p.payload),
            p.qos as u8,
            p.packet_id,
            u8::from(p.dup),
            u8::from(p.retain),
            told(p.properties)
        ),
        Packet::Ack(a) => {
            format!("{:?} {} {:02x}{}", a.kind, a.packet_id, a.reason as u8, told(a.properties))
                .replace("Pub", "PUB")
                .replace("PUBAck", "PUBACK")
                .replace("PUBRec", "PUBREC")
                .replace("PUBRel", "PUBREL")
                .replace("PUBComp", "PUBCOMP")
        }
        Packet::SubAck(s) => format!("SUBACK {} {}", s.packet_id, codes(&s.reasons)),
        Packet::UnsubAck(s) => format!("UNSUBACK {} {}", s.packet_id, codes(&s.reasons)),
        Packet::PingResp => "PINGRESP".into(),
        Packet::Disconnect(d) => format!("DISCONNECT {:02x}", d.reason as u8),
        other => format!("{other:?}"),
    }
}

fn codes(reasons: &[ReasonCode]) -> String {
    reasons.iter().map(|r| format!("{:02x}", *r as u8)).collect::<Vec<_>>().join(" ")
}

/// The properties that tests ask about.
fn told(properties: Properties<'_>) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for property in properties {
        let _ = match property {
            Property::TopicAlias(alias) => write!(text, " alias={alias}"),
            Property::SubscriptionId(id) => write!(text, " sub={id}"),
            Property::MessageExpiry(left) => write!(text, " expiry={left}"),
            Property::UserProperty(name, value) => write!(text, " {name}={value}"),
            Property::ReasonString(words) => write!(text, " {words:?}"),
            Property::AssignedClientId(_) => write!(text, " assigned"),
            Property::ResponseTopic(topic) => write!(text, " response={topic}"),
            _ => Ok(()),
        };
    }
    text
}
