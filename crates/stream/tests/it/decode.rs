//! What becomes of a message.

use std::sync::Arc;

use bytes::Bytes;
use log::{Chunk, Lane, PartitionId, Record, Run, Topic};
use penstock_stream::Decoder;
use record::{Encoding, Envelope, Kind};
use series::{Completeness, WriteBatch};
use wire::template::Templates;

use crate::message;

const PARTITION: PartitionId = PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 };

fn decode(records: &[Vec<u8>], base: u64) -> WriteBatch {
    let records = records.iter().map(|bytes| Record { appended_ms: 5, value: Bytes::copy_from_slice(bytes) });
    let runs = vec![Run { partition: PARTITION, base, records: records.collect() }];
    Decoder::new(Arc::new(Templates::shipped())).decode(&Chunk { runs })
}

fn encoded(envelope: &Envelope<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    envelope.encode(&mut bytes);
    bytes
}

/// The readings as `device metric value`, then the dead letters as `stage/whole-or-part/index: words`.
fn told(batch: &WriteBatch) -> Vec<String> {
    let mut told = Vec::new();
    for readings in batch.readings.values() {
        told.extend(readings.iter().map(|r| format!("{} {} {:?}", r.device, r.metric, r.value)));
    }
    for dead in &batch.dead {
        for letter in &dead.letters {
            let how = if dead.completeness == Completeness::Part { "part" } else { "whole" };
            told.push(format!("{}/{how}/{:?}", dead.stage, letter.index));
        }
    }
    told
}

#[test]
fn every_message_has_an_outcome() {
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
        (encoded(&Envelope { tenant: "a/b", ..message("d1", "x", "1") }), &["envelope/whole/None"]),
        (
            encoded(&Envelope { encoding: Encoding::Opaque, ..message("d1", "x", "1") }),
            &["decode/whole/None"],
        ),
        (vec![9, 9], &["envelope/whole/None"]),
        (vec![], &["envelope/whole/None"]),
    ];
    for (record, expected) in cases {
        let batch = decode(std::slice::from_ref(&record), 7);
        assert_eq!(told(&batch), expected, "{}", String::from_utf8_lossy(&record));
        assert_eq!(batch.spans.len(), 1);
        assert_eq!((batch.spans[0].from, batch.spans[0].to), (7, 8));
        for dead in batch.dead {
            assert_eq!(
                (dead.record, dead.offset),
                (record.clone(), 7),
                "a dead letter keeps its bytes and place"
            );
        }
    }
}

#[test]
fn the_same_log_gives_the_same_outcome_however_it_is_cut() {
    let records: Vec<_> = (0..40)
        .map(|n| match n % 4 {
            0 => encoded(&message("d1", "t", "{")),
            1 => vec![n as u8],
            _ => encoded(&message("d2", "t", &format!(r#"{{"metric":"m","value":{n}}}"#))),
        })
        .collect();
    let whole = told(&decode(&records, 0));
    let mut readings = Vec::new();
    let mut letters = Vec::new();
    for (n, part) in records.chunks(7).enumerate() {
        let batch = decode(part, 7 * n as u64);
        let (dead, good): (Vec<_>, Vec<_>) = told(&batch).into_iter().partition(|line| line.contains('/'));
        readings.extend(good);
        letters.extend(dead);
    }
    assert_eq!(whole, [readings, letters].concat());
}
