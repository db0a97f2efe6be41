//! The driver finds faults that are planted: a rig that finds nothing proves nothing until it has found something.

use penstock_fuzz::allocation::{Counting, bounded};
use penstock_fuzz::drive::drive;
use penstock_fuzz::{Target, mqtt_decode};
use wire::mqtt::{DecodeLimits, Decoded, Packet, Sender, Version, decode};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn v5(data: &[u8]) -> Option<Packet<'_>> {
    let limits =
        DecodeLimits { version: Some(Version::V5), max_packet_bytes: 1 << 20, sender: Sender::Client };
    match decode(data.get(1..)?, &limits) {
        Ok(Decoded::Packet { packet, .. }) => Some(packet),
        _ => None,
    }
}

/// A combination that no seed has: a retained PUBLISH of QoS 2 with an alias and without a topic.
fn planted_panic(data: &[u8]) -> u64 {
    if let Some(Packet::Publish(p)) = v5(data) {
        let planted = p.retain && p.qos == record::Qos::ExactlyOnce && p.topic.is_empty();
        assert!(!planted, "planted");
    }
    (mqtt_decode::TARGET.run)(data)
}

/// Trusts the length in the fixed header.
fn planted_allocation(data: &[u8]) -> u64 {
    if let [_, _, a, b, c, ..] = *data {
        let claimed = usize::from(a & 0x7F) | usize::from(b & 0x7F) << 7 | usize::from(c & 0x7F) << 14;
        bounded(1 << 20, || drop(std::hint::black_box(Vec::<u8>::with_capacity(claimed))));
    }
    (mqtt_decode::TARGET.run)(data)
}

fn control(name: &'static str, run: fn(&[u8]) -> u64) -> Target {
    Target { name, run, ..mqtt_decode::TARGET }
}

#[test]
fn planted_faults_are_found() {
    for control in [control("panic", planted_panic), control("allocation", planted_allocation)] {
        let found = drive(&control, 1_000_000, 1).expect_err(control.name);
        // And found again from the input alone.
        let again = std::panic::catch_unwind(|| (control.run)(&found.input));
        assert!(again.is_err(), "{}", control.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_inputs() {
    let runs = [(); 2].map(|()| drive(&control("panic", planted_panic), 1_000_000, 7).expect_err("planted"));
    assert_eq!(runs[0].number, runs[1].number);
    assert_eq!(runs[0].input, runs[1].input);
}
