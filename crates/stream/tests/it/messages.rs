//! What becomes of a message.

use std::sync::Arc;

use log::{Batch, Lane, Log, PartitionId, Topic};
use penstock_stream::{Parts, start};
use record::{Encoding, Envelope, Kind, TenantId, Timestamp};
use series::{Amounts, Completeness, Memory, SeriesAudit, SeriesReader};

use crate::{memory_log, message, parts, plan};

fn encoded(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    bytes
}

const ALWAYS: std::ops::Range<Timestamp> = Timestamp::from_nanos(i64::MIN)..Timestamp::from_nanos(i64::MAX);

/// Sends records of one partition through the stream; returns the store and what the account says of them together.
async fn store_of(records: &[Vec<u8>]) -> (Arc<Memory>, Amounts) {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let partition = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 };
    for record in records {
        let mut batch = Batch::new();
        batch.push_with(partition, |out| out.extend_from_slice(record));
        log.append(batch).await.unwrap();
    }
    let stream = start(parts(&log, &store)).await.unwrap();
    assert!(stream.caught_up().await);
    assert_eq!(stream.monitor().counts().disagreements, 0);
    stream.shutdown().await;
    let mut amounts = Amounts::default();
    store.account(None, ALWAYS).unwrap().iter().for_each(|line| amounts += line.amounts);
    (store, amounts)
}

/// The readings as `device metric value`, then the dead letters as `stage/whole-or-part/index`.
fn told(store: &Memory) -> Vec<String> {
    let mut told = Vec::new();
    let tenant = TenantId::default_tenant();
    for device in store.devices(&tenant, None, 99).unwrap() {
        let latest = store.latest(&tenant, &device.id).unwrap();
        told.extend(
            latest.iter().map(|r| format!("{} {} {:?}", r.device.as_str(), r.metric.as_str(), r.value)),
        );
    }
    for dead in ["default", "a/b", ""].iter().flat_map(|tenant| store.dead_messages(tenant, 99).unwrap()) {
        for letter in &dead.letters {
            let how = if dead.completeness == Completeness::Part { "part" } else { "whole" };
            told.push(format!("{}/{how}/{:?}", dead.stage, letter.index));
        }
    }
    told
}

#[tokio::test]
async fn every_message_has_an_outcome() {
    let telemetry = |payload| encoded(&message("d1", "devices/d1/telemetry", payload));
    let cases = [
        (telemetry(r#"{"ts":1,"metrics":{"a":1,"b":true}}"#), &["d1 a Int(1)", "d1 b Bool(true)"][..]),
        // The metric from the topic.
        (encoded(&message("d1", "fleet/d1/speed", r#"{"value":2.5}"#)), &["d1 speed Float(2.5)"]),
        (telemetry("{"), &["decode/whole/None"]),
        (telemetry(r#"[{"metric":"a","value":1},{"metric":"b"}]"#), &["d1 a Int(1)", "decode/part/Some(1)"]),
        (
            encoded(&Envelope { refused: Some("too fast"), ..message("d1", "x", "1") }),
            &["gateway/whole/None"],
        ),
        (encoded(&Envelope { kind: Kind::Message, ..message("d1", "x", "1") }), &["envelope/whole/None"]),
        (encoded(&Envelope { kind: Kind::Replay, ..message("d1", "x", "1") }), &["envelope/whole/None"]),
        (encoded(&Envelope { tenant: "a/b", ..message("d1", "x", "1") }), &["envelope/whole/None"]),
        (
            encoded(&Envelope { encoding: Encoding::Opaque, ..message("d1", "x", "1") }),
            &["decode/whole/None"],
        ),
        (vec![9, 9], &["envelope/whole/None"]),
        (vec![], &["envelope/whole/None"]),
    ];
    for (record, expected) in cases {
        let (store, amounts) = store_of(std::slice::from_ref(&record)).await;
        assert_eq!(told(&store), expected, "{}", String::from_utf8_lossy(&record));
        assert_eq!(amounts.residue(), 0, "{amounts:?}");
        assert_eq!((amounts.records, amounts.accepted), (1, expected.len() as i64), "{amounts:?}");
        for dead in ["default", "a/b", ""].iter().flat_map(|tenant| store.dead_messages(tenant, 99).unwrap())
        {
            assert_eq!(
                (dead.record, dead.offset),
                (record.clone(), 0),
                "a dead letter keeps its bytes and place"
            );
        }
    }
}

/// Payloads of one device, one after the other, and what the account says then: stored, duplicate, corrected, dead.
#[tokio::test]
async fn a_reading_is_stored_once_whatever_comes_how_often() {
    let one = r#"{"ts":1700000000,"metrics":{"a":1,"b":2.5,"c":"on"}}"#;
    let cases: [(&[&str], [i64; 4]); 11] = [
        (&[one, one, one], [3, 6, 0, 0]),
        // Twenty metrics of one moment are no duplicates, however they come.
        (&[r#"{"ts":1,"metric":"a","value":1}"#, r#"{"ts":1,"metric":"b","value":1}"#], [2, 0, 0, 0]),
        (&[one, r#"{"ts":1700000000,"metrics":{"b":2.5,"d":4}}"#], [4, 1, 0, 0]),
        // Another value under the same key.
        (&[one, r#"{"ts":1700000000,"metrics":{"a":1,"b":3.5,"c":"on"}}"#, one], [5, 4, 2, 0]),
        // The same moment in other units.
        (
            &[
                r#"{"ts":1700000000,"metric":"a","value":1}"#,
                r#"{"ts":"2023-11-14T22:13:20Z","metric":"a","value":1}"#,
            ],
            [1, 1, 0, 0],
        ),
        // A number is the same however it is written; a text is another value.
        (&[r#"{"ts":1,"metric":"a","value":1}"#, r#"{"ts":1,"metric":"a","value":1.0}"#], [1, 1, 0, 0]),
        (&[r#"{"ts":1,"metric":"a","value":1}"#, r#"{"ts":1,"metric":"a","value":"1"}"#], [2, 0, 1, 0]),
        // The same metric and moment twice in one message: in order.
        (
            &[
                r#"[{"ts":1,"metric":"a","value":1},{"ts":1,"metric":"a","value":2},{"ts":1,"metric":"a","value":2}]"#,
            ],
            [2, 1, 1, 0],
        ),
        // Without a clock every reading is one of its own.
        (
            &[r#"[{"metric":"a","value":1},{"metric":"a","value":1}]"#, r#"{"metric":"a","value":1}"#],
            [3, 0, 0, 0],
        ),
        // A clock that was reset: earlier times are nothing special.
        (
            &[
                r#"{"ts":1700000000,"metric":"a","value":1}"#,
                r#"{"ts":5,"metric":"a","value":1}"#,
                r#"{"ts":6,"metric":"a","value":1}"#,
                r#"{"ts":5,"metric":"a","value":1}"#,
            ],
            [3, 1, 0, 0],
        ),
        (&[r#"[{"metric":"a","value":1},7,{"metric":"b"}]"#], [1, 0, 0, 2]),
    ];
    for (payloads, [stored, duplicate, corrected, dead]) in cases {
        let records: Vec<_> =
            payloads.iter().map(|payload| encoded(&message("d1", "devices/d1/telemetry", payload))).collect();
        let (store, mut amounts) = store_of(&records).await;
        amounts.stored += std::mem::take(&mut amounts.late); // in time or late is not the question here
        let expected = Amounts {
            records: payloads.len() as i64,
            accepted: stored + duplicate + dead,
            stored,
            duplicate,
            dead,
            corrected,
            ..Amounts::default()
        };
        assert_eq!(amounts, expected, "{payloads:?}");
        let audit = store.audit().unwrap();
        assert_eq!(audit.tenants[0].points as i64, stored - corrected, "{payloads:?}");
    }
}

#[tokio::test]
async fn a_duplicate_is_one_long_after_the_state_has_forgotten_it() {
    let payload = |n: i64| format!(r#"{{"ts":{},"metrics":{{"a":{n},"b":{n}}}}}"#, 1_700_000_000 + n);
    let record = |n: i64| encoded(&message("d1", "devices/d1/telemetry", &payload(n)));
    let mut records: Vec<_> = (0..500).map(record).collect();
    records.extend([record(0), record(250), record(1)]);
    let other = r#"{"ts":1700000002,"metrics":{"a":7,"b":2}}"#;
    records.push(encoded(&message("d1", "devices/d1/telemetry", other)));
    let (_, amounts) = store_of(&records).await;
    assert_eq!((amounts.stored, amounts.duplicate, amounts.corrected, amounts.residue()), (1001, 7, 1, 0));
}

#[tokio::test]
async fn what_is_beyond_a_budget_or_a_limit_is_dead_and_accounted_for() {
    let text = "[budget]\nmax_devices = 2\nmax_series_per_device = 3\n\
                [[limit]]\nmetric = 'a'\nmax = 10.0\n[[sample]]\nmetric = 'debug'\nkeep_one_in = 1000000";
    let config: penstock_stream::config::Config = toml::from_str(text).unwrap();
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let partition = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 };
    let messages = [
        ("d1", r#"{"ts":1,"metrics":{"a":1,"b":2}}"#),
        ("d2", r#"{"ts":1,"metrics":{"a":11,"b":2}}"#),
        ("d3", r#"{"ts":1,"metrics":{"a":1,"b":2}}"#),
        ("d1", r#"{"ts":2,"metrics":{"c":1,"d":2}}"#),
        ("d2", r#"{"ts":2,"metrics":{"debug":1}}"#),
        ("d3", r#"{"ts":2,"metrics":{"a":1}}"#),
    ];
    for (device, payload) in messages {
        let mut batch = Batch::new();
        batch.push_with(partition, |out| message(device, "devices/x/telemetry", payload).encode(out));
        log.append(batch).await.unwrap();
    }
    let settings = Arc::new(config.validate().unwrap());
    let stream = start(Parts { settings, ..parts(&log, &store) }).await.unwrap();
    assert!(stream.caught_up().await);
    stream.shutdown().await;
    let reasons = store.dead_messages("default", 99).unwrap();
    let reasons: Vec<String> = reasons
        .iter()
        .flat_map(|dead| dead.letters.iter().map(|l| format!("{}: {}", dead.stage, l.reason)))
        .collect();
    let counted = |words: &str| reasons.iter().filter(|reason| reason.contains(words)).count();
    assert_eq!(
        counted("budget: the budget of tenant default is spent: it has 2 devices of 2"),
        3,
        "{reasons:#?}"
    );
    assert_eq!((counted("budget: device d1 has 3 metrics"), counted("validate: "), reasons.len()), (1, 1, 5));
    let mut amounts = Amounts::default();
    store.account(None, ALWAYS).unwrap().iter().for_each(|line| amounts += line.amounts);
    assert_eq!((amounts.stored, amounts.dead, amounts.shed, amounts.residue()), (4, 5, 1, 0), "{amounts:?}");
}

/// A dead message is mended and tried again, and again.
#[tokio::test]
async fn a_replay_moves_the_account_and_a_second_one_changes_nothing() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let live = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 };
    let broken = r#"[{"ts":1,"metric":"a","value":1},{"ts":1,"metric":"b"},{"ts":1,"metric":"c","value":3}]"#;
    let mended = r#"[{"ts":1,"metric":"a","value":1},{"ts":1,"metric":"b","value":2},{"ts":1,"metric":"c","value":3}]"#;
    let mut batch = Batch::new();
    batch.push_with(live, |out| message("d1", "devices/x/telemetry", broken).encode(out));
    log.append(batch).await.unwrap();
    let of = record::ReplayOf { topic: 0, lane: Lane::Live, partition: 2, offset: 0 }.to_bytes();
    let stream = start(parts(&log, &store)).await.unwrap();
    // Still broken, mended, and once more although it is mended.
    for (payload, expected) in
        [(broken, (2, 1, 1)), (mended, (3, 0, 0)), (mended, (3, 0, 0)), (broken, (3, 0, 0))]
    {
        let mut batch = Batch::new();
        let replay =
            Envelope { kind: Kind::Replay, properties: &of, ..message("d1", "devices/x/telemetry", payload) };
        batch.push_with(PartitionId { lane: Lane::Backfill, ..live }, |out| replay.encode(out));
        log.append(batch).await.unwrap();
        assert!(stream.caught_up().await);
        let mut amounts = Amounts::default();
        store.account(None, ALWAYS).unwrap().iter().for_each(|line| amounts += line.amounts);
        let dead = store.dead_messages("default", 9).unwrap();
        assert_eq!((amounts.stored, amounts.dead, dead.len() as i64), expected, "{amounts:?}");
        assert_eq!((amounts.accepted, amounts.residue()), (3, 0));
        assert!(dead.iter().all(|dead| dead.attempts == 2 && dead.offset == 0), "{dead:?}");
    }
    assert_eq!(stream.monitor().counts().disagreements, 0);
    stream.shutdown().await;
}

/// A number that is corrected to a text leaves its windows; the last one takes the window with it. A result that was kept is kept
/// right, although it is of fewer readings now than another would be kept from.
#[tokio::test]
async fn a_correction_without_a_number_takes_the_reading_out_of_its_windows() {
    for window in ["1m", "1m at least 2"] {
        corrected(window).await;
    }
}

async fn corrected(window: &str) {
    let record = |payload: &str| encoded(&message("d1", "devices/d1/telemetry", payload));
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let now = Arc::new(std::sync::atomic::AtomicI64::new(crate::ARRIVED.nanos()));
    let clock = Arc::clone(&now);
    let mut settings = penstock_stream::Settings::default().with_plan(plan(&[window]));
    settings.tick_every = std::time::Duration::from_millis(5);
    let clock = Arc::new(move || Timestamp::from_nanos(clock.load(std::sync::atomic::Ordering::Relaxed)));
    let parts = Parts { settings: Arc::new(settings), clock, ..parts(&log, &store) };
    let stream = start(parts).await.unwrap();
    let tenant = TenantId::default_tenant();
    let (device, metric) = (record::DeviceId::parse("d1").unwrap(), record::MetricName::parse("a").unwrap());
    let counts = || -> Vec<u64> {
        let rows = store.windows(&tenant, &device, &metric, ALWAYS).unwrap();
        rows.iter().filter(|row| &*row.key.window == "1m").map(|row| row.count).collect()
    };
    let first = r#"[{"ts":1700000001,"metric":"a","value":1},{"ts":1700000002,"metric":"a","value":2}]"#;
    let one_less = r#"{"ts":1700000001,"metric":"a","value":"broken"}"#;
    let none_left = r#"{"ts":1700000002,"metric":"a","value":"broken"}"#;
    for (payload, expected) in [(first, vec![2]), (one_less, vec![1]), (none_left, vec![])] {
        let mut batch = Batch::new();
        let bytes = record(payload);
        batch.push_with(PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 }, |out| {
            out.extend(&bytes)
        });
        log.append(batch).await.unwrap();
        assert!(stream.caught_up().await);
        let mut tries = 0;
        while counts() != expected && tries < 2000 {
            now.fetch_add(60_000_000_000, std::sync::atomic::Ordering::Relaxed);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            tries += 1;
        }
        assert_eq!(counts(), expected, "{payload} in {window}");
    }
    stream.shutdown().await;
}

#[tokio::test]
async fn the_first_readings_of_a_partition_are_in_time_however_long_it_was_quiet() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let mut settings = penstock_stream::Settings::default();
    settings.tick_every = std::time::Duration::from_millis(1);
    let stream = start(Parts { settings: Arc::new(settings), ..parts(&log, &store) }).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(30)).await; // ticks, if there were any
    let ts = crate::ARRIVED.nanos() / 1_000_000_000 - 200;
    let payload = format!(r#"{{"ts":{ts},"metric":"a","value":1}}"#);
    let bytes = encoded(&message("d1", "devices/d1/telemetry", &payload));
    let mut batch = Batch::new();
    batch.push_with(PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 }, |out| out.extend(&bytes));
    log.append(batch).await.unwrap();
    assert!(stream.caught_up().await);
    assert_eq!((stream.monitor().counts().late, stream.monitor().counts().stored), (0, 1));
    stream.shutdown().await;
}
