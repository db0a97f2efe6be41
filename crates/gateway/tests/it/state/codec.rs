use log::{Lane, PartitionId, Position, Topic};
use penstock_gateway::state::{CodecError, Entry, Opening, Positions, SessionRecord, Will};
use proptest::prelude::*;
use record::Qos;
use wire::mqtt::session::{Event, Outgoing, Progress, Subscription};
use wire::mqtt::{RetainHandling, SubscribeOptions};

fn at(topic: Topic, lane: Lane, index: u16, offset: u64) -> Position {
    Position { partition: PartitionId { topic, lane, index }, offset }
}

/// One record with every kind of event.
fn everything() -> (Positions, Vec<Entry>) {
    let message = at(Topic::Messages, Lane::Live, 3, 300);
    let positions = [
        at(Topic::Raw, Lane::Live, 0, 1),
        at(Topic::Raw, Lane::Live, 1, 128),
        at(Topic::Raw, Lane::Backfill, 7, u64::MAX),
        message,
    ];
    let will = Will { delay_s: 30, envelope: b"an envelope".as_slice().into() };
    let opening = |will| {
        let (expiry_s, at_ms) = (u32::MAX, 1_700_000_000_123);
        Entry::Opened(Box::new(Opening { clean: true, expiry_s, at_ms, subject: "device-1".into(), will }))
    };
    let options = SubscribeOptions {
        qos: Qos::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    let queued = |progress, ids: &[u32]| {
        let (qos, subscription_ids) = (Qos::AtLeastOnce, ids.into());
        Entry::Event(Event::Queued(Outgoing { message, qos, retain: true, subscription_ids, progress }))
    };
    let packet_id = 0xfffe;
    let entries = vec![
        opening(None),
        opening(Some(will)),
        Entry::Closed { at_ms: -1, expiry_s: 5, will_owed: true },
        Entry::WillSent { opened: 77 },
        Entry::Assigned { message, group: 0x0123_4567_89ab_cdef },
        Entry::Event(Event::Subscribed(Subscription {
            filter: "$share/g/a/+/#".into(),
            options,
            id: 268_435_455,
        })),
        Entry::Event(Event::Unsubscribed { filter: "ä/#".into() }),
        Entry::Event(Event::Arrived { packet_id, message }),
        Entry::Event(Event::Released { packet_id, message }),
        queued(Progress::Queued, &[]),
        queued(Progress::Sent(1), &[1, 200]),
        queued(Progress::Received(65_535), &[]),
        Entry::Event(Event::Sent { message, packet_id }),
        Entry::Event(Event::Received { message, packet_id }),
        Entry::Event(Event::Completed { message, packet_id }),
        Entry::Event(Event::Dropped { message }),
    ];
    (positions.into_iter().collect(), entries)
}

fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/session-events/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_version_1_wrote_is_read_and_written_the_same() {
    let (positions, entries) = everything();
    let mut bytes = Vec::new();
    SessionRecord::encode(&mut bytes, "default", "client-1", Some(&positions), &entries);
    let expected =
        SessionRecord { tenant: "default", client_id: "client-1", positions: Some(positions), entries };
    let kept = fixture("v1-every-event.bin");
    assert_eq!(SessionRecord::decode(&kept), Ok(expected));
    assert_eq!(bytes, kept);
    assert_eq!(SessionRecord::decode(&[2]), Err(CodecError::Version(2)));
}

#[test]
fn a_record_cut_anywhere_is_an_error_or_a_shorter_list_of_events() {
    let whole = fixture("v1-every-event.bin");
    let all = SessionRecord::decode(&whole).unwrap().entries;
    for cut in 0..whole.len() {
        if let Ok(record) = SessionRecord::decode(&whole[..cut]) {
            assert!(all.starts_with(&record.entries), "cut at {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..300_usize, by in any::<u8>()) {
        let _ = SessionRecord::decode(&bytes);
        let mut versioned = vec![1];
        versioned.extend(&bytes);
        let _ = SessionRecord::decode(&versioned);
        // And what is nearly right.
        let mut nearly = fixture("v1-every-event.bin");
        let at = at % nearly.len();
        nearly[at] ^= by;
        if let Ok(record) = SessionRecord::decode(&nearly) {
            let mut again = Vec::new();
            SessionRecord::encode(&mut again, record.tenant, record.client_id, record.positions.as_ref(), &record.entries);
            prop_assert_eq!(SessionRecord::decode(&again), Ok(record));
        }
    }
}
