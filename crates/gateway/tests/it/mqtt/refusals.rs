//! What is not allowed, and how the client hears of it.

use std::time::Duration;

use record::Qos;
use wire::mqtt::{Packet, Property, Version};

use super::client::{Client, Hello};
use super::rig::Rig;

#[test]
fn a_first_packet_that_is_no_good_connect_is_refused() {
    let rig = Rig::new();
    for (what, bytes, want) in [
        ("MQTT-3.1.0-1: a ping first", &b"\xc0\x00"[..], &["closed"][..]),
        ("MQTT-3.1.2-1: another protocol", b"\x10\x0c\x00\x04HTTP\x05\x02\x00\x00\x00\x00", &["closed"]),
        (
            "MQTT-3.1.3-8 of 3.1.1",
            b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00",
            &["CONNACK 85 present=false", "closed"],
        ),
    ] {
        let mut client = Client::raw(rig.address(), Version::V3);
        client.send_bytes(bytes);
        for line in want {
            assert_eq!(client.hear(), *line, "{what}");
        }
    }
    let mut client = Client::greet(rig.address(), &Hello::v5("c").with(Property::AuthMethod("PLAIN")));
    client.expect(&["CONNACK 8c present=false", "closed"]);
}

#[test]
fn an_illegal_packet_ends_the_connection_with_its_code() {
    let rig = Rig::with(|config| config.limits.packet_bytes = 1024);
    for (what, bytes, want) in [
        ("MQTT-2.2.1-3: packet id 0", &b"\x32\x07\x00\x01a\x00\x00\x00x"[..], "DISCONNECT 82"),
        ("MQTT-3.3.1-4: QoS 3", b"\x36\x07\x00\x01a\x00\x01\x00x", "DISCONNECT 81"),
        ("MQTT-3.3.2-2: a wildcard in a topic", b"\x30\x05\x00\x01#\x00x", "DISCONNECT 90"),
        ("MQTT-3.8.1-1: flags of SUBSCRIBE", b"\x80\x07\x00\x01\x00\x00\x01a\x00", "DISCONNECT 81"),
        ("MQTT-4.7.1-1: a/#/b", b"\x82\x0b\x00\x01\x00\x00\x05a/#/b\x00", "DISCONNECT 8f"),
        ("MQTT-3.1.2-24: longer than we said we take", b"\x30\xff\x7f", "DISCONNECT 95"),
        (
            "MQTT-3.1.0-2: a second CONNECT",
            b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00",
            "DISCONNECT 82",
        ),
        ("MQTT-3.3.2-9: an alias above the maximum", b"\x30\x08\x00\x01a\x03\x23\x01\x00x", "DISCONNECT 94"),
    ] {
        let mut client = Client::connect(rig.address(), &Hello::v5("c"));
        client.send_bytes(bytes);
        assert_eq!(client.hear(), want, "{what}");
        assert_eq!(client.hear(), "closed", "{what}");
    }
}

#[test]
fn more_publishes_than_the_receive_maximum_are_a_protocol_error() {
    let rig = Rig::with(|config| config.limits.receive_maximum = 2);
    let mut client = Client::connect(rig.address(), &Hello::v5("c"));
    rig.log.hold();
    for id in 1..=3 {
        client.publish("a", "x", Qos::AtLeastOnce, id);
    }
    client.expect(&["DISCONNECT 93", "closed"]);
}

#[test]
fn a_3_1_1_client_is_read_no_further_than_its_window() {
    let rig = Rig::with(|config| config.limits.receive_maximum = 2);
    let mut client = Client::connect(rig.address(), &Hello::v3("c"));
    rig.log.hold();
    for id in 1..=5 {
        client.publish("a", "x", Qos::AtLeastOnce, id);
    }
    client.send(&Packet::PingReq);
    // The first two are on their way; the rest is not taken in before they are settled.
    while rig.totals().publishes_received < 2 {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(rig.totals().publishes_received, 2);
    rig.log.release();
    let mut heard: Vec<String> = (0..6).map(|_| client.hear()).collect();
    heard.retain(|line| line != "PINGRESP");
    assert_eq!(heard, ["PUBACK 1 00", "PUBACK 2 00", "PUBACK 3 00", "PUBACK 4 00", "PUBACK 5 00"]);
}

#[test]
fn too_many_connections_are_told_to_come_back() {
    let rig = Rig::with(|config| config.limits.connections = 1);
    let _first = Client::connect(rig.address(), &Hello::v5("a"));
    let mut second = Client::greet(rig.address(), &Hello::v5("b"));
    second.expect(&["CONNACK 89 present=false \"come back a little later\"", "closed"]);
    let mut third = Client::greet(rig.address(), &Hello::v3("c"));
    third.expect(&["CONNACK 88 present=false", "closed"]);
}

#[test]
fn a_message_larger_than_the_client_takes_is_not_sent() {
    let rig = Rig::new();
    let mut small = Client::connect(rig.address(), &Hello::v5("s").with(Property::MaximumPacketSize(100)));
    small.subscribe("a", Qos::AtLeastOnce);
    let mut publisher = Client::connect(rig.address(), &Hello::v5("p"));
    publisher.published("a", &"x".repeat(200));
    publisher.published("a", "fits");
    small.expect(&["a fits q1 id1 dup=0 retain=0"]);
    assert_eq!(rig.totals().dropped_too_large, 1, "MQTT-3.1.2-25");
}

#[test]
fn a_silent_client_is_disconnected() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.address(), &Hello { keep_alive_s: 1, ..Hello::v5("c") });
    client.expect(&["DISCONNECT 8d", "closed"]);
}
