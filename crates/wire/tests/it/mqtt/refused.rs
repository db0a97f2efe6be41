//! Packets that the standard forbids, each with what the decoder says of it: reason code in words, what is wrong, at
//! which byte, and the statement it breaks.

use wire::mqtt::{Decoded, Packet, PropertiesBuf, Sender, Version, decode};

use super::{bytes, decode_one, limits};

/// Who sent the packet in what, the packet, the refusal. `c`lient or `s`erver; `3`.1.1, `5`.0, or before any `-`.
type Row = (&'static str, &'static str, &'static str);

fn check(rows: &[Row]) {
    let mut wrong = String::new();
    for (who, wire, refusal) in rows {
        let version = match &who[1..] {
            "3" => Some(Version::V3),
            "5" => Some(Version::V5),
            _ => None,
        };
        let limits = limits(version, if who.starts_with('c') { Sender::Client } else { Sender::Server });
        let wire = bytes(wire);
        match decode(&wire, &limits) {
            Err(e) => {
                if e.to_string() != *refusal {
                    wrong += &format!("{who} {wire:02x?}\n  said     {e}\n  expected {refusal}\n");
                }
                for cut in 0..wire.len() {
                    match decode(&wire[..cut], &limits) {
                        Ok(Decoded::Incomplete(_)) => {}
                        Err(early) if early == e => {}
                        other => wrong += &format!("{who} {wire:02x?} cut at {cut}: {other:?}\n"),
                    }
                }
            }
            accepted => {
                wrong += &format!("{who} {wire:02x?}\n  said     {accepted:?}\n  expected {refusal}\n")
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn fixed_headers() {
    check(&[
        ("c3", "00 00", "malformed packet: packet type is reserved at byte 0"),
        ("c5", "0f 00", "malformed packet: packet type is reserved at byte 0"),
        ("c3", "f0 00", "malformed packet: packet type does not exist in MQTT 3.1.1 at byte 0"),
        ("s3", "f0 00", "malformed packet: packet type does not exist in MQTT 3.1.1 at byte 0"),
        // The flags of each type, table 2-2.
        (
            "c-",
            "11",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        (
            "s3",
            "21",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.2.2-2]",
        ),
        (
            "s5",
            "28",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        (
            "c3",
            "42 02 0001",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.2.2-2]",
        ),
        (
            "c5",
            "41 02 0001",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        (
            "c5",
            "52 02 0001",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        ("c3", "60 02 0001", "malformed packet: flags of PUBREL are not 0010 at byte 0 [MQTT-3.6.1-1]"),
        ("c5", "63 02 0001", "malformed packet: flags of PUBREL are not 0010 at byte 0 [MQTT-3.6.1-1]"),
        (
            "c5",
            "72 02 0001",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        (
            "c3",
            "80 06 0001 0001 'a' 00",
            "malformed packet: flags of SUBSCRIBE are not 0010 at byte 0 [MQTT-3.8.1-1]",
        ),
        (
            "c5",
            "8a 07 0001 00 0001 'a' 00",
            "malformed packet: flags of SUBSCRIBE are not 0010 at byte 0 [MQTT-3.8.1-1]",
        ),
        (
            "s5",
            "92",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        (
            "c3",
            "a0 05 0001 0001 'a'",
            "malformed packet: flags of UNSUBSCRIBE are not 0010 at byte 0 [MQTT-3.10.1-1]",
        ),
        (
            "c5",
            "a3 06 0001 00 0001 'a'",
            "malformed packet: flags of UNSUBSCRIBE are not 0010 at byte 0 [MQTT-3.10.1-1]",
        ),
        (
            "s3",
            "b2",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.2.2-2]",
        ),
        (
            "c3",
            "c1 00",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.2.2-2]",
        ),
        (
            "s5",
            "d8 00",
            "malformed packet: flags of the fixed header are not those of the packet type at byte 0 [MQTT-2.1.3-1]",
        ),
        ("c3", "e1 00", "malformed packet: flags of DISCONNECT are not 0000 at byte 0 [MQTT-3.14.1-1]"),
        ("c5", "e2 00", "malformed packet: flags of DISCONNECT are not 0000 at byte 0 [MQTT-3.14.1-1]"),
        ("c5", "f1 00", "malformed packet: flags of AUTH are not 0000 at byte 0 [MQTT-3.15.1-1]"),
        ("c3", "36 07 0003 'a/b' 0001", "malformed packet: QoS is 3 at byte 0 [MQTT-3.3.1-4]"),
        ("s5", "3f", "malformed packet: QoS is 3 at byte 0 [MQTT-3.3.1-4]"),
        (
            "c3",
            "38 05 0003 'a/b'",
            "malformed packet: DUP is set on a message of QoS 0 at byte 0 [MQTT-3.3.1-2]",
        ),
        (
            "c5",
            "39 06 0003 'a/b' 00",
            "malformed packet: DUP is set on a message of QoS 0 at byte 0 [MQTT-3.3.1-2]",
        ),
        // Lengths.
        ("c3", "c0 8000", "malformed packet: length is not in its shortest form at byte 1"),
        ("c5", "c0 8000", "malformed packet: length is not in its shortest form at byte 1 [MQTT-1.5.5-1]"),
        ("c5", "30 808000", "malformed packet: length is not in its shortest form at byte 1 [MQTT-1.5.5-1]"),
        (
            "c5",
            "30 ffffff00",
            "malformed packet: length is not in its shortest form at byte 1 [MQTT-1.5.5-1]",
        ),
        ("c3", "30 ffffffff", "malformed packet: length takes more than four bytes at byte 1"),
        ("c5", "30 8080808001", "malformed packet: length takes more than four bytes at byte 1"),
        // 1 MiB, header included; told before a byte of the body is there.
        ("c3", "30 fdff3f", "packet too large: packet of 1048577 bytes is longer than the limit of 1048576"),
        (
            "c5",
            "30 ffffff7f",
            "packet too large: packet of 268435460 bytes is longer than the limit of 1048576 [MQTT-3.2.2-15]",
        ),
        (
            "c-",
            "10 808040",
            "packet too large: packet of 1048580 bytes is longer than the limit of 1048576 [MQTT-3.2.2-15]",
        ),
    ]);
    let longest = limits(Version::V3, Sender::Client);
    assert_eq!(decode(&bytes("30 fcff3f"), &longest), Ok(Decoded::Incomplete(Some((1 << 20) - 4))));
}

#[test]
fn turns() {
    check(&[
        ("c-", "c0 00", "protocol error: first packet is not a CONNECT at byte 0 [MQTT-3.1.0-1]"),
        ("c-", "30", "protocol error: first packet is not a CONNECT at byte 0 [MQTT-3.1.0-1]"),
        ("c-", "f0", "protocol error: first packet is not a CONNECT at byte 0 [MQTT-3.1.0-1]"),
        ("c3", "10", "protocol error: second CONNECT on a connection at byte 0 [MQTT-3.1.0-2]"),
        ("c5", "10", "protocol error: second CONNECT on a connection at byte 0 [MQTT-3.1.0-2]"),
        ("s5", "10", "protocol error: packet type is not one this side sends at byte 0"),
        ("c3", "20", "protocol error: packet type is not one this side sends at byte 0"),
        ("s3", "82", "protocol error: packet type is not one this side sends at byte 0"),
        ("c3", "90", "protocol error: packet type is not one this side sends at byte 0"),
        ("s5", "a2", "protocol error: packet type is not one this side sends at byte 0"),
        ("c5", "b0", "protocol error: packet type is not one this side sends at byte 0"),
        ("s3", "c0", "protocol error: packet type is not one this side sends at byte 0"),
        ("c5", "d0", "protocol error: packet type is not one this side sends at byte 0"),
        ("s3", "e0", "protocol error: packet type is not one this side sends at byte 0"),
    ]);
}

#[test]
fn connect_headers() {
    check(&[
        (
            "c-",
            "10 .. 0004 'MQTX' 04 02 0000 0001 'c'",
            "unsupported protocol version: protocol name is not \"MQTT\" at byte 2 [MQTT-3.1.2-1]",
        ),
        (
            "c-",
            "10 .. 0004 'mqtt' 04 02 0000 0001 'c'",
            "unsupported protocol version: protocol name is not \"MQTT\" at byte 2 [MQTT-3.1.2-1]",
        ),
        (
            "c-",
            "10 .. 0000 04 02 0000 0001 'c'",
            "unsupported protocol version: protocol name is not \"MQTT\" at byte 2 [MQTT-3.1.2-1]",
        ),
        (
            "c-",
            "10 .. 0006 'MQIsdp' 03 02 0000 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 10 [MQTT-3.1.2-2]",
        ),
        (
            "c-",
            "10 .. 0006 'MQIsdp' 04 02 0000 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 10 [MQTT-3.1.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 03 02 0000 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 8 [MQTT-3.1.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 00 02 0000 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 8 [MQTT-3.1.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 06 02 0000 00 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 8 [MQTT-3.1.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 84 02 0000 0001 'c'",
            "unsupported protocol version: protocol level is neither 4 nor 5 at byte 8 [MQTT-3.1.2-2]",
        ),
        ("c-", "10 00", "malformed packet: packet ends inside a field at byte 2"),
        ("c-", "10 .. 0004 'MQT'", "malformed packet: packet ends inside a field at byte 2"),
        ("c-", "10 .. 0004 'MQTT'", "malformed packet: packet ends inside a field at byte 8"),
        ("c-", "10 .. 0004 'MQTT' 04", "malformed packet: packet ends inside a field at byte 9"),
        ("c-", "10 .. 0004 'MQTT' 04 02 00", "malformed packet: packet ends inside a field at byte 10"),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 03 0000 0001 'c'",
            "malformed packet: reserved connect flag is set at byte 9 [MQTT-3.1.2-3]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 01 0000 00 0001 'c'",
            "malformed packet: reserved connect flag is set at byte 9 [MQTT-3.1.2-3]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 0a 0000 0001 'c'",
            "malformed packet: will QoS without a will at byte 9 [MQTT-3.1.2-13]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 12 0000 00 0001 'c'",
            "malformed packet: will QoS without a will at byte 9 [MQTT-3.1.2-11]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 22 0000 0001 'c'",
            "malformed packet: will retain without a will at byte 9 [MQTT-3.1.2-15]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 22 0000 00 0001 'c'",
            "malformed packet: will retain without a will at byte 9 [MQTT-3.1.2-13]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 1e 0000 0001 'c' 0001 't' 0000",
            "malformed packet: will QoS is 3 at byte 9 [MQTT-3.1.2-14]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 1e 0000 00 0001 'c' 00 0001 't' 0000",
            "malformed packet: will QoS is 3 at byte 9 [MQTT-3.1.2-12]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 42 0000 0001 'c' 0001 'p'",
            "malformed packet: password without a user name at byte 9 [MQTT-3.1.2-22]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 00 0000 0000",
            "client identifier not valid: empty client identifier without clean session at byte 12 [MQTT-3.1.3-8]",
        ),
    ]);
}

#[test]
fn connect_payloads() {
    check(&[
        ("c-", "10 .. 0004 'MQTT' 04 02 0000", "malformed packet: packet ends inside a field at byte 12"),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 02 0000 0002 'c'",
            "malformed packet: packet ends inside a field at byte 12",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 02 0000 0001 'c' 00",
            "malformed packet: bytes follow the last field at byte 15",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 02 0000 0001 'c' 0001 'u'",
            "malformed packet: bytes follow the last field at byte 15",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 00 0001 'c' 00",
            "malformed packet: bytes follow the last field at byte 16",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 02 0000 0001 ff",
            "malformed packet: string is not well-formed UTF-8 at byte 14 [MQTT-1.5.3-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 00 0002 'a' 80",
            "malformed packet: string is not well-formed UTF-8 at byte 16 [MQTT-1.5.4-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 02 0000 0002 'a' 00",
            "malformed packet: string contains U+0000 at byte 15 [MQTT-1.5.3-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 00 0001 00",
            "malformed packet: string contains U+0000 at byte 15 [MQTT-1.5.4-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 06 0000 0001 'c'",
            "malformed packet: packet ends inside a field at byte 15",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 06 0000 0001 'c' 0001 't'",
            "malformed packet: packet ends inside a field at byte 18",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 06 0000 0001 'c' 0000 0000",
            "topic name invalid: topic is empty at byte 17 [MQTT-4.7.3-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 06 0000 0001 'c' 0003 't/#' 0000",
            "topic name invalid: topic contains a wildcard at byte 19 [MQTT-3.3.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 00 0001 '+' 0000",
            "topic name invalid: topic contains a wildcard at byte 19 [MQTT-3.3.2-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 00 0001 00 0000",
            "malformed packet: topic contains U+0000 at byte 19 [MQTT-4.7.3-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 00 0003 eda080 0000",
            "malformed packet: string is not well-formed UTF-8 at byte 19 [MQTT-1.5.4-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 82 0000 0001 'c'",
            "malformed packet: packet ends inside a field at byte 15",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 82 0000 0001 'c' 0001 00",
            "malformed packet: string contains U+0000 at byte 17 [MQTT-1.5.3-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 c2 0000 0001 'c' 0001 'u'",
            "malformed packet: packet ends inside a field at byte 18",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 04 c2 0000 0001 'c' 0001 'u' 0003 'pw'",
            "malformed packet: packet ends inside a field at byte 18",
        ),
    ]);
}

#[test]
fn publishes() {
    check(&[
        ("c3", "30 00", "malformed packet: packet ends inside a field at byte 2"),
        ("c3", "30 .. 0003 'a/'", "malformed packet: packet ends inside a field at byte 2"),
        ("c3", "30 .. 0000 'x'", "topic name invalid: topic is empty at byte 4 [MQTT-4.7.3-1]"),
        ("c5", "30 .. 0000 00 'x'", "protocol error: topic is empty and there is no topic alias at byte 2"),
        ("c3", "30 .. 0003 'a/#'", "topic name invalid: topic contains a wildcard at byte 6 [MQTT-3.3.2-2]"),
        (
            "c5",
            "30 .. 0003 '+/a' 00",
            "topic name invalid: topic contains a wildcard at byte 4 [MQTT-3.3.2-2]",
        ),
        (
            "s5",
            "30 .. 0003 'a+b' 00",
            "topic name invalid: topic contains a wildcard at byte 5 [MQTT-3.3.2-2]",
        ),
        ("c3", "30 .. 0002 'a' 00", "malformed packet: topic contains U+0000 at byte 5 [MQTT-4.7.3-2]"),
        ("c5", "30 .. 0002 'a' 00 00", "malformed packet: topic contains U+0000 at byte 5 [MQTT-4.7.3-2]"),
        (
            "c3",
            "30 .. 0002 c080",
            "malformed packet: string is not well-formed UTF-8 at byte 4 [MQTT-1.5.3-1]",
        ),
        (
            "c3",
            "30 .. 0003 eda080",
            "malformed packet: string is not well-formed UTF-8 at byte 4 [MQTT-1.5.3-1]",
        ),
        (
            "c5",
            "30 .. 0005 'a' f8888080 00",
            "malformed packet: string is not well-formed UTF-8 at byte 5 [MQTT-1.5.4-1]",
        ),
        (
            "c5",
            "30 .. 0004 f4908080 00",
            "malformed packet: string is not well-formed UTF-8 at byte 4 [MQTT-1.5.4-1]",
        ),
        ("c3", "30 .. 1001 'a'*4097", "topic name invalid: topic is longer than the limit at byte 4101"),
        ("c3", "30 .. 0080 '/'*128", "topic name invalid: topic has more levels than the limit at byte 132"),
        ("c3", "32 .. 0001 'a' 0000", "protocol error: packet identifier is 0 at byte 5 [MQTT-2.3.1-1]"),
        ("c5", "34 .. 0001 'a' 0000 00", "protocol error: packet identifier is 0 at byte 5 [MQTT-2.2.1-3]"),
        ("c3", "32 .. 0001 'a' 01", "malformed packet: packet ends inside a field at byte 5"),
        ("c5", "32 .. 0001 'a' 0001", "malformed packet: packet ends inside a field at byte 7"),
        ("c5", "30 .. 0001 'a'", "malformed packet: packet ends inside a field at byte 5"),
        ("c5", "30 .. 0001 'a' 03 01 01", "malformed packet: packet ends inside a field at byte 5"),
        (
            "c5",
            "30 .. 0001 'a' 8000",
            "malformed packet: length is not in its shortest form at byte 5 [MQTT-1.5.5-1]",
        ),
        ("c5", "30 .. 0001 'a' 03 23 0000", "topic alias invalid: topic alias is 0 at byte 7 [MQTT-3.3.2-8]"),
        (
            "c5",
            "30 .. 0001 'a' 02 0b 01",
            "protocol error: PUBLISH of a client carries a subscription identifier at byte 6 [MQTT-3.3.4-6]",
        ),
        ("s5", "30 .. 0001 'a' 02 0b 00", "protocol error: subscription identifier is 0 at byte 7"),
        (
            "s5",
            "30 .. 0001 'a' 03 0b 8000",
            "malformed packet: length is not in its shortest form at byte 7 [MQTT-1.5.5-1]",
        ),
        ("c5", "30 .. 0001 'a' 02 01 02", "protocol error: property is neither 0 nor 1 at byte 7"),
        ("c5", "30 .. 0001 'a' 04 01 01 01 01", "protocol error: property is given twice at byte 8"),
        ("c5", "30 .. 0001 'a' 06 23 0001 23 0001", "protocol error: property is given twice at byte 9"),
        (
            "c5",
            "30 .. 0001 'a' 06 08 0003 'b/#'",
            "protocol error: response topic contains a wildcard at byte 11 [MQTT-3.3.2-14]",
        ),
        (
            "c5",
            "30 .. 0001 'a' 03 08 0000",
            "protocol error: response topic is empty at byte 9 [MQTT-4.7.3-1]",
        ),
        (
            "c5",
            "30 .. 0001 'a' 04 08 0001 00",
            "malformed packet: topic contains U+0000 at byte 9 [MQTT-4.7.3-2]",
        ),
        (
            "c5",
            "30 .. 0001 'a' 04 03 0001 ff",
            "malformed packet: string is not well-formed UTF-8 at byte 9 [MQTT-1.5.4-1]",
        ),
    ]);
}

#[test]
fn acknowledgements() {
    check(&[
        ("c3", "40 00", "malformed packet: packet ends inside a field at byte 2"),
        ("c5", "40 01 00", "malformed packet: packet ends inside a field at byte 2"),
        ("c3", "40 03 0001 00", "malformed packet: bytes follow the last field at byte 4"),
        (
            "c3",
            "40 02 0000",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.3.1-6]",
        ),
        (
            "c5",
            "50 02 0000",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.2.1-5]",
        ),
        (
            "c5",
            "62 02 0000",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.2.1-5]",
        ),
        (
            "s5",
            "70 02 0000",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.2.1-5]",
        ),
        ("c5", "40 03 0001 01", "protocol error: not a PUBACK reason code at byte 4 [MQTT-3.4.2-1]"),
        ("c5", "40 03 0001 10", "protocol error: not a PUBACK reason code at byte 4 [MQTT-3.4.2-1]"),
        ("s5", "40 03 0001 92", "protocol error: not a PUBACK reason code at byte 4 [MQTT-3.4.2-1]"),
        ("c5", "50 03 0001 ff", "protocol error: not a PUBREC reason code at byte 4 [MQTT-3.5.2-1]"),
        ("c5", "62 03 0001 80", "protocol error: not a PUBREL reason code at byte 4 [MQTT-3.6.2-1]"),
        ("c5", "70 03 0001 10", "protocol error: not a PUBCOMP reason code at byte 4 [MQTT-3.7.2-1]"),
        ("c5", "40 05 0001 00 00 00", "malformed packet: bytes follow the last field at byte 6"),
        ("c5", "40 04 0001 00 01", "malformed packet: packet ends inside a field at byte 5"),
        (
            "c5",
            "40 06 0001 00 02 01 01",
            "malformed packet: property is not allowed in this packet at byte 6",
        ),
        (
            "c5",
            "40 .. 0001 00 08 1f 0001 'a' 1f 0001 'b'",
            "protocol error: property is given twice at byte 10",
        ),
    ]);
}

#[test]
fn subscriptions() {
    check(&[
        ("c3", "82 .. 0001", "protocol error: SUBSCRIBE without a topic filter at byte 4 [MQTT-3.8.3-3]"),
        ("c5", "82 .. 0001 00", "protocol error: SUBSCRIBE without a topic filter at byte 5 [MQTT-3.8.3-2]"),
        ("c3", "82 .. 0000 0001 'a' 00", "protocol error: packet identifier is 0 at byte 2 [MQTT-2.3.1-1]"),
        (
            "c5",
            "82 .. 0000 00 0001 'a' 00",
            "protocol error: packet identifier is 0 at byte 2 [MQTT-2.2.1-3]",
        ),
        ("c3", "82 .. 0001 0001 'a'", "malformed packet: packet ends inside a field at byte 7"),
        (
            "c3",
            "82 .. 0001 0001 'a' 03",
            "protocol error: subscription asks for QoS 3 at byte 7 [MQTT-3.8.3-4]",
        ),
        ("c5", "82 .. 0001 00 0001 'a' 03", "protocol error: subscription asks for QoS 3 at byte 8"),
        (
            "c3",
            "82 .. 0001 0001 'a' 04",
            "malformed packet: reserved bits of the subscription options are set at byte 7 [MQTT-3.8.3-4]",
        ),
        (
            "c5",
            "82 .. 0001 00 0001 'a' 40",
            "malformed packet: reserved bits of the subscription options are set at byte 8 [MQTT-3.8.3-5]",
        ),
        (
            "c5",
            "82 .. 0001 00 0001 'a' 80",
            "malformed packet: reserved bits of the subscription options are set at byte 8 [MQTT-3.8.3-5]",
        ),
        ("c5", "82 .. 0001 00 0001 'a' 30", "protocol error: retain handling is 3 at byte 8"),
        (
            "c5",
            "82 .. 0001 00 000a '$share/g/a' 04",
            "protocol error: no local on a shared subscription at byte 17 [MQTT-3.8.3-4]",
        ),
        ("c3", "82 .. 0001 0000 00", "topic filter invalid: topic filter is empty at byte 6 [MQTT-4.7.3-1]"),
        (
            "c3",
            "82 .. 0001 0005 'a/#/b' 00",
            "topic filter invalid: '#' is not alone in the last level at byte 8 [MQTT-4.7.1-2]",
        ),
        (
            "c5",
            "82 .. 0001 00 0002 'a#' 00",
            "topic filter invalid: '#' is not alone in the last level at byte 8 [MQTT-4.7.1-1]",
        ),
        (
            "c3",
            "82 .. 0001 0001 'a' 00 0004 'a/b+' 00",
            "topic filter invalid: '+' is not alone in its level at byte 13 [MQTT-4.7.1-3]",
        ),
        (
            "c5",
            "82 .. 0001 00 0002 '+a' 00",
            "topic filter invalid: '+' is not alone in its level at byte 7 [MQTT-4.7.1-2]",
        ),
        (
            "c5",
            "82 .. 0001 00 0001 00 00",
            "malformed packet: topic filter contains U+0000 at byte 7 [MQTT-4.7.3-2]",
        ),
        (
            "c5",
            "82 .. 0001 00 0001 ff 00",
            "malformed packet: string is not well-formed UTF-8 at byte 7 [MQTT-1.5.4-1]",
        ),
        (
            "c5",
            "82 .. 0001 00 0009 '$share//a' 00",
            "topic filter invalid: share name is empty at byte 14 [MQTT-4.8.2-1]",
        ),
        (
            "c5",
            "82 .. 0001 00 0008 '$share/g' 00",
            "topic filter invalid: no topic filter follows the share name at byte 15 [MQTT-4.8.2-2]",
        ),
        (
            "c5",
            "82 .. 0001 00 000a '$share/+/a' 00",
            "topic filter invalid: share name contains a wildcard at byte 14 [MQTT-4.8.2-2]",
        ),
        (
            "c3",
            "82 .. 0001 1001 'a'*4097 00",
            "topic filter invalid: topic filter is longer than the limit at byte 4103",
        ),
        (
            "c3",
            "82 .. 0001 0080 '/'*128 00",
            "topic filter invalid: topic filter has more levels than the limit at byte 134",
        ),
        ("c5", "82 .. 0001 02 0b 00 0001 'a' 00", "protocol error: subscription identifier is 0 at byte 6"),
        ("c5", "82 .. 0001 04 0b 01 0b 02 0001 'a' 00", "protocol error: property is given twice at byte 7"),
        (
            "c5",
            "82 .. 0001 04 1f 0001 'a' 0001 'a' 00",
            "malformed packet: property is not allowed in this packet at byte 5",
        ),
        ("c3", "a2 .. 0001", "protocol error: UNSUBSCRIBE without a topic filter at byte 4 [MQTT-3.10.3-2]"),
        (
            "c5",
            "a2 .. 0001 00",
            "protocol error: UNSUBSCRIBE without a topic filter at byte 5 [MQTT-3.10.3-2]",
        ),
        ("c3", "a2 .. 0000 0001 'a'", "protocol error: packet identifier is 0 at byte 2 [MQTT-2.3.1-1]"),
        ("c3", "a2 .. 0001 0000", "topic filter invalid: topic filter is empty at byte 6 [MQTT-4.7.3-1]"),
        (
            "c5",
            "a2 .. 0001 00 0003 'a/+' 0002 'a+'",
            "topic filter invalid: '+' is not alone in its level at byte 13 [MQTT-4.7.1-2]",
        ),
        ("c3", "a2 .. 0001 0003 'a'", "malformed packet: packet ends inside a field at byte 4"),
        (
            "c5",
            "a2 .. 0001 02 0b 01 0001 'a'",
            "malformed packet: property is not allowed in this packet at byte 5",
        ),
    ]);
}

#[test]
fn answers_of_servers() {
    check(&[
        ("s3", "20 02 02 00", "malformed packet: reserved CONNACK flag is set at byte 2"),
        ("s5", "20 03 80 00 00", "malformed packet: reserved CONNACK flag is set at byte 2 [MQTT-3.2.2-1]"),
        ("s3", "20 02 01 05", "protocol error: session present with a refusal at byte 2 [MQTT-3.2.2-4]"),
        ("s5", "20 03 01 87 00", "protocol error: session present with a refusal at byte 2 [MQTT-3.2.2-6]"),
        ("s3", "20 02 00 06", "protocol error: not a CONNACK reason code at byte 3"),
        ("s5", "20 03 00 01 00", "protocol error: not a CONNACK reason code at byte 3 [MQTT-3.2.2-8]"),
        ("s3", "20 03 00 00 00", "malformed packet: bytes follow the last field at byte 4"),
        ("s5", "20 02 00 00", "malformed packet: packet ends inside a field at byte 4"),
        ("s5", "20 05 00 00 02 24 02", "protocol error: property is neither 0 nor 1 at byte 6"),
        ("s5", "20 06 00 00 03 21 0000", "protocol error: receive maximum is 0 at byte 6"),
        ("s5", "20 08 00 00 05 27 00000000", "protocol error: maximum packet size is 0 at byte 6"),
        ("s5", "20 05 00 00 02 17 01", "malformed packet: property is not allowed in this packet at byte 5"),
        ("s3", "90 .. 0001", "protocol error: SUBACK without a reason code at byte 4 [MQTT-3.8.4-5]"),
        ("s5", "90 .. 0001 00", "protocol error: SUBACK without a reason code at byte 5 [MQTT-3.8.4-6]"),
        (
            "s3",
            "90 .. 0000 00",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.3.1-7]",
        ),
        ("s3", "90 .. 0001 03", "protocol error: not a SUBACK reason code at byte 4 [MQTT-3.9.3-2]"),
        ("s3", "90 .. 0001 87", "protocol error: not a SUBACK reason code at byte 4 [MQTT-3.9.3-2]"),
        ("s5", "90 .. 0001 00 00 92", "protocol error: not a SUBACK reason code at byte 6 [MQTT-3.9.3-2]"),
        (
            "s5",
            "b0 .. 0000 00 00",
            "protocol error: acknowledgement of packet identifier 0 at byte 2 [MQTT-2.2.1-6]",
        ),
        ("s5", "b0 .. 0001 00", "protocol error: UNSUBACK without a reason code at byte 5 [MQTT-3.11.3-1]"),
        ("s5", "b0 .. 0001 00 01", "protocol error: not an UNSUBACK reason code at byte 5 [MQTT-3.11.3-2]"),
        ("s3", "b0 .. 0001 00", "malformed packet: bytes follow the last field at byte 4"),
        ("s5", "d0 01 00", "malformed packet: bytes follow the last field at byte 2"),
    ]);
}

#[test]
fn endings() {
    check(&[
        ("c3", "c0 01 00", "malformed packet: bytes follow the last field at byte 2"),
        ("c3", "e0 01 00", "malformed packet: bytes follow the last field at byte 2"),
        (
            "c5",
            "e0 01 01",
            "protocol error: not a DISCONNECT reason code of this side at byte 2 [MQTT-3.14.2-1]",
        ),
        (
            "c5",
            "e0 01 8e",
            "protocol error: not a DISCONNECT reason code of this side at byte 2 [MQTT-3.14.2-1]",
        ),
        (
            "s5",
            "e0 01 04",
            "protocol error: not a DISCONNECT reason code of this side at byte 2 [MQTT-3.14.2-1]",
        ),
        ("c5", "e0 03 00 00 00", "malformed packet: bytes follow the last field at byte 4"),
        ("c5", "e0 .. 00 0a 11 00000000 11 00000000", "protocol error: property is given twice at byte 9"),
        (
            "s5",
            "e0 .. 00 05 11 00000000",
            "protocol error: DISCONNECT of a server carries a session expiry at byte 4 [MQTT-3.14.2-2]",
        ),
        ("c5", "e0 .. 00 02 01 00", "malformed packet: property is not allowed in this packet at byte 4"),
        ("c5", "f0 00", "protocol error: not an AUTH reason code of this side at byte 2 [MQTT-3.15.2-1]"),
        (
            "c5",
            "f0 .. 00 04 15 0001 'm'",
            "protocol error: not an AUTH reason code of this side at byte 2 [MQTT-3.15.2-1]",
        ),
        (
            "s5",
            "f0 .. 19 04 15 0001 'm'",
            "protocol error: not an AUTH reason code of this side at byte 2 [MQTT-3.15.2-1]",
        ),
        ("c5", "f0 01 18", "malformed packet: packet ends inside a field at byte 3"),
        ("c5", "f0 02 18 00", "protocol error: AUTH without an authentication method at byte 3"),
        ("c5", "f0 .. 18 04 16 0001 00", "protocol error: AUTH without an authentication method at byte 3"),
    ]);
}

#[test]
fn properties_of_connect() {
    check(&[
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 01 00 0001 'c'",
            "malformed packet: property identifier is unknown at byte 13",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 02 2b 00 0001 'c'",
            "malformed packet: property identifier is unknown at byte 13",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 03 9100 00 0001 'c'",
            "malformed packet: length is not in its shortest form at byte 13 [MQTT-1.5.5-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 04 8080 00 00 0001 'c'",
            "malformed packet: length is not in its shortest form at byte 13 [MQTT-1.5.5-1]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 02 01 00 0001 'c'",
            "malformed packet: property is not allowed in this packet at byte 13",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 05 18 00000000 0001 'c'",
            "malformed packet: property is not allowed in this packet at byte 13",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 04 11 000000 0001 'c'",
            "malformed packet: packet ends inside a field at byte 14",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 03 21 0000 0001 'c'",
            "protocol error: receive maximum is 0 at byte 14",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 05 27 00000000 0001 'c'",
            "protocol error: maximum packet size is 0 at byte 14",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 02 17 02 0001 'c'",
            "protocol error: property is neither 0 nor 1 at byte 14",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 02 19 ff 0001 'c'",
            "protocol error: property is neither 0 nor 1 at byte 14",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 06 21 0001 21 0001 0001 'c'",
            "protocol error: property is given twice at byte 16",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 04 16 0001 00 0001 'c'",
            "protocol error: authentication data without a method at byte 12",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 07 26 0001 'k' 0001 00 0001 'c'",
            "malformed packet: string contains U+0000 at byte 19 [MQTT-1.5.4-2]",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 04 26 0001 'k' 0001 'c'",
            "malformed packet: packet ends inside a field at byte 17",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 02 0000 7f 0001 'c'",
            "malformed packet: packet ends inside a field at byte 12",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 05 11 00000000 0001 't' 0000",
            "malformed packet: property is not allowed in this packet at byte 17",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 03 23 0001 0001 't' 0000",
            "malformed packet: property is not allowed in this packet at byte 17",
        ),
        (
            "c-",
            "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c' 0a 18 00000001 18 00000001 0001 't' 0000",
            "protocol error: property is given twice at byte 22",
        ),
    ]);
}

/// Table 2-4, whole: every property in every packet, alone.
#[test]
fn table_of_properties() {
    let all = [
        ("01", "01"),
        ("02", "00000001"),
        ("03", "0001 'x'"),
        ("08", "0001 'x'"),
        ("09", "0001 'x'"),
        ("0b", "01"),
        ("11", "00000001"),
        ("12", "0001 'x'"),
        ("13", "0001"),
        ("15", "0001 'x'"),
        ("16", "0001 'x'"),
        ("17", "01"),
        ("18", "00000001"),
        ("19", "01"),
        ("1a", "0001 'x'"),
        ("1c", "0001 'x'"),
        ("1f", "0001 'x'"),
        ("21", "0001"),
        ("22", "0001"),
        ("23", "0001"),
        ("24", "01"),
        ("25", "01"),
        ("26", "0001 'x' 0001 'y'"),
        ("27", "00000001"),
        ("28", "01"),
        ("29", "01"),
        ("2a", "01"),
    ];
    for (who, before, after, allowed) in [
        ("c-", "10 .. 0004 'MQTT' 05 02 0000", "0001 'c'", "11 15 17 19 21 22 26 27"),
        ("c-", "10 .. 0004 'MQTT' 05 06 0000 00 0001 'c'", "0001 't' 0000", "01 02 03 08 09 18 26"),
        ("s5", "20 .. 00 00", "", "11 12 13 15 16 1a 1c 1f 21 22 24 25 26 27 28 29 2a"),
        ("c5", "30 .. 0001 'a'", "", "01 02 03 08 09 23 26"),
        ("s5", "30 .. 0001 'a'", "", "01 02 03 08 09 0b 23 26"),
        ("c5", "40 .. 0001 00", "", "1f 26"),
        ("c5", "50 .. 0001 00", "", "1f 26"),
        ("c5", "62 .. 0001 00", "", "1f 26"),
        ("c5", "70 .. 0001 00", "", "1f 26"),
        ("c5", "82 .. 0001", "0001 'a' 00", "0b 26"),
        ("s5", "90 .. 0001", "00", "1f 26"),
        ("c5", "a2 .. 0001", "0001 'a'", "26"),
        ("s5", "b0 .. 0001", "00", "1f 26"),
        ("c5", "e0 .. 00", "", "11 1c 1f 26"),
        ("s5", "e0 .. 00", "", "1c 1f 26"),
        ("c5", "f0 .. 18", "", "15"), // 16, 1f and 26 only beside it
    ] {
        for (id, value) in all {
            let len = bytes(id).len() + bytes(value).len();
            let wire = bytes(&format!("{before} {len:02x} {id} {value} {after}"));
            let version = (who != "c-").then_some(Version::V5);
            let sender = if who.starts_with('c') { Sender::Client } else { Sender::Server };
            let decoded = decode_one(&wire, &limits(version, sender));
            let expected = allowed.split(' ').any(|a| a == id);
            assert_eq!(decoded.is_ok(), expected, "{before} with {id}: {decoded:?}");
            if expected {
                let properties = properties_of(decoded.unwrap());
                assert_eq!(properties.as_properties().iter().count(), 1);
            }
        }
    }
}

fn properties_of(packet: Packet<'_>) -> PropertiesBuf {
    match packet {
        Packet::Connect(p) => p.will.map_or(p.properties, |w| w.properties),
        Packet::ConnAck(p) => p.properties,
        Packet::Publish(p) => p.properties,
        Packet::Ack(p) => p.properties,
        Packet::Subscribe(p) => p.properties,
        Packet::SubAck(p) => p.properties,
        Packet::Unsubscribe(p) => p.properties,
        Packet::UnsubAck(p) => p.properties,
        Packet::Disconnect(p) => p.properties,
        Packet::Auth(p) => p.properties,
        Packet::PingReq | Packet::PingResp => unreachable!("pings carry none"),
    }
    .iter()
    .collect()
}

/// Reason codes: each packet takes exactly its table's.
#[test]
fn table_of_reason_codes() {
    for (who, before, after, allowed) in [
        ("s5", "20 .. 00", "00", "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f"),
        ("c5", "40 .. 0001", "", "00 80 83 87 90 91 97 99"),
        ("s5", "40 .. 0001", "", "00 10 80 83 87 90 91 97 99"),
        ("c5", "50 .. 0001", "", "00 80 83 87 90 91 97 99"),
        ("s5", "50 .. 0001", "", "00 10 80 83 87 90 91 97 99"),
        ("c5", "62 .. 0001", "", "00 92"),
        ("s5", "70 .. 0001", "", "00 92"),
        ("s3", "90 .. 0001", "", "00 01 02 80"),
        ("s5", "90 .. 0001 00", "", "00 01 02 80 83 87 8f 91 97 9e a1 a2"),
        ("s5", "b0 .. 0001 00", "", "00 11 80 83 87 8f 91"),
        ("c5", "e0 ..", "", "00 04 80 81 82 83 90 93 94 95 96 97 98 99"),
        (
            "s5",
            "e0 ..",
            "",
            "00 80 81 82 83 87 89 8b 8c 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
        ),
        ("c5", "f0 ..", "04 15 0001 'm'", "18 19"),
        ("s5", "f0 ..", "04 15 0001 'm'", "00 18"),
    ] {
        for code in 0..=255_u8 {
            let code = format!("{code:02x}");
            let wire = bytes(&format!("{before} {code} {after}"));
            let version = if who.ends_with('3') { Version::V3 } else { Version::V5 };
            let sender = if who.starts_with('c') { Sender::Client } else { Sender::Server };
            let decoded = decode_one(&wire, &limits(version, sender));
            let expected = allowed.split(' ').any(|a| a == code);
            assert_eq!(decoded.is_ok(), expected, "{who} {before} {code}: {decoded:?}");
        }
    }
}

/// In which version a refused CONNECT is answered.
#[test]
fn refused_connects_know_how_to_be_answered() {
    for (wire, version) in [
        ("10 .. 0004 'MQTT' 04 03 0000 0001 'c'", Some(Version::V3)),
        ("10 .. 0004 'MQTT' 05 03 0000 00 0001 'c'", Some(Version::V5)),
        ("10 .. 0006 'MQIsdp' 03 02 0000 0001 'c'", Some(Version::V3)),
        ("10 .. 0004 'MQTT' 06 02 0000 0001 'c'", Some(Version::V5)),
        ("10 .. 0004 'HTTP' 04 02 0000 0001 'c'", None),
    ] {
        let refused = decode_one(&bytes(wire), &limits(None, Sender::Client)).unwrap_err();
        assert_eq!(refused.version(), version, "{wire}");
    }
}
