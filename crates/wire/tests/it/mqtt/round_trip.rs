//! Whatever is encoded decodes to the same, however the bytes are cut.

use proptest::prelude::*;
use wire::mqtt::{
    DecodeLimits, Decoded, EncodeError, Packet, Sender, Version, decode, encode_publish, topic,
};

use super::arbitrary::{packet, publish, sent_packet, topic as topic_name};
use super::{decode_one, limits};

fn limits_for(version: Version, sender: Sender, packet: &Packet<'_>) -> DecodeLimits {
    limits((!matches!(packet, Packet::Connect(_))).then_some(version), sender)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decodes_to_what_was_encoded((version, sender, packet) in sent_packet()) {
        let limits = limits_for(version, sender, &packet);
        let mut wire = Vec::new();
        packet.encode(version, &mut wire).unwrap();
        prop_assert_eq!(packet.encoded_len(version), Ok(wire.len()));
        prop_assert_eq!(decode_one(&wire, &limits), Ok(packet));
    }

    #[test]
    fn a_part_is_never_taken_for_the_whole((version, sender, packet) in sent_packet()) {
        let limits = limits_for(version, sender, &packet);
        let mut wire = Vec::new();
        packet.encode(version, &mut wire).unwrap();
        for cut in 0..wire.len() {
            match decode(&wire[..cut], &limits) {
                Ok(Decoded::Incomplete(Some(missing))) => prop_assert_eq!(cut + missing, wire.len()),
                Ok(Decoded::Incomplete(None)) => prop_assert!(cut < 5),
                other => prop_assert!(false, "{} of {} bytes: {:?}", cut, wire.len(), other),
            }
        }
        // And what follows does not matter.
        let len = wire.len();
        wire.extend([0xFF; 7]);
        prop_assert_eq!(decode(&wire, &limits), Ok(Decoded::Packet { packet, consumed: len }));
    }

    #[test]
    fn packets_follow_each_other(
        packets in proptest::collection::vec(packet(Version::V5, Sender::Server), 1..8),
    ) {
        let limits = limits(Version::V5, Sender::Server);
        let mut wire = Vec::new();
        for packet in &packets {
            packet.encode(Version::V5, &mut wire).unwrap();
        }
        let mut rest = &wire[..];
        for packet in packets {
            let Ok(Decoded::Packet { packet: decoded, consumed }) = decode(rest, &limits) else {
                return Err(TestCaseError::fail("a packet is missing"));
            };
            prop_assert_eq!(decoded, packet);
            rest = &rest[consumed..];
        }
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn the_limit_counts_the_whole_packet((version, sender, packet) in sent_packet()) {
        let mut limits = limits_for(version, sender, &packet);
        let mut wire = Vec::new();
        packet.encode(version, &mut wire).unwrap();
        limits.max_packet_bytes = wire.len();
        prop_assert!(decode(&wire, &limits).is_ok());
        limits.max_packet_bytes -= 1;
        // Told from the header, before the body is there.
        let header = &wire[..wire.len().min(5)];
        prop_assert_eq!(
            decode(header, &limits).unwrap_err().reason(),
            wire::mqtt::ReasonCode::PacketTooLarge
        );
    }

    #[test]
    fn what_is_sent_fits_the_peer(
        (version, sender, packet) in sent_packet(),
        max in 0..200_usize,
    ) {
        let limits = limits_for(version, sender, &packet);
        let mut wire = Vec::new();
        match packet.encode_within(version, max, &mut wire) {
            Ok(()) => {
                prop_assert!(wire.len() <= max);
                let sent = decode_one(&wire, &limits).unwrap();
                prop_assert_eq!(std::mem::discriminant(&sent), std::mem::discriminant(&packet));
                if packet.encoded_len(version).unwrap() <= max {
                    prop_assert_eq!(sent, packet);
                } else {
                    prop_assert!(!matches!(packet, Packet::Publish(_) | Packet::Connect(_)));
                }
            }
            Err(EncodeError::OverPeerLimit { len, max: limit }) => {
                prop_assert!(len > limit && limit == max && wire.is_empty());
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn the_fast_way_to_encode_a_publish_is_the_slow_one(
        (version, publish) in (any::<bool>(), publish(Version::V5, Sender::Server))
            .prop_map(|(v3, p)| (if v3 { Version::V3 } else { Version::V5 }, p)),
    ) {
        let (mut fast, mut slow) = (Vec::new(), Vec::new());
        let layout = encode_publish(&publish, version, &mut fast).unwrap();
        let id = publish.packet_id.to_be_bytes();
        Packet::Publish(publish).encode(version, &mut slow).unwrap();
        prop_assert_eq!(layout.len, slow.len());
        if let Some(at) = layout.packet_id_at {
            prop_assert_eq!(&fast[at..at + 2], &id);
        }
        prop_assert_eq!(fast, slow);
    }

    /// What is refused is refused without a panic, and what is still accepted is stable.
    #[test]
    fn damage_is_refused_or_means_something(
        (version, sender, packet) in sent_packet(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let limits = limits_for(version, sender, &packet);
        let mut wire = Vec::new();
        packet.encode(version, &mut wire).unwrap();
        let at = at.index(wire.len());
        wire[at] = byte;
        if let Ok(Decoded::Packet { packet, .. }) = decode(&wire, &limits) {
            let version = if let Packet::Connect(c) = &packet { c.version } else { version };
            let mut again = Vec::new();
            packet.encode(version, &mut again).unwrap();
            prop_assert_eq!(decode_one(&again, &limits), Ok(packet));
        }
    }

    #[test]
    fn a_filter_made_from_a_name_matches_it(
        name in topic_name(),
        pluses in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        prop_assert!(topic::check_name(name).is_ok());
        prop_assert!(topic::matches(name, name));
        let levels: Vec<_> = name.split('/').collect();
        let plused: Vec<_> =
            levels.iter().enumerate().map(|(i, l)| if pluses >> (i % 8) & 1 == 1 { "+" } else { l }).collect();
        let kept = cut.index(levels.len() + 1);
        let mut hashed = plused[..kept].to_vec();
        hashed.push("#");
        let hidden = |filter: &str| name.starts_with('$') && filter.starts_with(['+', '#']);
        for filter in [plused.join("/"), hashed.join("/")] {
            // A name may itself begin with `$share/`; then the filter means something else.
            if !filter.starts_with("$share/") && !filter.is_empty() {
                prop_assert!(topic::parse_filter(&filter).is_ok(), "{}", filter);
            }
            prop_assert_eq!(topic::matches(&filter, name), !hidden(&filter), "{}", filter);
        }
    }
}
