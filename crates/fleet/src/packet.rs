//! The client's half of MQTT 3.1.1 and 5.0: what a load generator writes, and the little it reads.

/// Which MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, clap::ValueEnum)]
pub enum Version {
    /// 3.1.1 (OASIS, 2014)
    #[value(name = "3.1.1")]
    V311,
    /// 5.0 (OASIS, 2019)
    #[default]
    #[value(name = "5")]
    V5,
}

/// What a CONNECT says.
#[derive(Debug, Clone, Default)]
pub struct Connect<'a> {
    /// Which MQTT.
    pub version: Version,
    /// Client identifier.
    pub client_id: &'a str,
    /// Clean start (5.0), clean session (3.1.1).
    pub clean_start: bool,
    /// How long the session outlives the connection, seconds; 5.0 only, left out when 0.
    pub session_expiry_s: u32,
    /// Keep-alive, seconds.
    pub keep_alive_s: u16,
    /// Credentials.
    pub username: Option<&'a str>,
    /// Credentials.
    pub password: Option<&'a str>,
}

/// A reason code with the standard's words for it: `0x86 (bad user name or password)`.
#[must_use]
pub fn reason(code: u8) -> String {
    match wire::mqtt::ReasonCode::from_byte(code) {
        Some(reason) => format!("0x{code:02X} ({})", reason.words()),
        None => format!("0x{code:02X}"),
    }
}

/// What comes back, as far as a load generator cares.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// CONNACK.
    ConnAck {
        /// The server kept the session.
        session_present: bool,
        /// 0 is success.
        code: u8,
        /// How many QoS 1 and 2 publishes the server takes at once (5.0; 65 535 when it does not say).
        receive_maximum: u16,
        /// The keep-alive the server insists on, seconds (5.0).
        server_keep_alive_s: Option<u16>,
        /// The largest packet that the server takes, bytes (5.0).
        maximum_packet_bytes: Option<u32>,
    },
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack {
        /// The packet type: 4, 5, 6 or 7.
        kind: u8,
        /// Packet identifier.
        packet_id: u16,
        /// Reason code, 0 when absent; 0x80 and up is a refusal.
        code: u8,
    },
    /// SUBACK, with a code for each filter.
    SubAck {
        /// Packet identifier.
        packet_id: u16,
        /// 0x80 and up is a refusal.
        codes: &'a [u8],
    },
    /// PUBLISH.
    Publish {
        /// Quality of service.
        qos: u8,
        /// Sent before.
        dup: bool,
        /// A retained message.
        retain: bool,
        /// The topic's bytes.
        topic: &'a [u8],
        /// 0 at QoS 0.
        packet_id: u16,
        /// The payload.
        payload: &'a [u8],
    },
    /// PINGRESP.
    PingResp,
    /// DISCONNECT (5.0), with its reason code.
    Disconnect {
        /// Reason code.
        code: u8,
    },
}

/// What came back is not MQTT.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the server sent what is not MQTT: {0}")]
pub struct Malformed(pub &'static str);

/// Appends a CONNECT.
pub fn connect(out: &mut Vec<u8>, connect: &Connect<'_>) {
    let mut body = Vec::with_capacity(64);
    string(&mut body, b"MQTT");
    body.push(if connect.version == Version::V5 { 5 } else { 4 });
    body.push(
        u8::from(connect.clean_start) << 1
            | u8::from(connect.password.is_some()) << 6
            | u8::from(connect.username.is_some()) << 7,
    );
    body.extend_from_slice(&connect.keep_alive_s.to_be_bytes());
    if connect.version == Version::V5 {
        if connect.session_expiry_s == 0 {
            body.push(0);
        } else {
            body.extend_from_slice(&[5, 0x11]);
            body.extend_from_slice(&connect.session_expiry_s.to_be_bytes());
        }
    }
    string(&mut body, connect.client_id.as_bytes());
    for credential in [connect.username, connect.password].into_iter().flatten() {
        string(&mut body, credential.as_bytes());
    }
    frame(out, 0x10, &body);
}

/// Appends a PUBLISH whose payload `write_payload` of `payload_len` bytes appends. Returns where in `out` the
/// packet starts and where its packet identifier stands (QoS 1 and 2).
pub fn publish(
    out: &mut Vec<u8>,
    version: Version,
    publish: &Publish<'_>,
    payload: &[u8],
) -> (usize, Option<usize>) {
    let start = out.len();
    let v5 = usize::from(version == Version::V5);
    let id_len = if publish.qos > 0 { 2 } else { 0 };
    out.push(0x30 | publish.qos << 1 | u8::from(publish.retain));
    length(out, 2 + publish.topic.len() + id_len + v5 + payload.len());
    string(out, publish.topic.as_bytes());
    let id_at = (publish.qos > 0).then_some(out.len());
    if publish.qos > 0 {
        out.extend_from_slice(&publish.packet_id.to_be_bytes());
    }
    if v5 == 1 {
        out.push(0); // no properties
    }
    out.extend_from_slice(payload);
    (start, id_at)
}

/// What a PUBLISH says before its payload.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Keep it for later subscribers.
    pub retain: bool,
    /// Not 0 at QoS 1 and 2.
    pub packet_id: u16,
}

/// Appends a SUBSCRIBE of one filter.
pub fn subscribe(out: &mut Vec<u8>, version: Version, packet_id: u16, filter: &str, qos: u8) {
    let mut body = Vec::with_capacity(8 + filter.len());
    body.extend_from_slice(&packet_id.to_be_bytes());
    if version == Version::V5 {
        body.push(0);
    }
    string(&mut body, filter.as_bytes());
    body.push(qos);
    frame(out, 0x82, &body);
}

/// Appends an acknowledgement of success: PUBACK (4), PUBREC (5), PUBREL (6) or PUBCOMP (7).
pub fn ack(out: &mut Vec<u8>, kind: u8, packet_id: u16) {
    let flags = if kind == 6 { 2 } else { 0 };
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[kind << 4 | flags, 2, high, low]);
}

/// Appends a PINGREQ.
pub fn ping(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT (normal).
pub fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

/// The first packet of `bytes` and its length, or `None` when it is not yet whole.
///
/// # Errors
/// [`Malformed`] when it is not a packet a server may send.
pub fn incoming(bytes: &[u8], version: Version) -> Result<Option<(Incoming<'_>, usize)>, Malformed> {
    // The packet that fills a benchmark: an acknowledgement without properties.
    if let [first @ 0x40..0x80, 2, high, low, ..] = *bytes {
        let packet_id = u16::from_be_bytes([high, low]);
        return Ok(Some((Incoming::Ack { kind: first >> 4, packet_id, code: 0 }, 4)));
    }
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    let Some((len, len_len)) = read_length(rest)? else { return Ok(None) };
    let total = 1 + len_len + len;
    let Some(body) = bytes.get(1 + len_len..total) else { return Ok(None) };
    Ok(Some((read(first, body, version == Version::V5)?, total)))
}

fn read(first: u8, mut body: &[u8], v5: bool) -> Result<Incoming<'_>, Malformed> {
    match first >> 4 {
        2 => conn_ack(body, v5),
        3 => {
            let (qos, dup, retain) = (first >> 1 & 3, first & 8 != 0, first & 1 != 0);
            let topic_len = usize::from(take_u16(&mut body)?);
            let topic = take(&mut body, topic_len)?;
            let packet_id = if qos > 0 { take_u16(&mut body)? } else { 0 };
            if v5 {
                take_properties(&mut body)?;
            }
            Ok(Incoming::Publish { qos, dup, retain, topic, packet_id, payload: body })
        }
        kind @ 4..=7 => {
            let packet_id = take_u16(&mut body)?;
            Ok(Incoming::Ack { kind, packet_id, code: body.first().copied().unwrap_or(0) })
        }
        9 => {
            let packet_id = take_u16(&mut body)?;
            if v5 {
                take_properties(&mut body)?;
            }
            Ok(Incoming::SubAck { packet_id, codes: body })
        }
        13 => Ok(Incoming::PingResp),
        14 => Ok(Incoming::Disconnect { code: body.first().copied().unwrap_or(0) }),
        _ => Err(Malformed("a packet type that servers do not send")),
    }
}

fn conn_ack(mut body: &[u8], v5: bool) -> Result<Incoming<'_>, Malformed> {
    let flags = take(&mut body, 2)?;
    let (mut receive_maximum, mut server_keep_alive_s, mut maximum_packet_bytes) = (u16::MAX, None, None);
    if v5 && !body.is_empty() {
        let mut properties = take_properties(&mut body)?;
        while let Some((&id, rest)) = properties.split_first() {
            properties = rest;
            match id {
                0x21 => receive_maximum = take_u16(&mut properties)?,
                0x13 => server_keep_alive_s = Some(take_u16(&mut properties)?),
                // The one-byte properties of CONNACK (MQTT 5.0, 3.2.2.3).
                0x24 | 0x25 | 0x28 | 0x29 | 0x2A => drop(take(&mut properties, 1)?),
                0x22 => drop(take_u16(&mut properties)?),
                0x11 => drop(take(&mut properties, 4)?),
                0x27 => {
                    let bytes = take(&mut properties, 4)?;
                    maximum_packet_bytes = Some(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
                }
                0x12 | 0x1A | 0x1C | 0x1F | 0x15 | 0x16 => skip_string(&mut properties)?,
                0x26 => {
                    skip_string(&mut properties)?;
                    skip_string(&mut properties)?;
                }
                _ => return Err(Malformed("a property that CONNACK does not have")),
            }
        }
    }
    Ok(Incoming::ConnAck {
        session_present: flags[0] & 1 == 1,
        code: flags[1],
        receive_maximum,
        server_keep_alive_s,
        maximum_packet_bytes,
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Malformed("a packet that ends too early"))?;
    *bytes = rest;
    Ok(taken)
}

fn take_u16(bytes: &mut &[u8]) -> Result<u16, Malformed> {
    let taken = take(bytes, 2)?;
    Ok(u16::from_be_bytes([taken[0], taken[1]]))
}

fn skip_string(bytes: &mut &[u8]) -> Result<(), Malformed> {
    let len = usize::from(take_u16(bytes)?);
    take(bytes, len).map(drop)
}

fn take_properties<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let (len, len_len) = read_length(bytes)?.ok_or(Malformed("properties without a length"))?;
    take(bytes, len_len)?;
    take(bytes, len)
}

/// A variable byte integer (MQTT 5.0, 1.5.5) and how many bytes it takes.
fn read_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 { Err(Malformed("a length of more than four bytes")) } else { Ok(None) }
}

fn length(out: &mut Vec<u8>, mut value: usize) {
    debug_assert!(value < 1 << 28, "a packet's length has 28 bits");
    while value > 0x7F {
        out.push(value as u8 & 0x7F | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn string(out: &mut Vec<u8>, value: &[u8]) {
    let len = u16::try_from(value.len()).expect("topics and names are checked to be under 64 KiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

fn frame(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    length(out, body.len());
    out.extend_from_slice(body);
}
