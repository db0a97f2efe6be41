//! The files of the web interface, and the stream of readings.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

use crate::{Rig, readings};

async fn fetch(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = rig.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}

/// The addresses that the page names.
fn named(page: &str) -> Vec<String> {
    let parts = page.split(['"', '\'']).filter(|part| part.contains("assets/"));
    parts.map(|part| format!("/{}", part.trim_start_matches("./").trim_start_matches('/'))).collect()
}

#[tokio::test]
async fn the_page_and_what_it_names_are_there_for_anybody_and_nothing_is_inline() {
    let rig = Rig::new();
    let (status, headers, page) = fetch(&rig, "/", &[]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    let page = String::from_utf8(page).unwrap();
    assert!(!page.contains("<style") && !page.contains("style=\"") && !page.contains("onload="), "{page}");
    assert!(page.split("<script").skip(1).all(|script| script.contains("src=")), "{page}");
    let names = named(&page);
    assert!(names.iter().any(|name| name.ends_with(".js")), "{names:?}");
    for name in names {
        let (status, headers, _) = fetch(&rig, &name, &[]).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert_eq!(headers["cache-control"], "public, max-age=31536000, immutable", "{name}");
    }
}

#[tokio::test]
async fn a_file_is_sent_packed_to_who_can_unpack_and_not_at_all_to_who_has_it() {
    let rig = Rig::new();
    let (_, headers, page) = fetch(&rig, "/", &[]).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let (status, _, nothing) = fetch(&rig, "/", &[("if-none-match", &tag)]).await;
    assert_eq!((status, nothing.len()), (StatusCode::NOT_MODIFIED, 0));
    let script =
        named(&String::from_utf8(page).unwrap()).into_iter().find(|name| name.ends_with(".js")).unwrap();
    let (_, plain_headers, plain) = fetch(&rig, &script, &[("accept-encoding", "br, gzip;q=0")]).await;
    let (_, packed_headers, packed) = fetch(&rig, &script, &[("accept-encoding", "gzip, br")]).await;
    assert!(!plain_headers.contains_key("content-encoding"));
    assert_eq!(packed_headers["content-encoding"], "gzip");
    assert!(packed.len() * 2 < plain.len(), "{} of {}", packed.len(), plain.len());
}

#[tokio::test]
async fn readings_are_shown_as_they_are_stored_to_their_tenant_alone() {
    let rig = Rig::new();
    let (status, problem) = rig.get_as("", "/v1/stream").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{problem}");
    let (status, problem) = rig.get("/v1/stream?device_id=%23").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");

    let open = async |tenant: &str, path: &str| {
        let request = Request::get(path).header("x-tenant", tenant).body(Body::empty()).unwrap();
        let response = rig.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body();
        assert_eq!(frame(&mut body).await.unwrap(), "retry: 2000\n\n");
        body
    };
    let mut one = open("acme", "/v1/stream?device_id=b").await;
    let mut other = open("other", "/v1/stream").await;
    rig.write(0, readings(&["a", "b"]));
    assert_eq!(
        frame(&mut one).await.unwrap(),
        "data: {\"arrived_at\":\"1970-01-01T00:00:02Z\",\"clock\":\"device\",\"device_id\":\"b\",\"metric\":\"t\",\
         \"time\":\"1970-01-01T00:00:01Z\",\"value\":1}\n\n"
    );
    let nothing = tokio::time::timeout(Duration::from_millis(100), frame(&mut other)).await;
    assert!(nothing.is_err(), "another tenant's: {nothing:?}");

    rig.health.set(penstock_api::Readiness::Draining);
    assert_eq!(frame(&mut one).await, None, "a node that stops ends its streams");
}

async fn frame(body: &mut Body) -> Option<String> {
    let frame = body.frame().await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_node_that_takes_nothing_is_not_ready_and_says_why() {
    let rig = Rig::new();
    let trouble = std::sync::Arc::new(std::sync::Mutex::new(Some("out of space".to_owned())));
    let told = std::sync::Arc::clone(&trouble);
    rig.health.ask(Box::new(move || told.lock().unwrap().clone()));
    rig.health.set(penstock_api::Readiness::Ready);
    let (status, body) = rig.get("/health/ready").await;
    assert_eq!((status.as_u16(), body["detail"].as_str()), (503, Some("out of space")));
    assert_eq!(rig.get("/health").await.0.as_u16(), 503, "the short name says the same");
    assert_eq!(rig.get("/health/live").await.0.as_u16(), 200, "a restart would mend nothing");
    *trouble.lock().unwrap() = None;
    assert_eq!(rig.get("/health/ready").await.0.as_u16(), 200);
    assert_eq!(rig.get("/health").await.1["status"], "ready");
    // Names of other servers lead there.
    for path in ["/healthz", "/readyz", "/livez", "/health/"] {
        let (status, body) = rig.get(path).await;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert_eq!(status.as_u16(), 404, "{path}");
        assert!(detail.contains("/health/ready") && detail.contains("/health/live"), "{path}: {detail}");
    }
}
