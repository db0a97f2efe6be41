//! Clean records that were written once and must be readable for ever. The fixtures come from an encoder of their own,
//! written from `docs/formats/clean.md`; they are never edited.

use proptest::prelude::*;
use record::{
    CleanReading, CleanRecord, CleanSource, Facts, Known, Lane, Learned, Readings, TimeOrigin, Timestamp,
    ValueRef, When, encode_clean,
};

const ARRIVED: Timestamp = Timestamp::from_nanos(1_700_000_000_123_456_789);

/// Encodes what a record says.
fn encode(record: &CleanRecord<'_>) -> Vec<u8> {
    let mut readings = Readings::new();
    let device = readings.device(record.device).unwrap();
    for reading in &record.readings {
        let metric = readings.metric(reading.metric).unwrap();
        readings.push(device, metric, reading.when, reading.value);
    }
    let mut out = Vec::new();
    let known = Known::new(record.facts.clone(), Learned::default());
    encode_clean(record.source, record.tenant, known.encoded(), &readings, 0..readings.len(), &mut out);
    out
}

fn full() -> CleanRecord<'static> {
    let corrected = When {
        time: Timestamp::from_nanos(1_700_000_000_000_000_000),
        origin: TimeOrigin::Corrected,
        arrived_at: ARRIVED,
        claimed: Timestamp::from_nanos(1_700_000_003_600_000_000),
        seq: 8,
    };
    let read = |metric, value| CleanReading { metric, when: corrected, value };
    let early = When::by_device(Timestamp::from_nanos(-1), ARRIVED);
    CleanRecord {
        source: CleanSource { lane: Lane::Backfill, partition: 5, offset: 1 << 40, part: 1 },
        arrived_at: ARRIVED,
        tenant: "acme",
        device: "pump-7",
        facts: Facts {
            device_type: Some("pump".into()),
            site: Some("hamburg".into()),
            coordinates: Some((53.5, 9.75)),
            place: Some("Hall 3".into()),
            firmware: Some("2.1.0".into()),
            tags: [("line".into(), "4".into()), ("owner".into(), "ü".repeat(100).into())].into(),
        },
        readings: vec![
            read("t", ValueRef::Float(21.5)),
            read("n", ValueRef::Int(-3)),
            read("on", ValueRef::Bool(true)),
            read("state", ValueRef::Text("running")),
            read("at", ValueRef::Location { lat: -1.5, lng: 170.25 }),
            CleanReading { metric: "t", when: early, value: ValueRef::Float(0.0) },
        ],
    }
}

#[test]
fn version_1_is_read_and_written_as_ever() {
    let arrived_at = Timestamp::from_nanos(-1);
    let plain = CleanRecord {
        source: CleanSource { lane: Lane::Live, partition: 0, offset: 0, part: 0 },
        arrived_at,
        tenant: "default",
        device: "d1",
        facts: Facts::default(),
        readings: vec![CleanReading {
            metric: "m",
            when: When::by_server(arrived_at).with_seq(1),
            value: ValueRef::Bool(false),
        }],
    };
    let fixtures: [(&[u8], CleanRecord<'_>); 2] = [
        (include_bytes!("../fixtures/clean-v1-full.bin"), full()),
        (include_bytes!("../fixtures/clean-v1-plain.bin"), plain),
    ];
    for (fixture, record) in fixtures {
        assert_eq!(CleanRecord::decode(fixture).as_ref(), Ok(&record));
        assert_eq!(CleanSource::decode(fixture), Ok(record.source));
        assert_eq!(encode(&record), fixture);
    }
}

#[test]
fn a_record_that_is_cut_is_an_error_or_has_fewer_moments() {
    let bytes = encode(&full());
    let whole = full().readings;
    for cut in 0..bytes.len() {
        if let Ok(record) = CleanRecord::decode(&bytes[..cut]) {
            let complete = [0, whole.len() - 1];
            assert!(complete.contains(&record.readings.len()), "cut at {cut}");
        }
    }
    let other = [&[2], &bytes[1..]].concat();
    assert_eq!(CleanRecord::decode(&other), Err(record::CleanError::Version(2)));
}

proptest! {
    #[test]
    fn other_bytes_are_refused_or_read_and_never_a_panic(
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut bytes = encode(&full());
        let at = at.index(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        bytes.splice(at..end, with);
        let _ = CleanRecord::decode(&bytes);
    }
}
