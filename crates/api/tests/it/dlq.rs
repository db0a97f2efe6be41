//! Dead letters over HTTP: looked at, mended, tried again.

use axum::http::StatusCode;
use record::{Encoding, Envelope, Kind, Lane, Protocol, ReplayOf, partition_of};
use serde_json::json;
use series::{DeadMessage, WriteBatch};

use crate::{LIVE, PARTITIONS, Rig, at, dead};

const GOOD: &str = r#"{"device_id":"d7","metrics":{"t":1}}"#;

fn rig(messages: Vec<DeadMessage>) -> Rig {
    let rig = Rig::new();
    rig.write(0, WriteBatch { dead: messages, ..WriteBatch::default() });
    rig
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_to_their_tenant_only() {
    let binary = dead("acme", 1, "", b"\xff\x00");
    let rig = rig(vec![dead("acme", 0, "d1", b"{\"t\":"), binary, dead("other", 2, "d1", b"{")]);
    let (status, answer) = rig.get("/v1/dlq?where=device_id%3D%27d1%27&limit=5").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let row = json!({
        "id": "0-live-2-0", "first_at": "1970-01-01T00:00:05Z", "last_at": "1970-01-01T00:00:08Z", "attempts": 2,
        "device_id": "d1", "topic": "plant/7", "stage": "decode", "lost": "whole", "reading": null, "reason": "cut",
    });
    assert_eq!(answer["rows"], json!([row]));
    let (_, answer) = rig.get("/v1/dlq").await;
    assert_eq!(answer["rows"].as_array().unwrap().len(), 2);
    let (status, answer) = rig.get("/v1/dlq?where=1%3D").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");

    let (status, answer) = rig.get("/v1/dlq/0-live-2-0").await;
    let expected = json!({
        "id": "0-live-2-0", "device_id": "d1", "topic": "plant/7", "stage": "decode", "lost": "whole", "attempts": 2,
        "first_at": "1970-01-01T00:00:05Z", "last_at": "1970-01-01T00:00:08Z",
        "reasons": [{ "reading": null, "reason": "cut" }],
        "payload": "{\"t\":", "payload_encoding": "utf-8",
    });
    assert_eq!((status, answer), (StatusCode::OK, expected));
    let (_, answer) = rig.get("/v1/dlq/0-live-2-1").await;
    assert_eq!((&answer["payload"], &answer["payload_encoding"]), (&json!("/wA="), &json!("base64")));
    for path in ["/v1/dlq/0-live-2-2", "/v1/dlq/0-live-2-9", "/v1/dlq/x"] {
        assert_eq!(rig.get(path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    let (_, metrics) = rig.get("/metrics").await;
    assert!(metrics.as_str().unwrap().contains("\npenstock_dead_letter_depth 3\n"), "{metrics}");
}

#[tokio::test]
async fn a_replay_is_the_message_as_it_came_in_and_names_what_it_tries_again() {
    let rig = rig(vec![dead("acme", 3, "d1", b"{\"t\":"), dead("other", 4, "d1", b"{")]);
    let (status, answer) = rig.post_as("acme", "/v1/dlq/replay", &json!({ "where": "true" })).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({ "replayed": 1, "skipped": [], "more": false })));
    let records = rig.backfill().await;
    let [(partition, record)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(*partition, partition_of("acme", "d1", PARTITIONS));
    let replay = Envelope::decode(record).unwrap();
    assert_eq!((replay.kind, replay.protocol, replay.arrived_at), (Kind::Replay, Protocol::Internal, at(5)));
    assert_eq!((replay.tenant, replay.device, replay.topic), ("acme", "d1", "plant/7"));
    assert_eq!((replay.retain, replay.refused, replay.payload), (false, None, &b"{\"t\":"[..]));
    let of = ReplayOf { topic: 0, lane: Lane::Live, partition: LIVE.partition, offset: 3 };
    assert_eq!(ReplayOf::from_bytes(replay.properties), Some(of));
}

#[tokio::test]
async fn a_mended_payload_takes_the_place_of_exactly_one() {
    let messages = vec![dead("acme", 0, "", b"{"), dead("acme", 1, "", b"["), dead("other", 2, "", b"{")];
    let rig = rig(messages);
    let replay = async |body| rig.post_as("acme", "/v1/dlq/replay", &body).await;
    for (body, words) in [
        (json!({ "payload": GOOD }), "several"),
        (json!({ "where": "id = '0-live-2-2'", "payload": GOOD }), "none"),
        (json!({ "where": "id = '0-live-2-0'", "payload": GOOD, "payload_base64": "" }), "one of them"),
        (json!({ "where": "id = '0-live-2-0'", "payload_base64": "%" }), "payload_base64"),
        (json!({ "where": "main.tenant = 1" }), "main.tenant"),
        (json!({ "where": "EXISTS (SELECT 1 FROM dead_message)" }), "not found"),
    ] {
        let (status, answer) = replay(body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(words), "{body}: {answer}");
    }
    assert_eq!(rig.backfill().await, []);
    let (_, answer) = replay(json!({ "where": "id = '0-live-2-1'", "payload": GOOD })).await;
    assert_eq!(answer["replayed"], 1);
    let lines = format!("{GOOD}\n{GOOD}\n");
    let (_, answer) = replay(json!({ "where": "id = '0-live-2-0'", "payload": lines })).await;
    assert_eq!(answer["replayed"], 1);
    let records = rig.backfill().await;
    let encodings: Vec<_> =
        records.iter().map(|(_, record)| Envelope::decode(record).unwrap().encoding).collect();
    assert_eq!(encodings, [Encoding::Json, Encoding::Ndjson]);
    // The message had no device: the mended payload says which partition is its own.
    let own = partition_of("acme", "d7", PARTITIONS);
    assert!(records.iter().all(|&(partition, _)| partition == own), "{own}: {records:?}");
    let two = GOOD.replace("d7", "d8");
    let body = json!({ "where": "id = '0-live-2-1'", "payload": format!("[{GOOD},{two}]") });
    let (_, answer) = replay(body).await;
    assert_eq!(answer["replayed"], 0);
    assert!(answer["skipped"][0]["reason"].as_str().unwrap().contains("several devices"), "{answer}");
}

#[tokio::test]
async fn replays_are_counted_limited_and_what_cannot_be_is_told() {
    let mut messages: Vec<_> = (0..5).map(|offset| dead("acme", offset, "d1", b"{")).collect();
    messages[1].record.clear();
    let rig = rig(messages);
    let (_, answer) = rig.post_as("acme", "/v1/dlq/replay", &json!({ "limit": 3 })).await;
    let skipped = json!([{ "id": "0-live-2-1", "reason": "its record is gone from the log" }]);
    assert_eq!(answer, json!({ "replayed": 2, "skipped": skipped, "more": true }));
    let (_, answer) = rig.post_as("nobody", "/v1/dlq/replay", &json!({})).await;
    assert_eq!(answer, json!({ "replayed": 0, "skipped": [], "more": false }));
    assert_eq!(rig.backfill().await.len(), 2);
}
