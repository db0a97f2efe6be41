//! What the engine writes is what the server's strict codec reads.

use penstock_fleet::packet::{self, Connect, Incoming, Publish, Version};
use wire::mqtt::{DecodeLimits, Decoded, Packet, Sender, decode};

fn read<'a>(bytes: &'a [u8], version: Option<Version>) -> Packet<'a> {
    let version = version.map(|version| match version {
        Version::V311 => wire::mqtt::Version::V3,
        Version::V5 => wire::mqtt::Version::V5,
    });
    let limits = DecodeLimits { version, max_packet_bytes: 1 << 20, sender: Sender::Client };
    match decode(bytes, &limits) {
        Ok(Decoded::Packet { packet, consumed }) => {
            assert_eq!(consumed, bytes.len());
            packet
        }
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

#[test]
fn the_servers_codec_reads_what_we_write() {
    for version in [Version::V311, Version::V5] {
        let mut out = Vec::new();
        packet::connect(
            &mut out,
            &Connect {
                version,
                client_id: "c-1",
                clean_start: false,
                session_expiry_s: 3600,
                keep_alive_s: 30,
                username: Some("u"),
                password: Some("p"),
            },
        );
        let Packet::Connect(connect) = read(&out, None) else { panic!("not a CONNECT") };
        assert_eq!((connect.client_id, connect.clean_start, connect.keep_alive_s), ("c-1", false, 30));
        assert_eq!((connect.username, connect.password), (Some("u"), Some(b"p".as_slice())));

        for qos in 0..=2 {
            for size in [0, 1, 127, 128, 20_000] {
                out.clear();
                let says =
                    Publish { topic: "a/b", qos, retain: size == 1, packet_id: if qos > 0 { 7 } else { 0 } };
                let payload = vec![9; size];
                packet::publish(&mut out, version, &says, &payload);
                let Packet::Publish(publish) = read(&out, Some(version)) else { panic!("not a PUBLISH") };
                assert_eq!((publish.topic, publish.packet_id), ("a/b", says.packet_id));
                assert_eq!((publish.qos as u8, publish.retain), (qos, size == 1));
                assert_eq!(publish.payload, payload);
            }
        }

        out.clear();
        packet::subscribe(&mut out, version, 3, "a/#", 2);
        let Packet::Subscribe(subscribe) = read(&out, Some(version)) else { panic!("not a SUBSCRIBE") };
        assert_eq!((subscribe.packet_id, subscribe.filters[0].filter), (3, "a/#"));

        for kind in 4..=7 {
            out.clear();
            packet::ack(&mut out, kind, 258);
            let Packet::Ack(ack) = read(&out, Some(version)) else { panic!("not an acknowledgement") };
            assert_eq!(ack.packet_id, 258);
        }
        for write in [packet::ping, packet::disconnect] {
            out.clear();
            write(&mut out);
            read(&out, Some(version));
        }
    }
}

#[test]
fn packets_cut_anywhere_are_waited_for_and_rubbish_is_refused() {
    // CONNACK with receive maximum 20 and server keep-alive 60; PUBACK with a reason; SUBACK; PUBLISH at QoS 1.
    let whole: &[&[u8]] = &[
        &[0x20, 9, 1, 0, 6, 0x21, 0, 20, 0x13, 0, 60],
        &[0x40, 4, 0, 5, 0x97, 0],
        &[0x90, 4, 0, 1, 0, 2],
        &[0x32, 7, 0, 1, b't', 0, 9, 0, b'x'],
    ];
    for packet in whole {
        for cut in 0..packet.len() {
            assert_eq!(packet::incoming(&packet[..cut], Version::V5), Ok(None), "{packet:02x?} cut at {cut}");
        }
        let (_, len) = packet::incoming(packet, Version::V5).unwrap().unwrap();
        assert_eq!(len, packet.len());
    }
    let (first, _) = packet::incoming(whole[0], Version::V5).unwrap().unwrap();
    let expected = Incoming::ConnAck {
        session_present: true,
        code: 0,
        receive_maximum: 20,
        maximum_packet_bytes: None,
        server_keep_alive_s: Some(60),
    };
    assert_eq!(first, expected);
    for bad in [&[0x10, 0][..], &[0x20, 1, 0], &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF], &[0x20, 3, 0, 0, 5]] {
        assert!(packet::incoming(bad, Version::V5).is_err(), "{bad:02x?}");
    }
}
