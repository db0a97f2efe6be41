//! The MQTT decoder against ntex-mqtt's: what we accept, it accepts and reads the same; what it accepts and we refuse
//! is on the list of things that we know and want to refuse.

mod ours;
mod theirs;

use std::fmt::{Debug, Write as _};

use wire::mqtt::{DecodeError, Decoded, Packet, Version, decode};

use crate::Target;
use crate::mqtt::{case, mend, outcome, seeds, shape};

/// See the module.
pub const TARGET: Target = Target { name: "mqtt_differential", run, seeds, mend };

/// Where we are stricter, by the words of our refusal, and why.
const STRICTER: &[&str] = &[
    // The oracle is one codec for both directions and all phases of a connection.
    "packet type is not one this side sends",
    "first packet is not a CONNECT",
    "second CONNECT on a connection",
    "PUBLISH of a client carries a subscription identifier",
    "DISCONNECT of a server carries a session expiry",
    "not a PUBACK reason code", // 0x10 of a client
    "not a PUBREC reason code", // likewise
    "not a DISCONNECT reason code of this side",
    "not an AUTH reason code of this side",
    // Our limits.
    "topic is longer than the limit",
    "topic has more levels than the limit",
    "topic filter is longer than the limit",
    "topic filter has more levels than the limit",
    // MQTT-1.5.5-1, and 3.1.1 for the same reason: one length, one form.
    "length is not in its shortest form",
    // MQTT-1.5.3-2, MQTT-1.5.4-2, MQTT-4.7.3-2: it leaves U+0000 in strings.
    "string contains U+0000",
    "topic contains U+0000",
    "topic filter contains U+0000",
    // Names and filters are looked at by its server or not at all (MQTT-3.3.2-2, 4.7.1, 4.7.3-1, 4.8.2).
    "topic is empty",
    "topic is empty and there is no topic alias",
    "topic contains a wildcard",
    "response topic is empty",
    "response topic contains a wildcard",
    "topic filter is empty",
    "'#' is not alone in the last level",
    "'+' is not alone in its level",
    "share name is empty",
    "share name contains a wildcard",
    "no topic filter follows the share name",
    "no local on a shared subscription", // MQTT-3.8.3-4
    // Flags and combinations that it does not check.
    "DUP is set on a message of QoS 0",                  // MQTT-3.3.1-2
    "will QoS without a will",                           // MQTT-3.1.2-11, -13
    "will retain without a will",                        // MQTT-3.1.2-13, -15
    "password without a user name",                      // MQTT-3.1.2-22 of 3.1.1
    "session present with a refusal",                    // MQTT-3.2.2-4, -6
    "reserved bits of the subscription options are set", // MQTT-3.8.3-4, -5
    "SUBSCRIBE without a topic filter",                  // MQTT-3.8.3-2, -3
    "UNSUBSCRIBE without a topic filter",                // MQTT-3.10.3-2
    "SUBACK without a reason code",
    "UNSUBACK without a reason code",
    "authentication data without a method",  // 3.1.2.11.10
    "AUTH without an authentication method", // 3.15.2.2.2
];

fn run(data: &[u8]) -> u64 {
    let Some((limits, bytes)) = case(data) else { return 0 };
    let ours = decode(bytes, &limits);
    // The oracle is given whole packets only; how bytes are cut is the other target's matter.
    let Some(frame) = frame(bytes) else {
        assert!(!matches!(ours, Ok(Decoded::Packet { .. })), "accepted without being whole");
        return 1;
    };
    let version = match &ours {
        Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) => connect.version,
        Ok(_) => limits.version.unwrap_or(Version::V5),
        Err(e) => e.version().or(limits.version).unwrap_or(Version::V5),
    };
    let theirs = theirs::read(frame, version);
    match (&ours, theirs) {
        (Ok(Decoded::Packet { packet, consumed }), Ok(theirs)) => {
            assert_eq!(*consumed, frame.len());
            assert_eq!(ours::read(packet, version), theirs);
            shape(packet)
        }
        (Ok(Decoded::Packet { packet, .. }), Err(why)) => {
            assert!(stricter_than_the_standard(packet), "it refuses, {why}: {packet:?}");
            2
        }
        (Ok(Decoded::Incomplete(missing)), _) => panic!("incomplete by {missing:?}, but the frame is whole"),
        (Err(e), Ok(theirs)) => {
            assert!(known(e, frame), "{e}, but it reads {theirs}");
            outcome((e.what(), frame[0] >> 4, true))
        }
        (Err(e), Err(_)) => outcome((e.what(), frame[0] >> 4, false)),
    }
}

fn known(refusal: &DecodeError, frame: &[u8]) -> bool {
    let kind = frame[0] >> 4;
    match refusal.what() {
        // It looks for more behind some kinds of packet only: not behind these.
        "bytes follow the last field" => matches!(kind, CONNECT | CONNACK | PINGREQ | PINGRESP | DISCONNECT),
        // It cuts no field short but this: an AUTH may have a code and nothing more.
        "packet ends inside a field" => kind == AUTH && frame[1] == 1,
        // It reads Maximum QoS as a QoS, so takes 2, and allows packets of no size.
        "property is neither 0 nor 1" | "maximum packet size is 0" => kind == CONNACK,
        // In 3.1.1 it knows a return code 6.
        "not a CONNACK reason code" => kind == CONNACK && frame.get(refusal.offset()) == Some(&6),
        what => STRICTER.contains(&what),
    }
}

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
const AUTH: u8 = 15;

/// What the oracle refuses without the standard's asking: a message expiry of 0.
fn stricter_than_the_standard(packet: &Packet<'_>) -> bool {
    let properties = match packet {
        Packet::Publish(p) => p.properties,
        Packet::Connect(p) => p.will.as_ref().map_or(p.properties, |will| will.properties),
        _ => return false,
    };
    properties.message_expiry() == Some(0)
}

/// The first packet of `bytes` by its length, however written, if it is whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut len = 0;
    for (i, byte) in bytes.get(1..)?.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7F) << (7 * i);
        if *byte < 0x80 {
            return bytes.get(..2 + i + len);
        }
    }
    None
}

/// A packet in words in which both sides can be compared: a name, and fields in the order they are put.
#[derive(PartialEq, Eq)]
struct Words(String);

impl Words {
    fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    fn put(mut self, field: &str, value: impl Debug) -> Self {
        write!(self.0, " {field}={value:?}").expect("a string takes all");
        self
    }
}

impl Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
