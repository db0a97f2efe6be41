//! Reading on, live and backfill.

use std::sync::Arc;

use log::{Lane, Log, Position, Topic};
use penstock_stream::{DeadRecord, Error, start};
use record::Value;
use series::{Memory, SeriesReader, SeriesWriter, Source, Span, WriteBatch};

use crate::{append, memory_log, message, parts, reading, values};

#[tokio::test]
async fn what_is_in_the_log_comes_into_the_store_once() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    for second in 0..5 {
        reading(&*log, Lane::Live, "d1", second, second).await;
        reading(&*log, Lane::Backfill, "d2", -second, second).await;
    }
    reading(&*log, Lane::Live, "d1", 4, 4).await; // delivered again
    let stream = start(parts(&log, &store)).await.unwrap();
    assert!(stream.caught_up().await);
    assert_eq!(values(&store, "d1"), (0..5).map(Value::Int).collect::<Vec<_>>());
    assert_eq!(values(&store, "d2").len(), 5);
    let counts = stream.monitor().counts();
    assert_eq!((counts.stored, counts.duplicates, counts.records), (10, 1, 11));
    // Another start over the same store takes up where this one stops, and stores nothing again.
    stream.shutdown().await;
    reading(&*log, Lane::Live, "d1", 9, 9).await;
    let stream = start(parts(&log, &store)).await.unwrap();
    assert!(stream.caught_up().await);
    let counts = stream.monitor().counts();
    assert_eq!((counts.stored, counts.duplicates, counts.records), (1, 0, 1));
    stream.shutdown().await;
    let committed = log.committed(penstock_stream::READER).unwrap();
    assert_eq!(committed.iter().map(|at| at.offset).sum::<u64>(), 12, "the log knows how far the store is");
}

#[tokio::test]
async fn a_dead_letter_is_in_the_log_and_in_the_store() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    append(&*log, Lane::Live, &message("d1", "devices/d1/telemetry", "no json")).await;
    let stream = start(parts(&log, &store)).await.unwrap();
    assert!(stream.caught_up().await);
    stream.shutdown().await;
    let dead = store.dead_messages("default", 10).unwrap();
    assert_eq!(dead.len(), 1);
    let from: Vec<_> = (0..log.partitions(Topic::Dlq))
        .map(|index| log::PartitionId { topic: Topic::Dlq, lane: Lane::Live, index })
        .map(|partition| Position { partition, offset: 0 })
        .collect();
    let chunk = log.read(&from).unwrap().next(1 << 20).await.unwrap();
    let record = &chunk.runs[0].records[0].value;
    let letter = DeadRecord::decode(record).unwrap();
    assert_eq!((letter.stage, letter.offset, letter.source), ("decode", 0, dead[0].source));
    assert_eq!(letter.record, dead[0].record);
    assert_eq!(letter.letters, [(None, dead[0].letters[0].reason.as_str())]);
    for cut in 0..record.len() - letter.record.len() {
        assert!(DeadRecord::decode(&record[..cut]).is_err(), "cut at {cut}");
    }
}

/// Of the device that topic or credential name; where they name none, of the one that the payload does.
#[tokio::test]
async fn a_dead_letter_is_of_the_device_that_somebody_names() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    for (device, payload) in [
        ("d1", r#"{"device_id":"d2","metric":"m"}"#),
        ("", r#"{"device_id":"d3","metric":"m"}"#),
        ("", "[{\"device_id\":\"d4\"},{\"device_id\":\"d5\"}]"),
    ] {
        append(&*log, Lane::Live, &message(device, "$http/v1/telemetry", payload)).await;
    }
    let stream = start(parts(&log, &store)).await.unwrap();
    assert!(stream.caught_up().await);
    stream.shutdown().await;
    let mut dead: Vec<String> =
        store.dead_messages("default", 10).unwrap().into_iter().map(|dead| dead.device).collect();
    dead.sort();
    assert_eq!(dead, ["", "d1", "d3"]);
}

#[tokio::test]
async fn a_store_ahead_of_the_log_is_refused() {
    let (log, store) = (memory_log(), Arc::new(Memory::new()));
    let source = Source { topic: 0, lane: Lane::Live, partition: 0 };
    let spans = vec![Span { source, from: 0, to: 5 }];
    store.write(&WriteBatch { spans, ..WriteBatch::default() }).unwrap();
    let refused = start(parts(&log, &store)).await.map(|_| ());
    assert!(matches!(refused, Err(Error::Ahead { held: 5, end: 0, .. })), "{refused:?}");
}
