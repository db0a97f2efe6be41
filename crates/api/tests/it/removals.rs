//! A device is forgotten, and the account still balances.

use axum::http::StatusCode;
use record::{TenantId, Timestamp};
use serde_json::json;
use series::{Amounts, Expiring, Old, SeriesRemove as _, WriteBatch};

use crate::{Rig, account, readings};

#[tokio::test]
async fn a_device_is_erased_with_a_record_and_the_account_balances() {
    let rig = Rig::new();
    let amounts = Amounts { records: 1, accepted: 2, stored: 2, ..Amounts::default() };
    rig.write(0, WriteBatch { account: vec![account("acme", amounts)], ..readings(&["a", "b"]) });
    let (status, answer) = rig.send("DELETE", "/v1/devices/a/data?reason=asked%20for", "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!((&answer["device_id"], &answer["reason"]), (&json!("a"), &json!("asked for")));
    assert_eq!((&answer["removed"]["readings"], &answer["metrics"]), (&json!(1), &json!(null)), "{answer}");
    let (_, listed) = rig.get("/v1/removals").await;
    assert_eq!(listed["removals"], json!([answer]));
    let (_, others) = rig.get_as("other", "/v1/removals").await;
    assert_eq!(others["removals"], json!([]));
    assert_eq!(rig.get("/v1/devices/a").await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.get("/v1/devices/b").await.0, StatusCode::OK);
    let (_, verdict) = rig.get("/v1/ledger/verify").await;
    assert_eq!((&verdict["balanced"], &verdict["reasons"]), (&json!(true), &json!([])), "{verdict}");
}

#[tokio::test]
async fn a_record_says_which_metrics_went() {
    let rig = Rig::new();
    let amounts = Amounts { records: 1, accepted: 2, stored: 2, ..Amounts::default() };
    rig.write(0, WriteBatch { account: vec![account("acme", amounts)], ..readings(&["a", "b"]) });
    let (acme, now) = (TenantId::parse("acme").unwrap(), Timestamp::now());
    let all = Old::all(Expiring::Readings, now);
    let some = Old { metrics: "-none.*\n+*".parse().unwrap(), ..all };
    rig.store.expire(&acme, &some, now).unwrap().unwrap();
    let (_, listed) = rig.get("/v1/removals").await;
    let removal = &listed["removals"][0];
    assert_eq!((&removal["metrics"], &removal["device_id"]), (&json!(["-none.*", "+*"]), &json!(null)));
    assert_eq!(removal["removed"]["readings"], 2, "{removal}");
    let (_, verdict) = rig.get("/v1/ledger/verify").await;
    assert_eq!(verdict["balanced"], json!(true), "{verdict}");
}

#[tokio::test]
async fn what_cannot_be_erased_is_refused_with_words() {
    let rig = Rig::new();
    let mut batch = readings(&["old"]);
    let mut fresh = record::Readings::new();
    let (device, metric) = (fresh.device("busy").unwrap(), fresh.metric("m").unwrap());
    let now = Timestamp::now();
    fresh.push(device, metric, record::When::by_device(now, now), record::ValueRef::Int(1));
    batch.readings.values_mut().for_each(|readings| {
        fresh.iter().for_each(|reading| {
            let (device, metric) = (readings.device(reading.device), readings.metric(reading.metric));
            readings.push(device.unwrap(), metric.unwrap(), reading.when, reading.value);
        });
    });
    rig.write(0, batch);
    let too_long = format!("/v1/devices/old/data?reason={}", "x".repeat(1025));
    for (path, status, words) in [
        ("/v1/devices/old/data", StatusCode::BAD_REQUEST, "say why"),
        ("/v1/devices/old/data?reason=%20", StatusCode::BAD_REQUEST, "say why"),
        (&too_long, StatusCode::BAD_REQUEST, "longer than 1024 bytes"),
        ("/v1/devices/nobody/data?reason=x", StatusCode::NOT_FOUND, "no device \"nobody\""),
        ("/v1/devices/a%2Fb/data?reason=x", StatusCode::NOT_FOUND, "no device"),
        ("/v1/devices/busy/data?reason=x", StatusCode::CONFLICT, "stop it, wait ten minutes"),
    ] {
        let (found, answer) = rig.send("DELETE", path, "").await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains(words), "{path}: {answer}");
    }
    assert_eq!(rig.get("/v1/removals").await.1["removals"], json!([]));
    assert_eq!(rig.get("/v1/devices/busy").await.0, StatusCode::OK);
}
