//! Facts of devices over HTTP.

use axum::http::StatusCode;
use serde_json::json;

use crate::{Rig, readings};

#[tokio::test]
async fn facts_are_registered_changed_and_shown() {
    let rig = Rig::new();
    rig.write(0, readings(&["d2"]));
    let facts = r#"{"type":"pump","site":"hamburg","location":{"lat":53.5,"lng":9.75,"text":"Hall 3"},"tags":{"line":"4","old":"x"}}"#;
    let (status, answer) = rig.send("PUT", "/v1/devices/d1", facts).await;
    assert_eq!((status, &answer["type"]), (StatusCode::OK, &json!("pump")), "{answer}");

    let patch = r#"{"site":null,"firmware":"2.1","location":{"text":null},"tags":{"old":null,"new":"y"}}"#;
    let (status, _) = rig.send("PATCH", "/v1/devices/d1", patch).await;
    assert_eq!(status, StatusCode::OK);
    let (status, one) = rig.get("/v1/devices/d1").await;
    let expected = json!({
        "type": "pump", "location": {"lat": 53.5, "lng": 9.75}, "firmware": "2.1", "tags": {"line": "4", "new": "y"},
    });
    assert_eq!((status, &one["registered"]), (StatusCode::OK, &expected), "{one}");
    assert_eq!((&one["site"], &one["last_seen"], &one["learned"]), (&json!(null), &json!(null), &json!({})));
    assert!(one["registered_at"].is_string() && one["created_at"] == one["registered_at"], "{one}");

    // One that spoke and is not registered, until it is.
    let (_, two) = rig.get("/v1/devices/d2").await;
    assert_eq!((&two["registered_at"], &two["tags"]), (&json!(null), &json!({})), "{two}");
    rig.send("PATCH", "/v1/devices/d2", r#"{"type":"valve"}"#).await;
    let (_, list) = rig.get("/v1/devices").await;
    let listed = list["devices"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.map(|d| (d["id"].as_str().unwrap(), d["type"].as_str().unwrap())).collect();
    assert_eq!(listed, [("d1", "pump"), ("d2", "valve")]);
    let (_, page) = rig.get("/v1/devices?limit=1&after=d1").await;
    assert_eq!((&page["devices"][0]["id"], &page["next"]), (&json!("d2"), &json!("d2")));
    let body = json!({ "query": "SELECT id, type, tags ->> 'line' AS line FROM devices ORDER BY id" });
    let (_, table) = rig.post_as("acme", "/v1/sql", &body).await;
    let rows =
        json!([{"id": "d1", "type": "pump", "line": "4"}, {"id": "d2", "type": "valve", "line": null}]);
    assert_eq!(table["rows"], rows);

    let (status, _) = rig.send("PUT", "/v1/devices/d1", "{}").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(rig.get("/v1/devices/d1").await.1["registered"], json!({}));
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_devices_only() {
    let rig = Rig::new();
    rig.send("PUT", "/v1/devices/d1", r#"{"type":"pump"}"#).await;
    let missing = rig.get_as("other", "/v1/devices/d1").await;
    let nothing = rig.get_as("other", "/v1/devices/d9").await;
    assert_eq!((missing.0, nothing.0), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(missing.1.to_string().replace("d1", "d9"), nothing.1.to_string());
    assert_eq!(rig.get_as("other", "/v1/devices").await.1["devices"], json!([]));
    let (status, _) = rig.get_as("", "/v1/devices/d1").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_no_fact_is_refused_by_name_and_changes_nothing() {
    let rig = Rig::new();
    rig.send("PUT", "/v1/devices/d1", r#"{"type":"pump"}"#).await;
    let long = format!(r#"{{"site":"{}"}}"#, "x".repeat(257));
    for (method, body, words) in [
        ("PUT", r#"{"colour":"red"}"#, "colour"),
        ("PATCH", r#"{"colour":"red"}"#, "colour"),
        ("PATCH", r#"{"location":{"lat":91,"lng":0}}"#, "not on earth"),
        ("PUT", r#"{"location":{"lat":1}}"#, "both lat and lng"),
        ("PATCH", r#"{"type":""}"#, "type"),
        ("PATCH", r#"{"type":7}"#, "string"),
        ("PATCH", &long, "site"),
        ("PATCH", r#"{"tags":{"":"x"}}"#, "tag key"),
        ("PATCH", "[]", "JSON object"),
        ("PATCH", "{", "no JSON"),
        ("PUT", "{", "JSON"),
    ] {
        let (status, problem) = rig.send(method, "/v1/devices/d1", body).await;
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(status.is_client_error() && detail.contains(words), "{method} {body}: {status} {problem}");
    }
    let (status, problem) = rig.send("PUT", "/v1/devices/a%2Fb", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    assert_eq!(rig.get("/v1/devices/d1").await.1["registered"], json!({"type": "pump"}));
}
