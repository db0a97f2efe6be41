//! CONNECT (3.1) and CONNACK (3.2).

use super::super::reader::Reader;
use super::super::rules;
use super::super::topic::check_name;
use super::super::{Carrier, ConnAck, Connect, DecodeError, Properties, ReasonCode, Version, Will};
use super::{codes, qos};

/// The connect flags (3.1.2.3).
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    const RESERVED: u8 = 0x01;
    const CLEAN: u8 = 0x02;
    const WILL: u8 = 0x04;
    const WILL_QOS: u8 = 0x18;
    const WILL_RETAIN: u8 = 0x20;
    const PASSWORD: u8 = 0x40;
    const USERNAME: u8 = 0x80;

    fn has(self, bits: u8) -> bool {
        self.0 & bits != 0
    }

    /// What the combination breaks.
    fn fault(self, version: Version) -> Option<&'static rules::Rule> {
        if self.has(Self::RESERVED) {
            Some(&rules::CONNECT_RESERVED)
        } else if !self.has(Self::WILL) && self.has(Self::WILL_QOS) {
            Some(&rules::WILL_QOS_WITHOUT_WILL)
        } else if !self.has(Self::WILL) && self.has(Self::WILL_RETAIN) {
            Some(&rules::WILL_RETAIN_WITHOUT_WILL)
        } else if self.0 & Self::WILL_QOS == Self::WILL_QOS {
            Some(&rules::WILL_QOS_3)
        } else if version == Version::V3 && self.has(Self::PASSWORD) && !self.has(Self::USERNAME) {
            Some(&rules::PASSWORD_WITHOUT_USER)
        } else {
            None
        }
    }
}

pub(super) fn connect<'a>(reader: &mut Reader<'a>) -> Result<Connect<'a>, DecodeError> {
    let version = version(reader)?;
    reader.version = Some(version);
    let v5 = version == Version::V5;
    let flags_at = reader.at();
    let flags = Flags(reader.u8()?);
    if let Some(rule) = flags.fault(version) {
        return Err(reader.fail_at(flags_at, rule));
    }
    let keep_alive_s = reader.u16()?;
    let properties_at = reader.at();
    let properties = if v5 { Properties::read(reader, Carrier::Connect)? } else { Properties::EMPTY };
    if properties.auth_data().is_some() && properties.auth_method().is_none() {
        return Err(reader.fail_at(properties_at, &rules::AUTH_DATA_WITHOUT_METHOD));
    }
    let client_id_at = reader.at();
    let client_id = reader.string()?;
    if !v5 && client_id.is_empty() && !flags.has(Flags::CLEAN) {
        return Err(reader.fail_at(client_id_at, &rules::EMPTY_CLIENT_ID));
    }
    Ok(Connect {
        version,
        clean_start: flags.has(Flags::CLEAN),
        keep_alive_s,
        client_id,
        properties,
        will: if flags.has(Flags::WILL) { Some(will(reader, flags, v5)?) } else { None },
        username: if flags.has(Flags::USERNAME) { Some(reader.string()?) } else { None },
        password: if flags.has(Flags::PASSWORD) { Some(reader.binary()?) } else { None },
    })
}

/// Protocol name and level. Whoever speaks a level that we do not is answered in the nearest that we do: the CONNACK
/// of 3.1.1 below, that of 5 above.
fn version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name_at = reader.at();
    let name = reader.binary()?;
    let level_at = reader.at();
    let level = reader.u8()?;
    match (name, level) {
        (b"MQTT", 4) => Ok(Version::V3),
        (b"MQTT", 5) => Ok(Version::V5),
        (b"MQTT" | b"MQIsdp", level) => {
            reader.version = Some(if level < 5 { Version::V3 } else { Version::V5 });
            Err(reader.fail_at(level_at, &rules::PROTOCOL_LEVEL))
        }
        _ => Err(reader.fail_at(name_at, &rules::PROTOCOL_NAME)),
    }
}

fn will<'a>(reader: &mut Reader<'a>, flags: Flags, v5: bool) -> Result<Will<'a>, DecodeError> {
    let properties = if v5 { Properties::read(reader, Carrier::Will)? } else { Properties::EMPTY };
    let topic_at = reader.at() + 2;
    let topic = reader.utf8()?;
    check_name(topic).map_err(|e| e.in_packet(reader.version, topic_at))?;
    Ok(Will {
        topic,
        payload: reader.binary()?,
        qos: qos((flags.0 & Flags::WILL_QOS) >> 3).expect("a will QoS of 3 was refused with the flags"),
        retain: flags.has(Flags::WILL_RETAIN),
        properties,
    })
}

pub(super) fn connack<'a>(reader: &mut Reader<'a>, v5: bool) -> Result<ConnAck<'a>, DecodeError> {
    let flags_at = reader.at();
    let flags = reader.u8()?;
    if flags & 0xFE != 0 {
        return Err(reader.fail_at(flags_at, &rules::CONNACK_FLAGS));
    }
    let session_present = flags == 1;
    let code_at = reader.at();
    let reason = if v5 {
        codes::read(reader, codes::connack, &rules::CONNACK_CODE)?
    } else {
        codes::connack_v3(reader.u8()?).ok_or_else(|| reader.fail_at(code_at, &rules::CONNACK_CODE))?
    };
    if session_present && reason != ReasonCode::Success {
        return Err(reader.fail_at(flags_at, &rules::CONNACK_SESSION_WITH_ERROR));
    }
    let properties = if v5 { Properties::read(reader, Carrier::ConnAck)? } else { Properties::EMPTY };
    Ok(ConnAck { session_present, reason, properties })
}
