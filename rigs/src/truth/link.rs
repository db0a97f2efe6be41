//! The far end of a connection: sends messages in order, keeps what is not acknowledged, sends it again after the
//! server was killed, as a device would.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context;
use fleet::packet::{self, Connect, Incoming, Version};

use super::scenario::{Answer, Message, Way};
use crate::outcome::{Failure, Result, broken};

/// Publishes on their way at a time.
const WINDOW: usize = 24;
/// A server that does not come back, or does not answer, for so long is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// Larger than the server takes (`record::limits::HTTP_BODY_BYTES`).
const OVERSIZE_BODY: usize = record::limits::HTTP_BODY_BYTES + 1;

/// For each message of a line, how often it was sent in vain: the server may have taken it every time.
pub type InVain = Vec<u32>;

/// An MQTT client with a session that outlives its connections.
#[derive(Debug)]
pub struct Mqtt {
    address: SocketAddr,
    version: Version,
    client_id: String,
    username: String,
    password: String,
    stream: Option<TcpStream>,
    tail: Vec<u8>,
    packet_id: u16,
    has_met: bool,
    in_flight: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    /// Which message of the line.
    message: usize,
    packet_id: u16,
    qos: u8,
    packet: Vec<u8>,
    /// PUBREC has come, PUBREL went out.
    released: bool,
    /// Sent again without harm: the server knows the packet id.
    known_again: bool,
    expects: u8,
}

impl Mqtt {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(
        address: SocketAddr,
        version: Version,
        client_id: &str,
        username: &str,
        password: &str,
    ) -> Self {
        Self {
            address,
            version,
            client_id: client_id.to_owned(),
            username: username.to_owned(),
            password: password.to_owned(),
            stream: None,
            tail: Vec::new(),
            packet_id: 0,
            has_met: false,
            in_flight: VecDeque::new(),
        }
    }

    /// Sends the messages and waits until each has its answer.
    ///
    /// # Errors
    /// An answer is another than expected, the session is lost, or the server stays away.
    pub fn send(&mut self, messages: &[Message]) -> Result<InVain> {
        let mut in_vain = vec![0; messages.len()];
        let deadline = Instant::now() + PATIENCE;
        let mut next = 0;
        while next < messages.len() || !self.in_flight.is_empty() {
            if Instant::now() > deadline {
                return broken(format!("{}: no answer for {PATIENCE:?}", self.client_id));
            }
            match self.turn(messages, &mut next) {
                Ok(()) => {}
                Err(Failure::Rig(error)) if error.is::<io::Error>() => {
                    self.cut(&mut in_vain);
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(in_vain)
    }

    /// Lets go of a connection to a server that is no more: what is written there at QoS 0 would be gone.
    pub fn hang_up(&mut self) {
        self.stream = None;
    }

    /// Connects if need be, sends what there is room for, reads what has come.
    fn turn(&mut self, messages: &[Message], next: &mut usize) -> Result<()> {
        if self.stream.is_none() {
            self.connect()?;
        }
        let mut out = Vec::new();
        while let Some(message) = messages.get(*next) {
            if message.answer == Answer::TooLarge {
                if self.in_flight.is_empty() && out.is_empty() {
                    *next += 1;
                    return self.too_large(message);
                }
                break;
            }
            if self.in_flight.len() >= WINDOW {
                break;
            }
            self.publish(message, *next, &mut out)?;
            *next += 1;
        }
        self.write(&out)?;
        if self.in_flight.is_empty() { Ok(()) } else { self.read() }
    }

    fn publish(&mut self, message: &Message, number: usize, out: &mut Vec<u8>) -> Result<()> {
        let Way::Publish { topic, qos } = &message.way else {
            return Err(anyhow::anyhow!("a message for HTTP on an MQTT connection").into());
        };
        let packet_id = if *qos > 0 { self.next_id() } else { 0 };
        let says = packet::Publish { topic, qos: *qos, retain: false, packet_id };
        let (start, _) = packet::publish(out, self.version, &says, &message.payload);
        if *qos == 0 {
            return Ok(());
        }
        let expects = match (self.version, message.answer) {
            (Version::V5, Answer::Refused) => 0x99,   // payload format invalid
            (Version::V5, Answer::Forbidden) => 0x87, // not authorized
            _ => 0,
        };
        self.in_flight.push_back(Flight {
            message: number,
            packet_id,
            qos: *qos,
            packet: out[start..].to_vec(),
            released: false,
            // A refused QoS 2 publish ends with its PUBREC; its packet id is not kept.
            known_again: *qos == 2 && expects == 0,
            expects,
        });
        Ok(())
    }

    fn next_id(&mut self) -> u16 {
        loop {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|flight| flight.packet_id != self.packet_id) {
                return self.packet_id;
            }
        }
    }

    fn connect(&mut self) -> Result<()> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        self.stream = Some(stream);
        self.tail.clear();
        let mut out = Vec::new();
        let says = Connect {
            version: self.version,
            client_id: &self.client_id,
            clean_start: false,
            session_expiry_s: 3600,
            keep_alive_s: 0,
            username: Some(&self.username),
            password: Some(&self.password),
        };
        packet::connect(&mut out, &says);
        self.write(&out)?;
        let present = loop {
            match packet::incoming(&self.tail, self.version).map_err(anyhow::Error::from)? {
                Some((Incoming::ConnAck { session_present, code: 0, .. }, size)) => {
                    self.tail.drain(..size);
                    break session_present;
                }
                Some((other, _)) => return broken(format!("{}: CONNECT answered {other:?}", self.client_id)),
                None => self.receive()?,
            }
        };
        if self.has_met && !present {
            return broken(format!("{}: the session was lost", self.client_id));
        }
        self.has_met = true;
        let mut again = Vec::new();
        for flight in &self.in_flight {
            if flight.released {
                packet::ack(&mut again, 6, flight.packet_id);
            } else {
                let start = again.len();
                again.extend_from_slice(&flight.packet);
                again[start] |= 8; // DUP
            }
        }
        self.write(&again)
    }

    /// The connection is gone: what is on its way may have been taken, or not.
    fn cut(&mut self, in_vain: &mut InVain) {
        if self.stream.take().is_none() {
            return;
        }
        for flight in self.in_flight.iter().filter(|flight| !flight.known_again) {
            in_vain[flight.message] += 1;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        Ok(stream.write_all(bytes)?)
    }

    fn receive(&mut self) -> Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.tail.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        self.receive()?;
        let mut out = Vec::new();
        loop {
            let (kind, packet_id, code, size) =
                match packet::incoming(&self.tail, self.version).map_err(anyhow::Error::from)? {
                    Some((Incoming::Ack { kind, packet_id, code }, size)) => (kind, packet_id, code, size),
                    Some((other, _)) => return broken(format!("{}: unasked {other:?}", self.client_id)),
                    None => break,
                };
            self.tail.drain(..size);
            self.acknowledged(kind, packet_id, code, &mut out)?;
        }
        self.write(&out)
    }

    fn acknowledged(&mut self, kind: u8, packet_id: u16, code: u8, out: &mut Vec<u8>) -> Result<()> {
        let Some(at) = self.in_flight.iter().position(|flight| flight.packet_id == packet_id) else {
            return broken(format!("{}: packet {kind} for unknown id {packet_id}", self.client_id));
        };
        let flight = &mut self.in_flight[at];
        // Below 0x80 are successes of several kinds.
        let as_expected = if flight.expects == 0 { code < 0x80 } else { code == flight.expects };
        match (kind, flight.qos) {
            (4, 1) | (5, 2) if !as_expected => {
                let (expects, id) = (flight.expects, &self.client_id);
                broken(format!("{id}: a publish was answered {code:#04x} instead of {expects:#04x}"))
            }
            (4, 1) | (7, 2) => {
                self.in_flight.remove(at);
                Ok(())
            }
            (5, 2) if code >= 0x80 => {
                self.in_flight.remove(at);
                Ok(())
            }
            (5, 2) => {
                flight.released = true;
                packet::ack(out, 6, packet_id);
                Ok(())
            }
            _ => broken(format!("{}: packet {kind} for a publish at QoS {}", self.client_id, flight.qos)),
        }
    }

    /// The server must end the connection.
    fn too_large(&mut self, message: &Message) -> Result<()> {
        let Way::Publish { topic, .. } = &message.way else {
            return Err(anyhow::anyhow!("a message for HTTP on an MQTT connection").into());
        };
        let says = packet::Publish { topic, qos: 1, retain: false, packet_id: self.next_id() };
        let mut out = Vec::new();
        packet::publish(&mut out, self.version, &says, &message.payload);
        // It may end while we still write.
        let _ = self.write(&out);
        let told = loop {
            match packet::incoming(&self.tail, self.version).map_err(anyhow::Error::from)? {
                Some((Incoming::Disconnect { code }, _)) => break Some(code),
                Some((other, _)) => {
                    return broken(format!("{}: too large, answered {other:?}", self.client_id));
                }
                None => {}
            }
            if self.receive().is_err() {
                break None;
            }
        };
        self.stream = None;
        match told {
            None | Some(0x95) => Ok(()),
            Some(code) => broken(format!("{}: too large, disconnected with {code:#04x}", self.client_id)),
        }
    }
}

/// An HTTP client that sends one request after the other.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    token: String,
    agent: ureq::Agent,
}

impl Http {
    /// A client with this credential.
    #[must_use]
    pub fn new(address: SocketAddr, token: &str) -> Self {
        let config = ureq::Agent::config_builder();
        let agent = config.timeout_global(Some(PATIENCE)).http_status_as_error(false).build().into();
        Self { address, token: token.to_owned(), agent }
    }

    /// Sends the messages, each after the answer to the one before.
    ///
    /// # Errors
    /// An answer is another than expected, or the server stays away.
    pub fn send(&mut self, messages: &[Message]) -> Result<InVain> {
        messages.iter().map(|message| self.one(message)).collect()
    }

    fn one(&self, message: &Message) -> Result<u32> {
        let Way::Post { target, content_type } = &message.way else {
            return Err(anyhow::anyhow!("a message for MQTT on an HTTP connection").into());
        };
        let expects = expected(target, message.answer);
        let deadline = Instant::now() + PATIENCE;
        let mut in_vain = 0;
        loop {
            let answered = match message.answer {
                Answer::TooLarge => self.announce(target).map(|status| (status, String::new())),
                _ => self.post(target, content_type, &message.payload),
            };
            match answered {
                Ok((status, _)) if status == expects => return Ok(in_vain),
                // Not known to be durable: send again.
                Ok((429 | 503, _)) => in_vain += 1,
                Ok((status, said)) => {
                    return broken(format!("{target} was answered {status} instead of {expects}: {said}"));
                }
                Err(error) => in_vain += u32::from(error.kind() != io::ErrorKind::ConnectionRefused),
            }
            if Instant::now() > deadline {
                return broken(format!("{target}: no answer for {PATIENCE:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn post(&self, target: &str, content_type: &str, body: &[u8]) -> io::Result<(u16, String)> {
        let url = format!("http://{}{target}", self.address);
        let request = self.agent.post(&url).header("authorization", format!("Bearer {}", self.token));
        let mut response = request.content_type(content_type).send(body).map_err(ureq::Error::into_io)?;
        let said = response.body_mut().read_to_string().map_err(ureq::Error::into_io)?;
        Ok((response.status().as_u16(), said))
    }

    /// Announces a body larger than is taken, and does not send it.
    fn announce(&self, target: &str) -> io::Result<u16> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(
            stream,
            "POST {target} HTTP/1.1\r\nHost: rig\r\nAuthorization: Bearer {}\r\nContent-Length: {OVERSIZE_BODY}\r\n\r\n",
            self.token
        )?;
        let mut head = [0; 12];
        stream.read_exact(&mut head)?;
        let status = std::str::from_utf8(&head[9..]).ok().and_then(|status| status.parse().ok());
        status.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }
}

fn expected(target: &str, answer: Answer) -> u16 {
    let is_lines = !target.starts_with("/v1/");
    match answer {
        Answer::Taken if is_lines => 204,
        Answer::Partly | Answer::Refused if is_lines => 400,
        Answer::Taken | Answer::Partly => 200,
        Answer::Refused => 422,
        Answer::TooLarge => 413,
        // Nobody is told so over HTTP: there the payload is wrong (and dead).
        Answer::Forbidden => 403,
    }
}
