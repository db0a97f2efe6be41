//! The account and what devices and series are made of, over HTTP.

use axum::http::StatusCode;
use log::{Batch, Lane, Log, PartitionId, Topic};
use serde_json::json;
use series::{Amounts, WriteBatch};

use crate::{Rig, account, readings};

fn amounts() -> Amounts {
    Amounts { records: 1, accepted: 2, stored: 2, ..Amounts::default() }
}

#[tokio::test]
async fn the_account_shows_lines_totals_and_what_is_in_flight() {
    let rig = Rig::new();
    let mut batch = Batch::new();
    for _ in 0..3 {
        batch.push(PartitionId { topic: Topic::Raw, lane: Lane::Live, index: 2 }, b"x");
    }
    batch.push(PartitionId { topic: Topic::Raw, lane: Lane::Backfill, index: 0 }, b"x");
    rig.log.append(batch).await.unwrap();
    rig.write(0, WriteBatch { account: vec![account("acme", amounts())], ..readings(&["a", "b"]) });
    let line = json!({
        "topic": "devices/{id}/telemetry", "records": 1, "accepted": 2, "stored": 2, "duplicate": 0, "corrected": 0,
        "dead_lettered": 0, "late": 0, "shed": 0, "residue": 0,
    });
    let mut totals = line.clone();
    totals.as_object_mut().unwrap().remove("topic");
    let (status, answer) = rig.get("/v1/ledger").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let expected = json!({
        "lines": [line],
        "totals": totals,
        "in_flight": { "records": 3, "partitions": [
            { "topic": "iot-telemetry-raw", "lane": "live", "partition": 2, "records": 2 },
            { "topic": "iot-telemetry-raw", "lane": "backfill", "partition": 0, "records": 1 },
        ] },
        "balanced": true,
        "reasons": [],
    });
    assert_eq!(answer, expected);
    let (_, answer) =
        rig.get("/v1/ledger?by=minute&since=1970-01-01T00:01:00Z&until=1970-01-01T00:02:00Z").await;
    assert_eq!(answer["lines"][0]["minute"], "1970-01-01T00:01:00Z");
    let (_, answer) = rig.get("/v1/ledger?by=total&since=61").await;
    assert_eq!(answer["lines"], json!([]));
    let (_, answer) = rig.get_as("other", "/v1/ledger").await;
    assert_eq!(answer["totals"]["records"], 0, "another tenant's account: {answer}");
    for wrong in ["by=device", "since=soon", "since=9&until=3", "from=1"] {
        let (status, answer) = rig.get(&format!("/v1/ledger?{wrong}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {answer}");
    }
}

#[tokio::test]
async fn a_verification_names_the_equation_that_fails() {
    let rig = Rig::new();
    rig.write(0, WriteBatch { account: vec![account("acme", amounts())], ..readings(&["a", "b"]) });
    let (status, answer) = rig.get("/v1/ledger/verify").await;
    assert_eq!((status, &answer["balanced"], &answer["reasons"]), (StatusCode::OK, &json!(true), &json!([])));
    assert!(answer["checks"].as_array().unwrap().iter().all(|check| check["holds"] == true), "{answer}");
    rig.write(1, readings(&["c"]));
    let (status, answer) = rig.get("/v1/ledger/verify?since=1970-01-01").await;
    assert_eq!((status, &answer["balanced"]), (StatusCode::OK, &json!(false)));
    let expected = json!([
        "records of all accounts = offsets that the store has the outcome of: the account has 1, there are 2",
        "stored + late - corrected = readings in telemetry + removed: the account has 2, there are 3",
    ]);
    assert_eq!(answer["reasons"], expected);
    let (status, _) = rig.get("/v1/ledger/verify?by=topic").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn cardinality_explains_itself() {
    let rig = Rig::new();
    rig.write(0, readings(&["press-01", "press-02", "oven"]));
    let (status, answer) = rig.get("/v1/cardinality").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let expected = json!({
        "devices": 3,
        "series": 3,
        "budget": { "devices": 10, "series": 200, "series_per_device": null },
        "refused": { "devices": 1, "series": 0 },
        "metrics_with_most_devices": [{ "metric": "t", "devices": 3 }],
        "devices_with_most_metrics": [
            { "device_id": "oven", "metrics": 1 },
            { "device_id": "press-01", "metrics": 1 },
            { "device_id": "press-02", "metrics": 1 },
        ],
        "device_patterns": [{ "pattern": "press-#", "devices": 2 }, { "pattern": "oven", "devices": 1 }],
        "metric_patterns": [{ "pattern": "t", "series": 3 }],
        "undercount": 0,
    });
    assert_eq!(answer, expected);
    let (_, answer) = rig.get_as("other", "/v1/cardinality").await;
    assert_eq!((&answer["devices"], &answer["budget"]["devices"]), (&json!(0), &json!(null)));
}
