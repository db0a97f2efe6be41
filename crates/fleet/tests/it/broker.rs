//! A broker of a few lines: it decodes with the server's codec and answers as a test tells it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use wire::mqtt::{
    AckKind, ConnAck, DecodeLimits, Decoded, Packet, Properties, PropertiesBuf, Property, ReasonCode, Sender,
    Version, decode, encode_ack,
};

/// A publish as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) client: String,
    /// The how-manieth connection of all.
    pub(crate) connection: usize,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// How the broker behaves; every field is asked with the connection's number.
pub(crate) struct Manners {
    pub(crate) session_present: fn(usize) -> bool,
    pub(crate) connect: fn(usize) -> ReasonCode,
    pub(crate) receive_maximum: Option<u16>,
    /// Publishes a connection takes before it breaks without a word.
    pub(crate) break_after: fn(usize) -> Option<usize>,
    /// Acknowledge only once so many wait, or nothing more comes.
    pub(crate) hold: usize,
    /// Wait before the first acknowledgement of a connection.
    pub(crate) stall_ms: u64,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            session_present: |_| false,
            connect: |_| ReasonCode::Success,
            receive_maximum: None,
            break_after: |_| None,
            hold: 1,
            stall_ms: 0,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) got: Vec<Got>,
    /// The most publishes that waited for their acknowledgement on one connection.
    pub(crate) most_waiting: usize,
    pub(crate) released: usize,
}

pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    pub(crate) log: Arc<Mutex<Log>>,
}

/// Serves until the test's process ends.
pub(crate) fn serve(manners: Manners) -> Broker {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Arc::<Mutex<Log>>::default();
    let (into, manners) = (log.clone(), Arc::new(manners));
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (log, manners) = (into.clone(), manners.clone());
            std::thread::spawn(move || {
                let mut one = Connection { number, stream: stream.unwrap(), log, manners, waiting: vec![] };
                one.run();
            });
        }
    });
    Broker { address, log }
}

struct Connection {
    number: usize,
    stream: TcpStream,
    log: Arc<Mutex<Log>>,
    manners: Arc<Manners>,
    waiting: Vec<(u16, AckKind)>,
}

impl Connection {
    /// Ends when the client does, or as the manners have it.
    fn run(&mut self) -> Option<()> {
        let mut limits = DecodeLimits { version: None, max_packet_bytes: 1 << 20, sender: Sender::Client };
        let (mut buffer, mut client, mut taken) = (Vec::new(), String::new(), 0);
        loop {
            let mut used = 0;
            // A packet that is too large ends the connection, as it would elsewhere.
            while let Decoded::Packet { packet, consumed } = decode(&buffer[used..], &limits).ok()? {
                used += consumed;
                match packet {
                    Packet::Connect(connect) => {
                        limits.version = Some(connect.version);
                        client = connect.client_id.to_owned();
                        self.greet(connect.version)?;
                    }
                    Packet::Publish(publish) => {
                        taken += 1;
                        self.log.lock().unwrap().got.push(Got {
                            client: client.clone(),
                            connection: self.number,
                            packet_id: publish.packet_id,
                            dup: publish.dup,
                            topic: publish.topic.to_owned(),
                            payload: publish.payload.to_vec(),
                        });
                        let kind = match publish.qos {
                            record::Qos::AtLeastOnce => Some(AckKind::PubAck),
                            record::Qos::ExactlyOnce => Some(AckKind::PubRec),
                            record::Qos::AtMostOnce => None,
                        };
                        self.waiting.extend(kind.map(|kind| (publish.packet_id, kind)));
                        if (self.manners.break_after)(self.number).is_some_and(|most| taken >= most) {
                            return None;
                        }
                    }
                    Packet::Ack(ack) => {
                        assert_eq!(ack.kind, AckKind::PubRel);
                        self.log.lock().unwrap().released += 1;
                        let mut out = Vec::new();
                        encode_ack(
                            limits.version?,
                            AckKind::PubComp,
                            ack.packet_id,
                            ReasonCode::Success,
                            &mut out,
                        );
                        self.stream.write_all(&out).ok()?;
                    }
                    Packet::PingReq => self.stream.write_all(&[0xD0, 0]).ok()?,
                    Packet::Disconnect(_) => return None,
                    other => panic!("a load generator does not send {other:?}"),
                }
            }
            buffer.drain(..used);
            if let Some(version) = limits.version {
                self.acknowledge(version)?;
            }
            let mut chunk = [0; 65536];
            let len = self.stream.read(&mut chunk).ok().filter(|len| *len > 0)?;
            buffer.extend_from_slice(&chunk[..len]);
        }
    }

    fn greet(&mut self, version: Version) -> Option<()> {
        let mut properties = PropertiesBuf::default();
        if let (Some(maximum), Version::V5) = (self.manners.receive_maximum, version) {
            properties = properties.with(Property::ReceiveMaximum(maximum));
        }
        let ack = ConnAck {
            session_present: (self.manners.session_present)(self.number),
            reason: (self.manners.connect)(self.number),
            properties: if version == Version::V5 {
                properties.as_properties()
            } else {
                Properties::default()
            },
        };
        let mut out = Vec::new();
        Packet::ConnAck(ack).encode(version, &mut out).unwrap();
        self.stream.write_all(&out).ok()
    }

    fn acknowledge(&mut self, version: Version) -> Option<()> {
        {
            let mut log = self.log.lock().unwrap();
            log.most_waiting = log.most_waiting.max(self.waiting.len());
        }
        if self.waiting.len() < self.manners.hold {
            return Some(());
        }
        if self.manners.stall_ms > 0 {
            // The stall is what the test is about, not a wait for something.
            std::thread::sleep(std::time::Duration::from_millis(self.manners.stall_ms));
        }
        let mut out = Vec::new();
        for (packet_id, kind) in self.waiting.drain(..) {
            encode_ack(version, kind, packet_id, ReasonCode::Success, &mut out);
        }
        self.stream.write_all(&out).ok()
    }
}
