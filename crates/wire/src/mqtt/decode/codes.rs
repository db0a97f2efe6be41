//! Which reason code may stand in which packet (MQTT 5, tables 3-1 and following), and what those of 3.1.1 mean.

use super::super::reader::Reader;
use super::super::rules::{self, Rule};
use super::super::{AckKind, DecodeError, ReasonCode};
use super::Sender;

/// Reads a reason code that `allowed` knows.
#[inline]
pub(super) fn read(
    reader: &mut Reader<'_>,
    allowed: impl Fn(u8) -> bool,
    rule: &'static Rule,
) -> Result<ReasonCode, DecodeError> {
    let at = reader.at();
    let code = reader.u8()?;
    match ReasonCode::from_byte(code) {
        Some(reason) if allowed(code) => Ok(reason),
        _ => Err(reader.fail_at(at, rule)),
    }
}

pub(super) fn connack(code: u8) -> bool {
    matches!(code, 0x00 | 0x80..=0x8A | 0x8C | 0x90 | 0x95 | 0x97 | 0x99..=0x9D | 0x9F)
}

/// 0x10 (no matching subscribers) is for servers to say.
pub(super) fn ack(kind: AckKind, sender: Sender, code: u8) -> bool {
    match kind {
        AckKind::PubAck | AckKind::PubRec => {
            matches!(code, 0x00 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
                || (code == 0x10 && sender == Sender::Server)
        }
        AckKind::PubRel | AckKind::PubComp => matches!(code, 0x00 | 0x92),
    }
}

pub(super) fn ack_rule(kind: AckKind) -> &'static Rule {
    match kind {
        AckKind::PubAck => &rules::PUBACK_CODE,
        AckKind::PubRec => &rules::PUBREC_CODE,
        AckKind::PubRel => &rules::PUBREL_CODE,
        AckKind::PubComp => &rules::PUBCOMP_CODE,
    }
}

pub(super) fn suback(code: u8) -> bool {
    matches!(code, 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
}

pub(super) fn suback_v3(code: u8) -> bool {
    matches!(code, 0x00..=0x02 | 0x80)
}

pub(super) fn unsuback(code: u8) -> bool {
    matches!(code, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91)
}

/// A client may not shut a server down; a server has no will.
pub(super) fn disconnect(sender: Sender, code: u8) -> bool {
    match sender {
        Sender::Client => matches!(code, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99),
        Sender::Server => matches!(
            code,
            0x00 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B..=0x90 | 0x93..=0xA2
        ),
    }
}

pub(super) fn auth(sender: Sender, code: u8) -> bool {
    match sender {
        Sender::Client => matches!(code, 0x18 | 0x19),
        Sender::Server => matches!(code, 0x00 | 0x18),
    }
}

/// A CONNACK return code of 3.1.1 (3.2.2.3).
pub(super) fn connack_v3(code: u8) -> Option<ReasonCode> {
    Some(match code {
        0 => ReasonCode::Success,
        1 => ReasonCode::UnsupportedProtocolVersion,
        2 => ReasonCode::ClientIdentifierNotValid,
        3 => ReasonCode::ServerUnavailable,
        4 => ReasonCode::BadUserNameOrPassword,
        5 => ReasonCode::NotAuthorized,
        _ => return None,
    })
}
