//! A plain blocking MQTT client, for checking what a server delivers.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::packet::{self, Connect, Incoming, Publish, Version};

/// A message as delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: u8,
    /// Marked as sent before.
    pub dup: bool,
    /// A retained message.
    pub retain: bool,
}

/// An MQTT connection that receives. Messages are acknowledged as they are read.
#[derive(Debug)]
pub struct Subscriber {
    stream: TcpStream,
    version: Version,
    buffer: Vec<u8>,
    /// The server had kept the session.
    pub session_present: bool,
    /// QoS 2 messages received and not yet released: a repeat of one of them is not a new message.
    unreleased: Vec<u16>,
    /// Received, not yet handed out.
    arrived: VecDeque<Message>,
}

/// How long the server may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

impl Subscriber {
    /// Connects and waits for CONNACK.
    ///
    /// # Errors
    /// No connection, or a refusal.
    pub fn connect(address: SocketAddr, connect: &Connect<'_>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
        stream.set_nodelay(true)?;
        let mut this = Self {
            stream,
            version: connect.version,
            buffer: Vec::new(),
            session_present: false,
            unreleased: Vec::new(),
            arrived: VecDeque::new(),
        };
        let mut out = Vec::new();
        packet::connect(&mut out, connect);
        this.stream.write_all(&out)?;
        this.session_present = this.answer("CONNACK", |incoming| match incoming {
            Incoming::ConnAck { session_present, code: 0, .. } => Some(Ok(*session_present)),
            Incoming::ConnAck { code, .. } => Some(Err(*code)),
            _ => None,
        })?;
        Ok(this)
    }

    /// Carries over which QoS 2 messages wait for their release, from a connection of the same session before.
    #[must_use]
    pub fn resuming(mut self, before: &Self) -> Self {
        self.unreleased.clone_from(&before.unreleased);
        self
    }

    /// Subscribes and waits for SUBACK.
    ///
    /// # Errors
    /// The connection broke, or the server refused.
    pub fn subscribe(&mut self, filter: &str, qos: u8) -> anyhow::Result<()> {
        let mut out = Vec::new();
        packet::subscribe(&mut out, self.version, 1, filter, qos);
        self.stream.write_all(&out)?;
        self.answer("SUBACK", |incoming| match incoming {
            Incoming::SubAck { codes, .. } if codes[0] < 0x80 => Some(Ok(())),
            Incoming::SubAck { codes, .. } => Some(Err(codes[0])),
            _ => None,
        })
    }

    /// Publishes one message and waits for its acknowledgement (PUBACK; at QoS 2 PUBREC and PUBCOMP).
    ///
    /// # Errors
    /// The connection broke, or the server refused.
    pub fn publish(&mut self, topic: &str, payload: &[u8], qos: u8, retain: bool) -> anyhow::Result<()> {
        let mut out = Vec::new();
        let says = Publish { topic, qos, retain, packet_id: u16::from(qos > 0) };
        packet::publish(&mut out, self.version, &says, payload);
        self.stream.write_all(&out)?;
        let kinds: &[u8] = match qos {
            0 => &[],
            1 => &[4],
            _ => &[5, 7],
        };
        for &expected in kinds {
            self.answer("an acknowledgement", |incoming| match incoming {
                Incoming::Ack { kind, code, .. } if *kind == expected => {
                    Some(if *code < 0x80 { Ok(()) } else { Err(*code) })
                }
                _ => None,
            })?;
            if expected == 5 {
                let mut release = Vec::new();
                packet::ack(&mut release, 6, 1);
                self.stream.write_all(&release)?;
            }
        }
        Ok(())
    }

    /// The next message, or `None` when none comes within `limit`.
    ///
    /// # Errors
    /// The connection broke.
    pub fn next(&mut self, limit: Duration) -> io::Result<Option<Message>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(message) = self.arrived.pop_front() {
                return Ok(Some(message));
            }
            if self.step(&mut |_| None::<()>)?.is_none() && !self.fill(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Takes packets until `wanted` finds its answer; an `Err` is the code of a refusal.
    fn answer<T>(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Incoming<'_>) -> Option<Result<T, u8>>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.step(&mut wanted)? {
                Some(Some(Ok(answer))) => return Ok(answer),
                Some(Some(Err(code))) => bail!("the server answered {what} with code {code:#04x}"),
                Some(None) => {}
                None if self.fill(deadline).with_context(|| format!("while waiting for {what}"))? => {}
                None => bail!("no {what} from the server within {ANSWER_LIMIT:?}"),
            }
        }
    }

    /// Takes one whole packet, if there is one, and says what `wanted` made of it.
    fn step<T>(
        &mut self,
        wanted: &mut impl FnMut(&Incoming<'_>) -> Option<T>,
    ) -> io::Result<Option<Option<T>>> {
        let parsed = packet::incoming(&self.buffer, self.version).map_err(io::Error::other)?;
        let Some((incoming, len)) = parsed else { return Ok(None) };
        let answer = wanted(&incoming);
        let mut reply = Vec::new();
        if let Some(message) = digest(&incoming, &mut self.unreleased, &mut reply) {
            self.arrived.push_back(message);
        }
        self.buffer.drain(..len);
        self.stream.write_all(&reply)?;
        Ok(Some(answer))
    }

    /// Reads more; `false` when the time is over.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                self.buffer.extend_from_slice(&chunk[..len]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a packet means to a subscriber: a message, and what is to be answered.
fn digest(incoming: &Incoming<'_>, unreleased: &mut Vec<u16>, reply: &mut Vec<u8>) -> Option<Message> {
    match *incoming {
        Incoming::Publish { qos, dup, retain, topic, packet_id, payload } => {
            if qos > 0 {
                packet::ack(reply, 3 + qos, packet_id);
            }
            if qos == 2 {
                if unreleased.contains(&packet_id) {
                    return None; // the same message again (MQTT 5.0, 4.3.3)
                }
                unreleased.push(packet_id);
            }
            let topic = String::from_utf8_lossy(topic).into_owned();
            Some(Message { topic, payload: payload.to_vec(), qos, dup, retain })
        }
        Incoming::Ack { kind: 6, packet_id, .. } => {
            unreleased.retain(|id| *id != packet_id);
            packet::ack(reply, 7, packet_id);
            None
        }
        _ => None,
    }
}
