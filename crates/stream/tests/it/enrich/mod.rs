//! The stage `enrich`: facts of devices, and the clean topic.

mod book;
mod crashes;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::{Lane, MemoryLog};
use penstock_stream::{Facts, Parts, config::Config, start};
use record::{Envelope, Learned, TimeOrigin};
use series::Memory;
use wire::mqtt::{FIRMWARE, PropertiesBuf, Property};

use crate::{append, memory_log, message, parts};
use book::{Book, all};

fn clean_parts(log: &Arc<MemoryLog>, store: &Arc<Memory>, book: &Arc<Book>) -> Parts {
    let config = Config { clean: true, ..Config::default() };
    let facts = Arc::clone(book) as Arc<dyn Facts>;
    Parts { facts: Some(facts), settings: Arc::new(config.validate().unwrap()), ..parts(log, store) }
}

async fn run(parts: Parts) {
    let stream = start(parts).await.unwrap();
    assert!(stream.caught_up().await);
    assert_eq!(stream.monitor().counts().disagreements, 0);
    stream.shutdown().await;
}

fn learned(device_type: Option<&str>, site: Option<&str>, firmware: Option<&str>) -> Learned {
    record::Said::new(device_type, site, firmware).to_learned()
}

#[tokio::test]
async fn what_is_kept_of_a_message_is_a_clean_record_with_the_facts_of_its_device() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    book.register("d1", "hamburg");
    let send = |payload: &'static str| {
        let log = Arc::clone(&log);
        async move { append(&*log, Lane::Live, &message("d1", "devices/x/telemetry", payload)).await }
    };
    send(r#"{"ts":1700000000,"seq":0,"metrics":{"a":1,"b":true}}"#).await;
    send(r#"{"ts":1700000000,"seq":0,"metrics":{"a":1,"b":true}}"#).await; // a duplicate
    send("{").await; // dead
    send(r#"{"ts":1700000000,"seq":0,"metrics":{"a":1,"b":false}}"#).await; // one duplicate, one correction
    send(r#"[{"ts":1600000000,"metric":"a","value":"late"},{"metric":"x"}]"#).await; // late, and a dead reading
    run(clean_parts(&log, &store, &book)).await;

    let clean = all(&*log).await;
    let told: Vec<_> = clean
        .iter()
        .map(|record| {
            let readings: Vec<_> =
                record.readings.iter().map(|(metric, .., value)| format!("{metric} {value}")).collect();
            assert_eq!((record.device.as_str(), record.facts.site.as_deref()), ("d1", Some("hamburg")));
            (record.source.offset, readings.join(", "))
        })
        .collect();
    let expected = [(0, "a Int(1), b Bool(true)"), (3, "b Bool(false)"), (4, "a Text(\"late\")")];
    assert_eq!(told, expected.map(|(offset, readings)| (offset, readings.to_owned())));
    assert_eq!(clean[0].readings[0].1, 1_700_000_000_000_000_000);
    assert_eq!((clean[0].readings[0].2, clean[0].readings[0].3), (1, TimeOrigin::Device));
}

#[tokio::test]
async fn nothing_is_written_or_asked_that_nobody_wants() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    append(&*log, Lane::Live, &message("d1", "devices/x/telemetry", r#"{"ts":1,"a":1}"#)).await;
    let facts = Arc::clone(&book) as Arc<dyn Facts>;
    run(Parts { facts: Some(facts), ..parts(&log, &store) }).await;
    assert_eq!((all(&*log).await.len(), book.asked.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn a_reader_may_want_the_readings_of_one_tenant() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    book.want("acme");
    for tenant in ["acme", "default"] {
        let envelope = message("d1", "devices/x/telemetry", r#"{"ts":1,"a":1}"#);
        append(&*log, Lane::Live, &Envelope { tenant, ..envelope }).await;
    }
    let facts = Arc::clone(&book) as Arc<dyn Facts>;
    run(Parts { facts: Some(facts), ..parts(&log, &store) }).await;
    let clean = all(&*log).await;
    assert_eq!((clean.len(), clean[0].tenant.as_str(), book.asked.load(Ordering::SeqCst)), (1, "acme", 1));
}

#[tokio::test]
async fn a_device_is_asked_about_once_a_turn() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    for second in 0..100 {
        crate::reading(&*log, Lane::Live, "d1", second, 1).await;
    }
    run(clean_parts(&log, &store, &book)).await;
    assert_eq!((all(&*log).await.len(), book.asked.load(Ordering::SeqCst)), (100, 1));
}

#[tokio::test]
async fn what_data_says_is_learned_history_only_fills_in_and_what_people_say_holds() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    book.register("d1", "registered");
    let sent = [
        (Lane::Live, "acme/hamburg/pump/d1/t", Some("2.0")),
        (Lane::Live, "acme/bremen/pump/d1/t", Some("2.1")),
        (Lane::Live, "devices/d1/telemetry", None),
        (Lane::Backfill, "acme/kiel/valve/d1/t", Some("1.0")),
        (Lane::Backfill, "acme/kiel/valve/d2/t", None),
    ];
    for (n, (lane, topic, firmware)) in sent.into_iter().enumerate() {
        let device = if topic.contains("d2") { "d2" } else { "d1" };
        let payload = format!(r#"{{"ts":{},"value":1}}"#, 1_700_000_000 + n);
        let mut properties = PropertiesBuf::new();
        if let Some(firmware) = firmware {
            properties.push(Property::UserProperty(FIRMWARE, firmware));
        }
        let properties = properties.as_properties().as_bytes();
        append(&*log, lane, &Envelope { properties, ..message(device, topic, &payload) }).await;
    }
    run(clean_parts(&log, &store, &book)).await;

    assert_eq!(book.learned.lock()["d1"], learned(Some("pump"), Some("bremen"), Some("2.1")));
    assert_eq!(book.learned.lock()["d2"], learned(Some("valve"), Some("kiel"), None));
    let clean = all(&*log).await;
    let told: Vec<_> = clean
        .iter()
        .map(|record| {
            let record::Facts { device_type, site, firmware, .. } = &record.facts;
            [device_type, site, firmware].map(|fact| fact.as_deref().unwrap_or("-"))
        })
        .collect();
    let expected = [
        ["pump", "registered", "2.0"],
        ["pump", "registered", "2.1"],
        ["pump", "registered", "2.1"],
        // A message of the past is of the device as it was then.
        ["valve", "registered", "1.0"],
        ["valve", "kiel", "-"],
    ];
    // Partitions come in no order that matters here.
    let sorted = |mut rows: Vec<[&'static str; 3]>| {
        rows.sort_unstable();
        rows
    };
    let told = told.iter().map(|row| row.map(|text| &*text.to_owned().leak())).collect();
    assert_eq!(sorted(told), sorted(expected.to_vec()));
}

#[tokio::test]
async fn a_registry_that_fails_holds_up_clean_records_and_no_others() {
    for (clean, failures) in [(true, 3), (false, 1000)] {
        let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
        book.failures.store(failures, Ordering::SeqCst);
        append(&*log, Lane::Live, &message("d1", "o/s/pump/d1/m", r#"{"ts":1,"value":1}"#)).await;
        let mut parts = clean_parts(&log, &store, &book);
        if !clean {
            parts.settings = Arc::default();
        }
        run(parts).await;
        assert_eq!(crate::values(&store, "d1").len(), 1);
        let clean = all(&*log).await;
        assert!(clean.iter().all(|record| record.facts.device_type.as_deref() == Some("pump")), "{clean:?}");
        assert_eq!((clean.len(), book.learned.lock().len()), if failures == 3 { (1, 1) } else { (0, 0) });
    }
}

#[tokio::test]
async fn a_message_larger_than_a_record_is_cut_into_parts() {
    let (log, store, book) = (memory_log(), Arc::new(Memory::new()), Arc::new(Book::default()));
    let text = "x".repeat(60_000);
    let metrics: Vec<String> = (0..40).map(|n| format!(r#""m{n}":"{text}""#)).collect();
    let payload = format!(r#"{{"ts":1700000000,"metrics":{{{}}}}}"#, metrics.join(","));
    append(&*log, Lane::Live, &message("d1", "devices/x/telemetry", &payload)).await;
    run(clean_parts(&log, &store, &book)).await;
    let clean = all(&*log).await;
    let parts: Vec<_> = clean.iter().map(|record| record.source.part).collect();
    assert_eq!(parts, [0, 1, 2]);
    assert_eq!(clean.iter().map(|record| record.readings.len()).sum::<usize>(), 40);
}
