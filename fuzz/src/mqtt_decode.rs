//! The MQTT decoder by itself: no panic, memory bounded by the input, the same answer however the bytes are cut, and
//! what is accepted encodes to bytes that mean the same.

use wire::mqtt::{DecodeError, DecodeLimits, Decoded, EncodeError, Packet, Version, decode};

use crate::Target;
use crate::allocation::bounded;
use crate::mqtt::{case, mend, outcome, seeds, shape};

/// See the module.
pub const TARGET: Target = Target { name: "mqtt_decode", run, seeds, mend };

fn run(data: &[u8]) -> u64 {
    let Some((mut limits, mut bytes)) = case(data) else { return 0 };
    let mut all = 0;
    loop {
        let decoded = bounded(memory(bytes), || decode(bytes, &limits));
        check_cuts(bytes, &limits, &decoded);
        match decoded {
            Ok(Decoded::Packet { packet, consumed }) => {
                all = outcome((all, shape(&packet)));
                check_encoding(&packet, consumed, &limits);
                if let Packet::Connect(connect) = &packet {
                    limits.version = Some(connect.version);
                }
                bytes = &bytes[consumed..];
            }
            Ok(Decoded::Incomplete(missing)) => return outcome((all, missing.is_some())),
            Err(e) => {
                assert!(e.offset() <= bytes.len(), "{e} of {} bytes", bytes.len());
                return outcome((all, e.what(), e.statement(), bytes[0] >> 4));
            }
        }
    }
}

/// Only lists are allocated for. A filter of one byte takes four on the wire and 24 decoded; vectors grow by doubling.
fn memory(bytes: &[u8]) -> usize {
    match bytes.first().map(|first| first >> 4) {
        Some(8..=11) => 256 + 16 * bytes.len(),
        _ => 0,
    }
}

/// Every shorter piece is incomplete, or refused in the same words; never accepted.
fn check_cuts(bytes: &[u8], limits: &DecodeLimits, whole: &Result<Decoded<'_>, DecodeError>) {
    let end = match whole {
        Ok(Decoded::Packet { consumed, .. }) => *consumed,
        _ => bytes.len(),
    };
    // All cuts of a short packet, and of a long one those in its first bytes and some more.
    let step = 1 + end / 64;
    let mut refused = false;
    for cut in (0..end).filter(|cut| *cut < 8 || cut % step == 0) {
        match decode(&bytes[..cut], limits) {
            Ok(Decoded::Incomplete(missing)) => {
                assert!(!refused, "refused earlier, incomplete at {cut}");
                if let (Some(missing), Ok(Decoded::Packet { .. })) = (missing, whole) {
                    assert_eq!(cut + missing, end);
                }
            }
            Err(early) => {
                assert_eq!(Err(early), *whole, "cut at {cut}");
                refused = true;
            }
            Ok(Decoded::Packet { .. }) => panic!("accepted when cut at {cut} of {end}"),
        }
    }
}

fn check_encoding(packet: &Packet<'_>, consumed: usize, limits: &DecodeLimits) {
    let version = match packet {
        Packet::Connect(connect) => connect.version,
        _ => limits.version.unwrap_or(Version::V5),
    };
    let mut encoded = Vec::new();
    packet.encode(version, &mut encoded).expect("what was decoded can be encoded");
    assert_eq!(packet.encoded_len(version), Ok(encoded.len()));
    assert!(encoded.len() <= consumed, "encoded longer than it came");
    match decode(&encoded, limits) {
        Ok(Decoded::Packet { packet: again, consumed }) => {
            assert_eq!(again, *packet);
            assert_eq!(consumed, encoded.len());
        }
        other => panic!("encoded and refused: {other:?}"),
    }
    let max = encoded.len() - encoded.len() / 3;
    let mut fitted = Vec::new();
    match packet.encode_within(version, max, &mut fitted) {
        Ok(()) => {
            assert!(fitted.len() <= max);
            assert!(matches!(decode(&fitted, limits), Ok(Decoded::Packet { .. })));
        }
        Err(EncodeError::OverPeerLimit { len, .. }) => assert!(len > max && fitted.is_empty()),
        Err(other) => panic!("{other}"),
    }
}
