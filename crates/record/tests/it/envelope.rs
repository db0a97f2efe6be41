//! Envelopes that were written once and must be readable for ever. The fixtures come from an encoder of their own,
//! written from `docs/formats/envelope.md`; they are never edited.

use record::{Encoding, Envelope, Kind, Origin, Protocol, Qos, Timestamp};

fn check(fixture: &[u8], envelope: Envelope<'_>) {
    assert_eq!(Envelope::decode(fixture), Ok(envelope));
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    assert_eq!(bytes, fixture);
}

#[test]
fn version_1_is_read_and_written_as_ever() {
    let full = Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Mqtt5,
        encoding: Encoding::Json,
        qos: Qos::ExactlyOnce,
        retain: true,
        refused: Some("byte 0: not JSON"),
        arrived_at: Timestamp::from_nanos(1_700_000_000_123_456_789),
        tenant: "acme",
        device: "pump-7",
        topic: "devices/pump-7/telemetry",
        origin: Some(Origin { client_id: "client-1", packet_id: 40_000 }),
        properties: &[1, 1, 0x26, 0, 1, b'k', 0, 1, b'v'],
        payload: b"{\"t\":21.5}",
    };
    check(include_bytes!("../fixtures/envelope-v1-full.bin"), full);
    let plain = Envelope {
        kind: Kind::Message,
        protocol: Protocol::Mqtt3,
        encoding: Encoding::Opaque,
        qos: Qos::AtMostOnce,
        retain: false,
        refused: None,
        arrived_at: Timestamp::from_nanos(-1),
        tenant: "default",
        device: "",
        topic: "a/b",
        origin: None,
        properties: &[],
        payload: b"\x00\xff",
    };
    check(include_bytes!("../fixtures/envelope-v1-plain.bin"), plain);
    let topic = "t".repeat(300);
    let long = Envelope {
        kind: Kind::Telemetry,
        protocol: Protocol::Influx,
        encoding: Encoding::Influx,
        qos: Qos::AtLeastOnce,
        arrived_at: Timestamp::from_nanos(0),
        device: "d",
        topic: &topic,
        payload: b"m f=1 1\n",
        ..plain
    };
    check(include_bytes!("../fixtures/envelope-v1-long.bin"), long);
}
