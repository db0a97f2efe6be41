//! Rules, alerts, and who is told, through the router.

use std::sync::Arc;

use alert::{Alerts, Channels, Config, Directory, Rules, Terms};
use axum::http::StatusCode;
use metadata::Metadata;
use penstock_api::Alerting;
use record::{DeviceId, Facts, MetricName, Reading, TenantId, Value, When};
use rule::RuleId;
use serde_json::{Value as Json, json};
use series::WriteBatch;

use crate::{Rig, at};

struct Known(Arc<Rules>);

impl Directory for Known {
    fn terms(&self, tenant: &TenantId, rule: &RuleId, version: u32) -> Result<Option<Terms>, String> {
        self.0.terms(tenant, rule, version).map_err(|error| error.to_string())
    }

    fn facts(&self, _: &TenantId, _: &DeviceId) -> Result<Facts, String> {
        Ok(Facts::default())
    }
}

/// Rules and alerts over these tables.
pub(crate) fn alerting(metadata: Arc<dyn Metadata>) -> Alerting {
    let settings = Config::default().validate().unwrap();
    let rules = Arc::new(Rules::open(Arc::clone(&metadata)).unwrap());
    let directory: Arc<dyn Directory> = Arc::new(Known(Arc::clone(&rules)));
    let alerts = Alerts::open(metadata, Arc::clone(&directory), settings.clone()).unwrap();
    Alerting {
        alerts: Arc::new(alerts),
        rules,
        channels: Arc::new(Channels::new(&settings, None)),
        directory,
        settings: rule::Settings::default(),
    }
}

fn id(of: &Json) -> String {
    of["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_rule_has_versions_and_belongs_to_its_tenant() {
    let rig = Rig::new();
    let hot = json!({ "name": "Hot & wet", "when": "temperature > 80" });
    let (status, rule) = rig.post_as("acme", "/v1/rules", &hot).await;
    assert_eq!((status, &rule["id"], &rule["version"]), (StatusCode::CREATED, &json!("hot-wet"), &json!(1)));
    let mut listed = hot.clone();
    listed["escalation"] = "night".into();
    let (_, second) = rig.post_as("acme", "/v1/rules", &listed).await;
    assert_eq!(second["escalation"], "night");
    assert_eq!(second["id"], "hot-wet-2");
    // The same again changes nothing; another document is a version more, also after the rule was removed and made anew.
    let (_, same) = rig.send("PUT", "/v1/rules/hot-wet", &hot.to_string()).await;
    let hotter = json!({ "name": "Hot & wet", "when": "temperature > 90" });
    let (_, changed) = rig.send("PUT", "/v1/rules/hot-wet", &hotter.to_string()).await;
    assert_eq!((&same["version"], &changed["version"]), (&json!(1), &json!(2)));
    let (_, off) = rig.send("PATCH", "/v1/rules/hot-wet", r#"{"enabled":false}"#).await;
    assert_eq!((&off["version"], &off["enabled"]), (&json!(2), &json!(false)));
    assert_eq!(rig.send("DELETE", "/v1/rules/hot-wet", "").await.0, StatusCode::NO_CONTENT);
    let (_, again) = rig.post_as("acme", "/v1/rules", &hot).await;
    assert_eq!((&again["id"], &again["version"]), (&json!("hot-wet"), &json!(3)));

    let (_, listed) = rig.get_as("other", "/v1/rules").await;
    assert_eq!(listed, json!({ "rules": [] }));
    let (status, missing) = rig.get_as("other", "/v1/rules/hot-wet").await;
    let (_, never) = rig.get_as("other", "/v1/rules/hot-wot").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(missing.to_string().replace("hot-wet", "hot-wot"), never.to_string());
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_place() {
    let rig = Rig::new();
    for (document, words) in [
        (json!({ "name": "x", "when": "temperature >" }), "line 1"),
        (json!({ "name": "", "when": "temperature > 1" }), "name"),
        (json!({ "name": "x", "when": "temperature > 1", "colour": "red" }), "colour"),
        (json!({ "name": "x", "when": "temperature > 1", "notify": [{ "email": "nobody@" }] }), "email"),
        (
            json!({ "name": "x", "when": "temperature > 1", "notify": [{ "webhook": "https://a:b@c/" }] }),
            "password",
        ),
    ] {
        let (status, problem) = rig.post_as("acme", "/v1/rules", &document).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{document}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    assert_eq!(rig.get("/v1/rules").await.1, json!({ "rules": [] }));
}

#[tokio::test]
async fn a_rule_is_tried_over_what_is_stored_and_beside_another_version() {
    let rig = Rig::new();
    // Three peaks of three heights, a quarter of an hour apart; another tenant's devices are hotter.
    let values = [20, 82, 20, 86, 20, 95, 20];
    for (batch, (tenant, hotter)) in (0..).zip([("acme", 0), ("other", 100)]) {
        let readings: Vec<Reading> = values
            .iter()
            .zip(0_i64..)
            .map(|(value, n)| Reading {
                device: DeviceId::parse("d").unwrap(),
                metric: MetricName::parse("temperature").unwrap(),
                when: When::by_device(at(n * 900), at(n * 900)),
                value: Value::Int(value + hotter),
            })
            .collect();
        let readings = [(TenantId::parse(tenant).unwrap(), readings.iter().collect())].into();
        rig.write(batch, WriteBatch { readings, ..WriteBatch::default() });
    }
    let range = json!({ "since": "1970-01-01T00:00:00Z", "until": "1970-01-02T00:00:00Z" });
    let mut body = range.clone();
    body["document"] = json!({ "name": "hot", "when": "temperature > 80" });
    let (status, found) = rig.post_as("acme", "/v1/rules/dry-run", &body).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    assert_eq!((&found["alerts"], &found["devices"], &found["readings"]), (&json!(3), &json!(1), &json!(7)));
    assert_eq!(found["episodes"][1]["triggered_at"], "1970-01-01T00:45:00Z");
    assert_eq!(found["by_hour"], json!([[0, 2], [3_600_000, 1]]));

    rig.post_as("acme", "/v1/rules", &json!({ "name": "hot", "when": "temperature > 80" })).await;
    body["document"] = json!({ "name": "hot", "when": "temperature > 90 OR temperature = 20", "for": "10m" });
    let (_, found) = rig.post_as("acme", "/v1/rules/hot/dry-run", &body).await;
    assert_eq!(found["alerts"], 3, "{found}");
    let difference = &found["difference"];
    let of = |key: &str| difference[key].as_u64().unwrap();
    assert_eq!(of("both") + of("only_before"), 3, "{difference}");
    assert!(of("only_after") >= 1, "{difference}");
    // Nothing of it is an alert.
    assert_eq!(rig.get("/v1/alerts").await.1["alerts"], json!([]));
    let (status, _) = rig.post_as("acme", "/v1/rules/hot/dry-run", &json!({ "since": "yesterday" })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn alerts_are_answered_by_people_of_their_tenant() {
    let rig = Rig::new();
    let outside =
        json!({ "device_id": "d", "rule": "smoke", "severity": "critical", "why": "smoke on camera 3" });
    let (status, alert) = rig.post_as("acme", "/v1/alerts", &outside).await;
    assert_eq!(status, StatusCode::CREATED, "{alert}");
    let path = format!("/v1/alerts/{}", id(&alert));
    assert_eq!(rig.get_as("other", &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(rig.post_as("other", &format!("{path}/ack"), &json!({})).await.0, StatusCode::NOT_FOUND);
    // What is said counts, whatever its content type.
    let (status, acked) =
        rig.send("POST", &format!("{path}/ack"), r#"{"by":"ann","remark":"on my way"}"#).await;
    assert_eq!((status, &acked["state"]), (StatusCode::OK, &json!("acknowledged")));
    let (_, shown) = rig.get(&path).await;
    let said: Vec<_> =
        shown["history"].as_array().unwrap().iter().map(|entry| entry["remark"].clone()).collect();
    assert!(said.contains(&json!("on my way")), "{shown}");
    let (_, listed) = rig.get("/v1/alerts?state=open&severity=critical").await;
    assert_eq!(listed["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(rig.post_as("acme", &format!("{path}/resolve"), &json!({})).await.1["state"], "resolved");
    assert_eq!(rig.post_as("acme", &format!("{path}/ack"), &json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(rig.get("/v1/alerts?state=angry").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_rule_that_does_not_compile_is_told_with_its_place_for_programs() {
    let rig = Rig::new();
    let place = |problem: &Json| ["place", "line", "column"].map(|key| problem[key].clone());
    let absent = Json::Null;
    for (document, expected) in [
        (json!({ "name": "x", "when": "t > 1 AND\n  t > nope(t)" }), [json!("when"), json!(2), json!(7)]),
        (
            json!({ "name": "x", "when": "t > 1", "clear_when": "nope(t) > 1" }),
            [json!("clear_when"), json!(1), json!(1)],
        ),
        (json!({ "name": "", "when": "t > 1" }), [json!("name"), absent.clone(), absent.clone()]),
    ] {
        let (status, problem) = rig.post_as("acme", "/v1/rules", &document).await;
        assert_eq!((status, place(&problem)), (StatusCode::BAD_REQUEST, expected.clone()), "{problem}");
        let (_, tried) = rig.post_as("acme", "/v1/rules/dry-run", &json!({ "document": document })).await;
        assert_eq!(place(&tried), expected, "{tried}");
    }
    let (_, problem) = rig.get("/v1/rules/none").await;
    assert!(problem.get("place").is_none(), "{problem}");
}

#[tokio::test]
async fn a_rule_is_changed_only_in_the_version_that_was_read() {
    let rig = Rig::new();
    let document = |limit: u32| json!({ "name": "hot", "when": format!("t > {limit}") }).to_string();
    let (_, tag, _) = rig.tagged("POST", "/v1/rules", None, &document(80)).await;
    assert_eq!(tag.as_deref(), Some("\"1\""));
    let change = |expected: Option<&'static str>, limit: u32| {
        let (rig, body) = (&rig, document(limit));
        async move { rig.tagged("PUT", "/v1/rules/hot", expected, &body).await }
    };
    let (status, tag, _) = change(Some("\"1\""), 81).await;
    assert_eq!((status, tag.as_deref()), (StatusCode::OK, Some("\"2\"")));
    let (status, _, problem) = change(Some("\"1\""), 82).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("version 2"), "{problem}");
    let (_, tag, shown) = rig.tagged("GET", "/v1/rules/hot", None, "").await;
    assert_eq!((tag.as_deref(), &shown["when"]), (Some("\"2\""), &json!("t > 81")));
    for expected in [Some("\"7\", \"2\""), Some("*"), None] {
        assert_eq!(change(expected, 81).await.0, StatusCode::OK, "{expected:?}");
    }
    let (status, _, _) = rig.tagged("PATCH", "/v1/rules/hot", Some("\"1\""), r#"{"enabled":false}"#).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(change(Some("2"), 81).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_was_told_of_an_alert_is_shown_and_alerts_are_counted() {
    let rig = Rig::new();
    let ann = json!({ "name": "Ann", "channels": { "mail": { "kind": "email", "to": "ann@example.com" } } });
    rig.send("PUT", "/v1/people/ann", &ann.to_string()).await;
    let outside = json!({ "device_id": "d", "rule": "smoke", "severity": "critical", "why": "smoke" });
    let (_, alert) = rig.post_as("acme", "/v1/alerts", &outside).await;
    let (_, shown) = rig.get(&format!("/v1/alerts/{}", id(&alert))).await;
    let recipients = shown["recipients"].as_array().unwrap();
    assert_eq!(recipients.len(), 1, "{shown}");
    let told = ["recipient", "name", "what", "channel", "outcome"].map(|key| recipients[0][key].clone());
    assert_eq!(told, ["ann", "Ann", "alert.raised", "mail", "pending"].map(Json::from));
    assert_eq!(recipients[0]["to"], json!({ "kind": "email", "to": "ann@example.com" }));
    assert_eq!(recipients[0]["at"], shown["raised_at"]);

    let warning = json!({ "device_id": "d2", "rule": "smoke", "why": "smoke" });
    let (_, second) = rig.post_as("acme", "/v1/alerts", &warning).await;
    rig.post_as("acme", &format!("/v1/alerts/{}/ack", id(&second)), &json!({})).await;
    let (_, third) = rig.post_as("acme", "/v1/alerts", &json!({ "device_id": "d3", "rule": "smoke" })).await;
    rig.post_as("acme", &format!("/v1/alerts/{}/resolve", id(&third)), &json!({})).await;
    let expected = json!({ "open": 2, "open_critical": 1, "raised": 1, "acknowledged": 1, "resolved": 1,
                           "suppressed": 0, "is_partial": false });
    assert_eq!(rig.get("/v1/alerts/counts").await, (StatusCode::OK, expected));
    assert_eq!(rig.get_as("other", "/v1/alerts/counts").await.1["open"], 0);
}

#[tokio::test]
async fn a_mute_may_last_from_now_on() {
    let rig = Rig::new();
    let before = record::Timestamp::now().millis();
    let (status, mute) = rig.send("PUT", "/v1/mutes/works", r#"{"when":{"for":"2h"}}"#).await;
    assert_eq!(status, StatusCode::OK, "{mute}");
    let once = &mute["when"]["once"];
    let (from, to) = (once["from_ms"].as_i64().unwrap(), once["to_ms"].as_i64().unwrap());
    assert_eq!(to - from, 7_200_000);
    assert!((before..=record::Timestamp::now().millis()).contains(&from), "{mute}");
    assert_eq!(rig.get("/v1/mutes").await.1["mutes"][0]["when"], mute["when"]);
    let (status, refused) = rig.send("PUT", "/v1/mutes/none", r#"{"when":{"for":"0s"}}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
}

#[tokio::test]
async fn people_and_mutes_come_and_go() {
    let rig = Rig::new();
    let ann = json!({ "name": "Ann", "channels": { "mail": { "kind": "email", "to": "ann@example.com" } } });
    let (status, put) = rig.send("PUT", "/v1/people/ann", &ann.to_string()).await;
    assert_eq!((status, &put["id"]), (StatusCode::OK, &json!("ann")), "{put}");
    assert_eq!(rig.get("/v1/people").await.1["people"][0]["name"], "Ann");
    assert_eq!(rig.get_as("other", "/v1/people").await.1["people"], json!([]));
    // Those begin so whom rules name.
    assert_eq!(rig.send("PUT", "/v1/people/_ann", &ann.to_string()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(rig.send("DELETE", "/v1/people/ann", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(rig.send("DELETE", "/v1/people/ann", "").await.0, StatusCode::NOT_FOUND);
    // There is no mail server: that is said, and nothing else happens.
    let (_, tried) =
        rig.post_as("acme", "/v1/alerts/test", &json!({ "kind": "email", "to": "ann@example.com" })).await;
    assert_eq!(tried["delivered"], false);
    assert!(tried["said"].as_str().unwrap().contains("[alert.smtp]"), "{tried}");
    let private = json!({ "kind": "webhook", "url": "http://127.0.0.1:9/" });
    let (_, tried) = rig.post_as("acme", "/v1/alerts/test", &private).await;
    assert!(
        tried["delivered"] == false && tried["said"].as_str().unwrap().contains("allow_private"),
        "{tried}"
    );
}
